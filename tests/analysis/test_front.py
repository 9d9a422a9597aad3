"""The front: the best vector at each level, and what the report and the cards say of it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis import run_page, statistics
from analysis.front import at_level, front
from analysis.load import RunRecord, load_run
from analysis.run_page import write_report
from analysis.summary import card, headline
from search.record.trials_parquet import Ledger
from tests.analysis.test_cross_audit import write
from trainables.base.errors import InvalidInput
from trainables.records import FRONT_SCHEMA

RunWriter = Callable[..., Path]
LEVELS = [0.0, 0.005, 0.02]


def seeds(make: SimpleNamespace, vector: int, **changes: Any) -> list[Any]:
    """The rows of a confirmed vector, which leaks the less the smaller its number is."""
    rows = make.confirm()[3 * vector : 3 * vector + 3]
    return [dataclasses.replace(row, **changes) for row in rows]


@pytest.fixture
def folder(write_run: RunWriter, make: SimpleNamespace) -> Path:
    """Three vectors of 91.9, 92.9 and 93.2%, the dense network of 93.5%, a bound of 1 point."""
    missed = seeds(make, 0, feasible=False, accuracy_violation=0.006)
    records = [make.dense(), *make.searched(), *missed, *seeds(make, 1), *seeds(make, 2)]
    return write_run(records, settings=make.config(levels=LEVELS))


def vectors(run: RunRecord) -> dict[float, str | None]:
    return {one.level: one.trial_id for one in front(run)}


def test_each_level_has_the_least_leak_that_keeps_it(folder: Path) -> None:
    run = load_run(folder)
    assert vectors(run) == {
        0.0: None,
        0.005: "confirm-0006",
        0.01: "confirm-0003",
        0.02: "confirm-0000",
    }
    none, tight, *_ = front(run)
    assert (none.kept, none.excess_gain, none.n) == ("no", None, None)
    assert (tight.kept, tight.parameters) == ("undecided", 61706)
    assert tight.drop == pytest.approx(0.935 - 0.932)
    assert tight.drop_low is None, "without a cross-audit nothing is compared in pairs"
    best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
    assert best is not None
    assert best["trial_ids"][0] == vectors(run)[0.01]


def test_the_cross_audit_says_yes_no_or_undecided_at_every_level(folder: Path) -> None:
    write(folder, "baseline-0000", knows=0.70, accuracy=0.95)
    write(folder, "confirm-0000", knows=0.52, accuracy=0.925)
    write(folder, "confirm-0003", knows=0.57, accuracy=0.9425)
    write(folder, "confirm-0006", knows=0.62, accuracy=0.9495)
    found = front(load_run(folder))
    assert [(one.trial_id, one.kept) for one in found] == [
        (None, "no"),
        ("confirm-0006", "yes"),
        ("confirm-0006", "yes"),
        ("confirm-0003", "yes"),
    ]
    last = found[-1]
    assert None not in (last.drop_low, last.drop, last.drop_high, last.ratio_low, last.ratio_high)
    write(folder, "confirm-0000", knows=0.52, accuracy=0.932)
    write(folder, "confirm-0003", knows=0.57, accuracy=0.90)
    write(folder, "confirm-0006", knows=0.62, accuracy=0.90)
    assert [(one.trial_id, one.kept) for one in front(load_run(folder))][2:] == [
        (None, "no"),
        ("confirm-0000", "undecided"),
    ]


def test_a_card_of_a_level_is_true_of_its_vector(
    folder: Path, write_audit: Callable[..., None]
) -> None:
    write_audit(folder, dense={"lira": 0.6}, winner={"lira": 0.55})
    run = load_run(folder)
    asked, loose = card(at_level(run, 0.01)), card(at_level(run, 0.02))
    assert "when accuracy may fall by 1 point:" in asked
    assert "audit attack" in asked
    assert "when accuracy may fall by 2 points:" in loose
    assert "audit attack" not in loose, "another vector was audited"
    best = statistics.confirmed(run.trials, run.config).iloc[0]
    assert all(f"| {n:,} |" in loose for n in best["n"])
    with pytest.raises(ValueError, match="without a winner"):
        card(at_level(run, 0.0))


def test_the_report_and_the_terminal_show_the_front(folder: Path) -> None:
    page = write_report(folder).read_text()
    assert "The front: the winner at each allowed drop" in page
    assert 'aria-label="Accuracy lost against excess gain of the 3 vectors' in page
    last = headline(load_run(folder)).splitlines()[-4:]
    assert [line.split("  ")[0] for line in last] == [
        "0 points",
        "0.5 points",
        "1 point",
        "2 points",
    ]
    assert "none confirmed" in last[0]


def test_a_run_that_looked_at_its_bound_alone_has_no_front(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    run = load_run(write_run(make.full()))
    assert front(run) == []
    assert run_page._values(run)["front"] is None
    assert at_level(run, 0.01) is run


def test_damaged_levels_are_one_line(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    settings["search"]["levels"] = ["a"]
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(InvalidInput, match="levels has a value of another kind"):
        load_run(folder)


def test_the_file_has_exactly_the_promised_columns(folder: Path) -> None:
    Ledger(folder).write_front(front(load_run(folder)))
    table = pd.read_parquet(folder / "front.parquet")
    assert list(table.columns) == FRONT_SCHEMA.names
    assert table["level"].tolist() == [0.0, 0.005, 0.01, 0.02]
    assert table["trial_id"].isna().tolist() == [True, False, False, False]
