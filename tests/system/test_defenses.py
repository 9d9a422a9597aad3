"""Every --defense, and every --sampler, through the program: the right status, valid rows."""

import math

import pytest

from search.recipes import recipe
from search.record.trials_parquet import Ledger
from search.samplers import SAMPLERS
from search.space import Candidate
from search.stages.confirm import best_candidates
from tests.system.program import Program, rows
from trainables.defenses.recipe import recipe_numbers
from trainables.defenses.registry import DEFENSES

pytestmark = [pytest.mark.slow, pytest.mark.system]

SMALL = (
    *(
        "--preset",
        "smoke",
        "--no-references",
        "--concurrency",
        1,
    ),  # one process to start in each stage, not two
    *("--confirm-top", 1, "--max-accuracy-drop", 0.99),
)

SEARCHED = {
    "pruning": "gp",
    "minmax": "random",
    "pruning+minmax": "grid",
    "weight-decay": "qmc",
    "memguard": "nsga2",
}
"""A defence whose numbers this sampler searches; the others are tried once, with the default."""

TRIALS = 4


def test_every_sampler_is_tried() -> None:
    assert {"tpe", *SEARCHED.values()} == set(SAMPLERS)


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_defence_runs_through(defense: str, program: Program, tmp_path_factory) -> None:
    out = tmp_path_factory.mktemp(defense) / "run"
    sampler, trials = SEARCHED.get(defense, "tpe"), TRIALS if defense in SEARCHED else 1
    words = ["--defense", defense, "--sampler", sampler, "--trials", trials]
    numbers = DEFENSES[defense].numbers(recipe_epochs=1)
    if defense == "pruning":
        words += ["--space", "recipe+layer"]
        numbers |= recipe_numbers(recipe("mnist5k", "lenet5").admm)
    done = program(*SMALL, *words, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("References are off") == 1
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    assert (out / "report.html").exists()
    assert (out / "winner/model.safetensors").exists()
    searched = rows(out, "anchor", "search").to_dict("records")
    confirmed = rows(out, "confirm").to_dict("records")
    assert [row["number"] for row in searched] == list(range(trials))
    tried = {Candidate.of(row["n"], dict(row["defense_parameters"] or {})) for row in searched}
    assert len(tried) == trials
    assert len(confirmed) == 1
    for row in (*searched, *confirmed):
        assert row["state"] == "COMPLETE", row["error"]
        assert row["defense"] == defense
        assert row["feasible"]
        assert 0 <= row["val_accuracy"] <= 1
        assert row["excess_gain"] == pytest.approx(row["attack_gain"] + math.log(4))
        parameters = dict(row["defense_parameters"] or {})
        assert set(parameters) == set(numbers)
        for name, value in parameters.items():
            assert numbers[name].low <= value <= numbers[name].high
        assert row["compression"] == pytest.approx(sum(row["layer_weights"]) / row["nonzero"])
        spent = dict(row["defense_spent"] or {})
        if defense == "dp":
            assert 0 < spent["epsilon"] <= parameters["epsilon"]
        elif defense == "memguard":
            assert spent.keys() == {"distortion"}
            assert 0 <= spent["distortion"] <= 2
        else:
            assert spent == {}
    assert best_candidates(Ledger(out).rows())
    assert searched[0]["test_accuracy"] is None or math.isnan(searched[0]["test_accuracy"])
    assert 0 <= confirmed[0]["test_accuracy"] <= 1


def test_a_defence_that_cannot_keep_the_accuracy_is_status_3(
    program: Program, tmp_path_factory
) -> None:
    out = tmp_path_factory.mktemp("infeasible") / "run"
    words = [*SMALL[:-1], 0, "--trials", 1, "--defense", "dp", "--epsilon", 0.5, "--out", out]
    done = program(*words)
    assert done.returncode == 3, done.stderr
    assert "hardest to meet: accuracy" in done.stderr
    assert "Traceback" not in done.stderr
    (searched,) = rows(out, "anchor", "search").to_dict("records")
    assert searched["state"] == "COMPLETE"
    assert not searched["feasible"]
