"""The terminal's last lines and the card say what the report says."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis.load import load_run
from analysis.summary import card, headline, said_of_the_run
from analysis.verdict import verdict

RunWriter = Callable[..., Path]


def test_headline_holds_the_four_figures_with_intervals(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    lines = headline(load_run(write_run(make.full()))).splitlines()
    assert lines[0].startswith("The winner leaks 2.6 times less")
    assert [line.split("  ")[0] for line in lines[3:]] == [
        "test accuracy",
        "excess gain, strongest attack (nats)",
        "attack accuracy, balanced",
        "largest without references (nats)",
        "largest with matched references (nats)",
        "compression of the prunable 99.6% of the parameters",
    ]
    assert "93.2% (91.4% to 94.6%)" in lines[3]


def test_card_has_figures_counts_limits_and_command(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    text = card(load_run(write_run(make.full())))
    assert "| fc1 | 12,000 | 48,000 | 25.0% |" in text
    assert "0.0310 (0.0192 to 0.0428)" in text
    assert "Do not release the dense network together with this one" in text
    assert "python -m search.run --dataset mnist5k --seed 0" in text
    assert text.count("{trial_id}") == 1


def test_a_run_that_was_given_more_models_says_that_it_decided_more_than_once() -> None:
    config = {"search": {"models": 16, "more_models": [32, 64]}, "notes": ["Copies."]}
    assert said_of_the_run(config) == [
        "Copies.",
        "The run began with 16 models of each vector and took more, to 32, then 64, because of "
        "what these had shown.",
    ]


def test_without_a_winner_there_is_no_card(write_run: RunWriter, make: SimpleNamespace) -> None:
    run = load_run(write_run([make.dense(), *make.searched()]))
    with pytest.raises(ValueError, match="without a winner"):
        card(run)
    assert headline(run).startswith("Not confirmed yet\n")


def test_a_confirmation_that_was_cut_short_says_so(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    records = [make.dense(), *make.searched(), make.confirm()[3]]
    assert "Only 1 of 3 seeds so far" in verdict(load_run(write_run(records))).text


def test_a_card_of_another_defence_says_how_and_at_what_price(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    def card_of(defense: str, **numbers: dict[str, float]) -> str:
        whole = {"n": make.dense().n, "nonzero": make.dense().nonzero, "compression": 1.0}
        rows = [
            dataclasses.replace(row, defense=defense, **whole, **numbers)
            for row in make.confirm()[3:6]
        ]
        settings = make.config(defense=defense)
        folder = write_run([make.dense(), *rows], settings=settings, name=defense)
        return card(load_run(folder))

    private = card_of(
        "dp",
        defense_parameters={"epsilon": 8.0, "clip": 1.5},
        defense_spent={"epsilon": 7.99, "delta": 5e-4, "noise_multiplier": 1.2},
    )
    assert "dp (clip 1.5, epsilon 8, spent 7.99, delta 0.0005, noise_multiplier 1.2)" in private
    assert "epsilon 7.99 at delta 0.0005" in private
    assert "Pruned weights" not in private
    assert "| fc1 |" not in private
    guarded = card_of(
        "memguard", defense_parameters={"distortion": 0.5}, defense_spent={"distortion": 0.31}
    )
    assert "memguard (distortion 0.5, spent 0.31)" in guarded
    assert "the undefended network" in guarded
    assert "no differential-privacy guarantee" in guarded


@pytest.mark.parametrize(
    ("dense", "winner", "judged", "tone"),
    [
        (0.70, 0.56, "it agrees", "good"),
        (0.62, 0.62, "it does not bear out the run's own attacks", "warn"),
        (0.60, 0.70, "it contradicts the run's own attacks", "bad"),
    ],
)
def test_the_strongest_audit_attack_is_stated_also_where_it_contradicts(
    write_run: RunWriter,
    write_audit: Callable[..., None],
    make: SimpleNamespace,
    dense: float,
    winner: float,
    judged: str,
    tone: str,
) -> None:
    folder = write_run(make.full())
    assert "audit" not in verdict(load_run(folder)).text
    write_audit(folder, dense={"rmia": 0.55, "lira-online": dense}, winner={"lira-online": winner})
    run = load_run(folder)
    found = verdict(run)
    assert "The strongest audit attack (lira-online) finds excess gain" in found.text
    assert "95% interval" in found.text.split("audit")[1]
    assert found.text.endswith(f": {judged}.")
    assert found.tone == tone
    assert ("the audit does not bear it out" in found.title) == (tone != "good")
    assert judged in card(run)
    assert judged in headline(run)
    assert ("more than the 0.0310 of the run's own attacks" in found.text) == (winner > 0.6)


def test_mislabelled_images_do_not_speak_for_the_winner(
    write_run: RunWriter, write_audit: Callable[..., None], make: SimpleNamespace
) -> None:
    folder = write_run(make.full())
    write_audit(folder, canaries=True, dense={"rmia": 0.9}, winner={"rmia": 0.9})
    assert "finds excess gain 0.0000 instead of 0.0000 nats" in verdict(load_run(folder)).text


def test_where_nothing_is_feasible_the_nearest_is_stated_and_is_no_winner(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    """Whatever the mean over the seeds: the run itself says that none was feasible."""
    searched = [
        make.trial("search", 0, keep=0.15, val_accuracy=0.9, feasible=False, accuracy_violation=0.1)
    ]
    rows = [
        dataclasses.replace(row, feasible=False, val_accuracy=0.9251) for row in make.confirm()[:3]
    ]
    run = load_run(write_run([make.dense(), *searched, *rows]))
    found = verdict(run)
    assert found.title == "No feasible winner among 1 trials"
    assert "the candidate that came nearest to the bounds has excess gain 0.0230" in found.text
    assert "is 90.0%; 92.5% is needed" in found.text
    assert headline(run).startswith("No feasible winner")
    with pytest.raises(ValueError, match="without a winner"):
        card(run)
