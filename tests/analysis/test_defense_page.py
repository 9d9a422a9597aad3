"""A comparison of defences: winners at each level, differences in pairs, and what may be said."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis import compare
from analysis.defense_page import write_comparison
from analysis.leak_at_levels import (
    at_levels,
    beside,
    gap,
    said_beside,
    same_dense_models,
    sentence,
)
from analysis.load import load_comparison, load_run
from search.record.confirm_parquet import write_correct, write_terms
from trainables.attacks.cross_audit import CrossAudit
from trainables.attacks.gain import gain_terms
from trainables.base.errors import InvalidInput
from trainables.data.cohort import reference_halves

MODELS, IMAGES, LEVELS = 8, 600, [0.01, 0.02, 0.05, 0.1]
HALVES = reference_halves(IMAGES, MODELS, seed=3)


def write_models(
    run: Path,
    vector: str,
    *,
    knows: float,
    accuracy: float,
    halves: np.ndarray = HALVES,
) -> None:
    """Models that an attack knows better, the larger `knows`.

    How well it knows each image and each model is the same for all kinds, so that it cancels in
    pairs and in pairs alone.
    """
    luck = np.random.default_rng(7)
    common = luck.normal(0, 0.8, (1, IMAGES)) + luck.normal(0, 0.15, (len(halves), 1))
    own = np.random.default_rng(len(vector)).normal(0, 0.02, halves.shape)
    logit = knows + common + own
    probability = 1 / (1 + np.exp(-np.where(halves, logit, -logit)))
    audit = CrossAudit(probability, gain_terms(probability, halves), halves)
    positions = np.arange(IMAGES)
    draw = np.random.default_rng(1).random((len(halves), 1000))
    parts = {"validation": positions[:1].repeat(1000), "test": positions[:1].repeat(1000)}
    write_correct(run / "confirm", vector, dict.fromkeys(parts, draw < accuracy), parts)
    write_terms(run / "confirm", vector, audit, positions, positions % 10)


KINDS: dict[str, list[tuple[float, float]]] = {
    "none": [(0.5, 0.95)],
    "pruning": [(0.30, 0.945), (0.10, 0.91)],
    "minmax": [(0.34, 0.943)],
    "early-stopping": [(0.12, 0.88)],
}
"""Defence -> how much an attack knows of each confirmed candidate, and its accuracy."""


@pytest.fixture
def comparison(write_run: Callable[..., Path], make: SimpleNamespace, tmp_path: Path) -> Path:
    """Four defences, whose dense models are the same."""
    settings = []
    for name, kinds in KINDS.items():
        bare = name == "none"
        config = make.config(
            defense=name,
            parameters={} if name in ("none", "pruning") else {"x": {"searched": True}},
            levels=[] if bare else LEVELS,
            max_accuracy_drop=1.0 if bare else 0.1,
            models=MODELS,
        )
        settings.append(config["search"])
        rows = [dataclasses.replace(make.dense(), training_s=4.0, answer_s=1e-5)]
        for number in range(len(kinds)):
            row = make.trial("confirm", number, keep=0.3 + 0.1 * number, test_accuracy=0.9)
            numbers = {} if bare else {"x": 1.0 + number}
            row = dataclasses.replace(row, defense=name, defense_parameters=numbers)
            rows.append(dataclasses.replace(row, training_s=1.5, answer_s=2e-5))
        folder = write_run(rows, name=f"all/defences/{name}", settings=config)
        write_models(folder, "baseline-0000", knows=0.6, accuracy=0.95)
        for number, (knows, accuracy) in enumerate(kinds):
            write_models(folder, f"confirm-{number:04d}", knows=knows, accuracy=accuracy)
    write_settings(tmp_path / "all", settings)
    return tmp_path / "all"


def write_settings(folder: Path, runs: list[dict[str, Any]]) -> None:
    config = {
        "version": 1,
        "run_id": "all",
        "command": "python -m search.run --defense all",
        "comparison": {"runs": runs, "asked": []},
    }
    (folder / "config.json").write_text(json.dumps(config))


def test_each_defence_has_its_winner_at_each_level(comparison: Path) -> None:
    _, runs = load_comparison(comparison)
    found = at_levels(runs)
    assert [*found] == LEVELS
    chosen = {
        level: {name: one and one.row["trial_ids"][0] for name, one in each.items()}
        for level, each in found.items()
    }
    assert chosen[0.01]["pruning"] == "confirm-0000"
    assert chosen[0.05]["pruning"] == "confirm-0001"
    assert {each["early-stopping"] for each in chosen.values()} == {None, "confirm-0000"}
    assert chosen[0.05]["early-stopping"] is None
    assert {each["none"] for each in chosen.values()} == {"confirm-0000"}, "it has no bound"


def test_pairs_tell_apart_what_two_intervals_cannot(comparison: Path) -> None:
    _, runs = load_comparison(comparison)
    at = at_levels(runs)[0.01]
    one, other = at["minmax"], at["pruning"]
    assert one is not None
    assert other is not None
    assert one.excess.low < other.excess.estimate < one.excess.high
    found = gap(one, other)
    assert found.paired
    assert found.verdict == 1
    assert found.interval.estimate == pytest.approx(one.excess.estimate - other.excess.estimate)
    apart = gap(dataclasses.replace(one, models=None), other)
    assert (apart.paired, apart.verdict) == (False, 0)


def test_a_sentence_says_what_its_interval_allows(comparison: Path) -> None:
    _, runs = load_comparison(comparison)
    at = at_levels(runs)[0.01]
    assert at["pruning"] is not None
    assert at["minmax"] is not None
    assert at["none"] is not None
    assert beside(at["pruning"], at["pruning"]) is None
    gaps = {name: gap(at[name], at["pruning"]) for name in ("minmax", "none")}
    assert said_beside("pruning", gaps) == ["more than pruning leak: minmax, none"]
    gaps = {name: gap(at[name], at["none"]) for name in ("minmax", "pruning")}
    gaps["twin"] = gap(at["none"], dataclasses.replace(at["none"], models=None))
    assert said_beside("none", gaps) == [
        "less than none leak: minmax, pruning",
        "not distinguishable from none: twin",
    ]
    twin = {**at, "twin": dataclasses.replace(at["pruning"], defense="twin", models=None)}
    said = sentence("1 point", twin)
    assert re.match(
        r"For at most 1 point of accuracy (pruning|twin) leaks least \(-?0\.\d{4}", said
    )
    assert "not distinguishable from it: " in said
    assert "nothing confirmed within it: early-stopping" in said
    assert "none, minmax leak more" in sentence("1 point", at)


def test_the_page_is_one_file_with_all_levels_and_costs(comparison: Path) -> None:
    target, words = write_comparison(comparison)
    page = target.read_text()
    assert target == comparison / "comparison.html"
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)|https?://(?!www\.w3\.org)""", page)
    for name in ("1 point", "2 points", "5 points", "10 points"):
        assert f"At most {name}</h2>" in page
    assert "more than pruning leak: none, minmax" in page
    assert "after 4.0 of dense" in page
    assert "none confirmed" in page
    assert words.splitlines()[0].split() == [
        *("defence", "1", "point", "2", "points", "5", "points", "10", "points")
    ]
    assert "could not be measured" not in words


