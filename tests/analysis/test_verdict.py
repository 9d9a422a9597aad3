"""A run's headline claims no more than its figures: failures, smoke runs, small audits, sizes."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis import compare, comparison_page, failures, run_page, tables
from analysis.load import load_run
from analysis.summary import card, headline
from analysis.verdict import verdict
from trainables.base.errors import InvalidInput
from trainables.records import TrialRecord

pytestmark = pytest.mark.usefixtures("pictures_drawn_once")

RunWriter = Callable[..., Path]
OF_SMOKE = "Smoke run, figures without meaning"


def failed(make: SimpleNamespace, number: int, error: str, kind: str = "search") -> TrialRecord:
    return make.without_gain(
        make.trial(kind, number),
        "FAILED",
        error=error,
        val_accuracy=None,
        accuracy_violation=None,
        compression_violation=None,
    )


def missed(make: SimpleNamespace, number: int, state: str = "COMPLETE") -> TrialRecord:
    row = make.trial("search", number, feasible=False, val_accuracy=0.9, accuracy_violation=0.025)
    return row if state == "COMPLETE" else make.without_gain(row, state, error="stopped: low")


def broken(make: SimpleNamespace, count: int) -> list[TrialRecord]:
    """Trials that failed of one cause, in words that differ by a number, but for one."""
    words = [
        f"RuntimeError: layer a at 0x7f{number:02x} lacks {number}.5 weights"
        for number in range(count - 1)
    ]
    return [
        failed(make, 10 + number, error)
        for number, error in enumerate([*words, "OSError: the disk is full"])
    ]


def test_where_most_trials_failed_that_comes_first_and_bounds_are_no_remedy(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    records = [make.dense(), missed(make, 0), missed(make, 1, "PRUNED"), *broken(make, 5)]
    folder = write_run(records)
    found = verdict(load_run(folder))
    assert (found.tone, found.title) == ("bad", "5 of 7 trials failed")
    assert found.text == (
        "4 of them with: RuntimeError: layer a at 0x7f00 lacks 0.5 weights. Of the others, 2 "
        "missed a bound."
    )
    page = run_page.write_report(folder).read_text(encoding="utf-8")
    assert "5 of 7 trials failed" in page
    assert "Allow a larger" not in page


def test_some_failures_and_some_missed_bounds_are_both_said(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    records = [make.dense(), missed(make, 0), missed(make, 1), failed(make, 2, "ValueError: no")]
    found = verdict(load_run(write_run(records)))
    assert found.title == "No feasible winner among 3 trials"
    assert "accuracy (missed by 100% of 2 searched trials)" in found.text
    assert "1 of 3 trials failed, with: ValueError: no." in found.text
    assert "Allow a larger accuracy drop" in found.text


def test_no_advice_about_bounds_where_none_was_missed(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    """Half failed, and the rest ended without an accuracy."""
    ended = make.trial("search", 0, feasible=False, accuracy_violation=None)
    records = [
        make.dense(),
        make.without_gain(ended, "PRUNED", val_accuracy=None),
        failed(make, 1, "ValueError: no"),
    ]
    found = verdict(load_run(write_run(records)))
    assert "1 of 2 trials failed" in found.text
    assert "Allow" not in found.text


def test_a_winner_among_a_few_of_many_failures_won_by_default(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    records = [make.dense(), make.trial("search", 0), *broken(make, 3), *make.confirm()[3:6]]
    run = load_run(write_run(records))
    found = verdict(run)
    assert (found.tone, found.title) == ("bad", "3 of 4 trials failed")
    assert "What the rest found: The winner leaks 2.6 times less" in found.text
    assert headline(run).startswith("3 of 4 trials failed\n2 of them with: RuntimeError")
    assert "that leaks less" not in card(run).splitlines()[0]


def test_a_confirmation_that_failed_is_no_missed_bound(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    lost = [failed(make, number, "RuntimeError: out of memory", "confirm") for number in range(3)]
    found = verdict(load_run(write_run([make.dense(), make.trial("search", 0), *lost])))
    assert found.title == "3 of 3 confirming trials failed"
    assert found.text == "All of them with: RuntimeError: out of memory."


def test_a_stopped_trial_is_not_counted_among_the_failed(make: SimpleNamespace) -> None:
    rows = make.frame([missed(make, 0, "PRUNED"), failed(make, 1, "x")])
    assert failures.of(rows).failed == 1
    assert tables.failed_trials(rows).rows == [["search-0001", "node-a", "x"]]


# --- smoke runs -----------------------------------------------------------------------------------


def smoke(make: SimpleNamespace) -> dict[str, Any]:
    return {**make.config(), "options": {"preset": "smoke"}}


@pytest.mark.parametrize("preset", ["smoke", "paper-table1-cifar10-vgg16-smoke"])
def test_a_smoke_run_is_called_one_and_claims_nothing(
    preset: str, write_run: RunWriter, make: SimpleNamespace
) -> None:
    settings = {**make.config(), "options": {"preset": preset}}
    run = load_run(write_run(make.full(), settings=settings))
    page = run_page.write_report(run.path).read_text(encoding="utf-8")
    for text in (headline(run), card(run), page):
        assert f"{OF_SMOKE}: every step completed" in text
        assert "times less" not in text
        assert "that leaks less" not in text
    assert verdict(run).tone == "warn"
    worse = [make.dense(), make.trial("confirm", 0, excess=0.32, test_accuracy=0.94)]
    worse_run = load_run(write_run(worse, settings=settings, name="worse"))
    assert verdict(worse_run).title == verdict(run).title
    assert "smoke run, figures without meaning" in card(run).splitlines()[0]


def test_a_smoke_run_without_a_winner_is_called_one_too(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    run = load_run(write_run([make.dense(), missed(make, 0)], settings=smoke(make)))
    assert verdict(run).title == f"{OF_SMOKE}: no feasible winner among 1 trials"


def test_compare_names_the_smoke_runs(
    write_run: RunWriter, make: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        write_run(make.full(), name="whole"),
        write_run(make.full(), name="tiny", settings=smoke(make)),
    ]
    out = tmp_path / "c.html"
    assert compare.main([*map(str, paths), "--out", str(out)]) == 0
    whole, tiny, said, *_ = capsys.readouterr().out.splitlines()[1:]
    assert "meaning" not in whole
    assert tiny.startswith("tiny (smoke run, figures without meaning)")
    assert said == "tiny: smoke run, figures without meaning."
    assert said in out.read_text(encoding="utf-8")


# --- a dense network that does not leak -----------------------------------------------------------


def quiet(make: SimpleNamespace, **dense: Any) -> list[TrialRecord]:
    """A dense network on which the attacks found nothing, and a winner."""
    values = {"excess": 0.002, "attack_gain_se": 0.003, "test_accuracy": 0.94, **dense}
    return [make.trial("baseline", 0, **values), make.trial("confirm", 0, test_accuracy=0.94)]


@pytest.mark.parametrize(
    ("dense", "search", "sizes", "why"),
    [
        ({"attack_gain_se": 0.006}, {}, {}, "its interval reaches 0.0138 nats"),
        ({}, {"references": 0}, {}, "matched references were off"),
        (
            {"excess": 0.0, "attack_gain_se": 0.0},
            {},
            {"members": 33, "non_members": 33},
            "33 members and 33 non-members cannot show a leak below 0.2328 nats",
        ),
        ({"excess_gain": -0.05}, {}, {}, "every attack did worse than a constant guess"),
    ],
)
def test_nothing_found_is_no_claim_where_the_audit_could_not_have_seen_it(
    write_run: RunWriter,
    make: SimpleNamespace,
    dense: dict[str, Any],
    search: dict[str, Any],
    sizes: dict[str, int],
    why: str,
) -> None:
    settings = make.config(**search)
    settings["split_sizes"] = {**settings["split_sizes"], **sizes}
    found = verdict(load_run(write_run(quiet(make, **dense), settings=settings)))
    assert found.title.startswith("The audit cannot tell whether the dense network leaks")
    assert why in found.text
    assert "nothing to reduce" not in found.title + found.text


def test_nothing_found_by_an_audit_that_sees_it_is_a_claim_with_its_size(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    found = verdict(load_run(write_run(quiet(make))))
    assert found.title == (
        "The dense network does not measurably leak: its excess gain is below 0.01 nats, so there "
        "is nothing to reduce"
    )


def test_what_shadow_models_find_is_no_network_that_does_not_leak(
    write_run: RunWriter, write_audit: Callable[..., None], make: SimpleNamespace
) -> None:
    folder = write_run(quiet(make))
    write_audit(folder, dense={"rmia": 0.7}, winner={"rmia": 0.56})
    found = verdict(load_run(folder))
    assert found.title.startswith("The audit cannot tell whether the dense network leaks")
    assert "the audit with shadow models does not rule out a leak of 0.1" in found.text


@pytest.mark.parametrize(
    ("accuracies", "chance", "why"),
    [
        ((0.2, 0.93), 0.1, "the interval is wider than 10 points"),
        ((0.11, 0.11), 0.11, "is not distinguishable from the 11.0% of always guessing"),
    ],
)
def test_no_claim_stands_beside_an_accuracy_that_is_hardly_known(
    write_run: RunWriter,
    make: SimpleNamespace,
    accuracies: tuple[float, ...],
    chance: float,
    why: str,
) -> None:
    winners = [
        make.trial("confirm", seed, test_accuracy=accuracy, excess=0.001)
        for seed, accuracy in enumerate(accuracies)
    ]
    for name, dense in (("leaks", make.dense()), ("quiet", quiet(make)[0])):
        settings = {**make.config(), "chance_accuracy": chance}
        found = verdict(load_run(write_run([dense, *winners], settings=settings, name=name)))
        assert found.title == "Too few images or models to say whether the winner leaks less"
        assert why in found.text
        assert found.tone == "warn"


# --- what is counted ------------------------------------------------------------------------------


def row(**changes: Any) -> pd.Series:
    return pd.Series({"weights": 4000, "parameters": 100_000.0, "nonzero": 313, **changes})


@pytest.mark.parametrize(
    ("kept", "changes", "words"),
    [
        (12.78, {}, "with 1.04 times fewer parameters"),
        (12.76, {"weights": 61470, "parameters": 61706, "nonzero": 4817}, "with 12.2 times fewer"),
        (12.78, {"parameters": math.nan}, "with 12.8 times fewer prunable weights"),
        (12.78, {"parameters": 10.0}, "with 12.8 times fewer prunable weights"),
        (1.0, {"nonzero": 4000}, "with all its weights"),
        (0.5, {"nonzero": 8000}, "with 2.0 times as many prunable weights"),
    ],
)
def test_a_size_counts_everything_that_ships(
    kept: float, changes: dict[str, Any], words: str
) -> None:
    assert tables.size_in_words(row(compression=kept, **changes)).startswith(words)


def test_a_compression_says_of_what_it_is_one() -> None:
    assert tables.compression_of(row()) == "compression of the prunable 4.0% of the parameters"
    assert tables.compression_of(row(parameters=4000)) == "compression"
    assert tables.compression_of(row(parameters=math.nan)) == "compression of the prunable weights"
    assert tables.prunable_share(99_999, 100_000) == "99.9%"  # never 100% of a part
    assert tables.compressed(12.78, 4000, 100_000).split("\n")[1] == "of the prunable 4.0%"
    assert "\n" not in tables.compressed(1.0, 4000, 100_000)  # nothing was removed


def test_every_place_with_a_compression_says_of_what(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    run = load_run(write_run(make.full()))
    of_part = "compression of the prunable 99.6% of the parameters"
    assert of_part in headline(run)
    assert of_part in card(run)
    page = run_page.write_report(run.path).read_text(encoding="utf-8")
    assert page.count(of_part) >= 3
    text, _ = comparison_page.compare([run.path, write_run(make.full(), name="other")])
    assert "4.00\N{MULTIPLICATION SIGN} (of the prunable 99.6%)" in text


def test_a_run_of_an_earlier_release_counts_its_prunable_weights(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    records = [dataclasses.replace(record, parameters=None) for record in make.full()]
    run = load_run(write_run(records))
    assert verdict(run).title.endswith("with 4.0 times fewer prunable weights")
    assert "compression of the prunable weights" in headline(run)
    assert run_page.write_report(run.path).is_file()


def test_what_a_run_says_of_itself_stands_in_report_and_card(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    settings = make.config() | {
        "notes": ["7 images occur more than once, 2 of them as member and non-member."],
        "pretrained_start": "These weights never saw the data, says who started the run.",
        "unpruned": {"head.bn": "a norm layer", "lstm": "recurrent <layers> are not pruned"},
    }
    run = load_run(write_run(make.full(), settings=settings))
    page = run_page.write_report(run.path).read_text(encoding="utf-8")
    for text in (card(run), page):
        for words in (*settings["notes"], settings["pretrained_start"], "a norm layer", "lstm"):
            assert words in text
    assert "recurrent &lt;layers&gt;" in page
    plain = load_run(write_run(make.full(), name="plain"))
    assert "Not pruned" not in card(plain)


def test_a_report_says_by_what_its_winner_was_picked(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    epsilon = {"low": 8.0, "high": 8.0, "default": 8.0, "searched": False}
    given = make.config(defense="dp", parameters={"epsilon": epsilon})
    for name, settings, words in (
        ("leak", make.config(), "by its excess gain"),
        ("accuracy", given, "by its validation accuracy"),
    ):
        folder = write_run(make.full(), settings=settings, name=name)
        assert words in run_page.write_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        {"notes": "one"},
        {"notes": [1]},
        {"unpruned": ["a"]},
        {"unpruned": {"a": 1}},
        {"pretrained_start": 1},
        {"chance_accuracy": 2},
    ],
)
def test_damage_in_what_a_run_says_of_itself_is_named(
    damage: dict[str, Any], write_run: RunWriter, make: SimpleNamespace
) -> None:
    folder = write_run(make.full(), settings=make.config() | damage)
    with pytest.raises(InvalidInput, match=f"{next(iter(damage))} has a value of another kind"):
        load_run(folder)