def test_a_comparison_on_rows_speaks_of_rows(comparison: Path) -> None:
    before = write_comparison(comparison)[0].read_text()
    for path in comparison.glob("defences/*/config.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "noun": "rows"}))
    page = write_comparison(comparison)[0].read_text()
    assert not re.search(r"\bimages?\b", page)
    spoken = page.replace("row by row", "image by image").replace("answer a row", "answer an image")
    assert re.sub(r"\brows\b", "images", spoken).count("image") == before.count("image") > 8


def test_what_is_missing_or_at_fault_is_said(comparison: Path) -> None:
    config = json.loads((comparison / "config.json").read_text())
    runs = [*config["comparison"]["runs"], {"defense": "dp"}, {"defense": "stacking"}]
    write_settings(comparison, runs)
    _, words = write_comparison(comparison, {"dp": "its process ended"})
    assert "dp could not be measured: its process ended." in words
    assert "Not measured yet: stacking." in words


def test_other_dense_models_are_said(comparison: Path) -> None:
    _, runs = load_comparison(comparison)
    assert same_dense_models(runs)
    write_models(comparison / "defences" / "minmax", "baseline-0000", knows=0.61, accuracy=0.95)
    _, runs = load_comparison(comparison)
    assert not same_dense_models(runs)
    assert "do not share their dense models" in write_comparison(comparison)[1]


def test_the_page_is_written_again_from_the_command_line(
    comparison: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main([str(comparison)]) == 0
    assert (comparison / "comparison.html").exists()
    assert "leaks least" in capsys.readouterr().out
    assert compare.main([str(comparison), "--out", str(comparison / "page.html")]) == 0
    assert (comparison / "page.html").exists()


def test_a_comparison_is_not_taken_for_a_run(comparison: Path) -> None:
    with pytest.raises(InvalidInput, match="holds a comparison of defences: give one of its runs"):
        load_run(comparison)
    with pytest.raises(InvalidInput, match="holds no comparison"):
        load_comparison(comparison / "defences" / "none")
