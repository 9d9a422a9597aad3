"""What the live page says, made from run folders as a run leaves them at any moment."""

import copy
import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from analysis import statistics
from analysis.live.newest import NOT_BEGUN, Newest
from analysis.live.state import drawn_of, now_of, race_of
from analysis.live.watch import Watched
from analysis.pareto import non_dominated
from trainables.base.errors import InvalidInput
from trainables.progress import (
    FAULTY,
    FILE,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    RunProgress,
    StageProgress,
    VectorProgress,
)
from trainables.records import COMPARISON, DEFENCES

NOW = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
PLANNED = {"dense": 4, "search": 24, "race": 8, "confirm": 12, "audit": 0}
DENSE = StageProgress(name="dense", title="Dense", total=4, done=4, slots=2, busy_s=40.0)
SEARCH = StageProgress(
    name="search", title="Search", total=24, done=6, running=2, slots=2, busy_s=60.0, left_s=90.0
)
FIRST, SECOND, THIRD = ((30, 40), {}), ((3, 4), {}), ((10, 10), {"rho": 0.1})


def progress(*stages: StageProgress, **changes: Any) -> RunProgress:
    values: dict[str, Any] = {
        "updated_at": NOW.isoformat(),
        "planned": PLANNED,
        "cpus_per_trial": 2.0,
        "gpus_per_trial": 0.5,
        "stages": stages,
    }
    return RunProgress(**{**values, **changes})


def race(name: str, *made: tuple[Any, int, int], models: int = 4) -> StageProgress:
    vectors = tuple(
        VectorProgress(n=n, parameters=numbers, models=models, done=done, failed=failed)
        for (n, numbers), done, failed in made
    )
    total = models * len(vectors)
    return StageProgress(name=name, title="Race", total=total, vectors=vectors)


@pytest.fixture
def watched(write_run, make):
    """A run folder with this progress.json, as it is looked at."""

    def look(said: RunProgress | None, records=None, settings=None) -> Watched:
        run = write_run(make.full() if records is None else records, settings=settings)
        if said is not None:
            (run / FILE).write_text(said.to_json())
        return Watched(run)

    return look


def valid(figure: dict[str, Any]) -> go.Figure:
    """The figure as plotly knows it; it raises for any property that there is none of."""
    return go.Figure(data=figure["data"], layout=figure["layout"])


def points(figure: dict[str, Any], *names: str) -> set[tuple[float, float]]:
    traces = [trace for trace in figure["data"] if trace["name"].startswith(names)]
    return {pair for trace in traces for pair in zip(trace["x"], trace["y"], strict=True)}


def test_every_figure_is_one_of_plotlys_and_says_what_it_shows(watched):
    found = watched(progress(race("race", (FIRST, 4, 0), (SECOND, 3, 1))))
    for figure in (drawn_of(found)["tradeoff"], drawn_of(found)["layers"], race_of(found)["race"]):
        valid(figure)
        assert len(figure["alt"]) > 40


def test_accuracy_against_leak_has_the_trials_bound_and_intervals_of_the_report(watched):
    found = watched(None)
    figure, rows = drawn_of(found)["tradeoff"], statistics.search_trials(found.run.trials)
    complete = rows[rows["state"] == "COMPLETE"]
    at = complete[["val_accuracy", "excess_gain"]].astype(float).round(6)
    assert points(figure, "anchor", "suggested") == set(at.itertuples(index=False, name=None))
    best = at[complete["feasible"].eq(True)]
    best = best[non_dominated(best["val_accuracy"], best["excess_gain"])]
    assert points(figure, "best trade-offs") == set(best.itertuples(index=False, name=None))
    bound = statistics.accuracy_bound(found.run.trials, found.run.config)
    assert figure["layout"]["shapes"][0]["x0"] == bound
    errors = [
        error
        for trace in figure["data"]
        if trace["name"].startswith(("anchor", "suggested"))
        for error in trace["error_y"]["array"]
    ]
    assert errors == pytest.approx([1.96 * 0.006] * len(complete))
    confirmed = statistics.confirmed(found.run.trials, found.run.config)
    (kept,) = [one for one in figure["data"] if one["name"] == "confirmed, feasible"]
    row = confirmed[confirmed["feasible"].eq(True)].iloc[0]
    high = kept["y"][0] + kept["error_y"]["array"][0]
    low = kept["y"][0] - kept["error_y"]["arrayminus"][0]
    ends = row[["excess_gain_low", "excess_gain_high"]].tolist()
    assert [low, high] == pytest.approx(ends, abs=1e-5)


def test_feasible_and_not_feasible_differ_in_shape_and_not_in_colour_alone(watched):
    traces = drawn_of(watched(None))["tradeoff"]["data"]
    symbols = {one["name"]: one["marker"]["symbol"] for one in traces if "marker" in one}
    assert len(set(symbols.values())) == len(symbols) == len(traces) - 1  # one is a line
    assert symbols["suggested, not feasible"] == "circle-open"


def test_of_many_trials_only_the_best_trade_offs_have_bars(watched, make):
    figure = drawn_of(watched(None, [make.dense(), *make.searched(150)]))["tradeoff"]
    with_bars = {trace["name"] for trace in figure["data"] if "error_y" in trace}
    assert with_bars == {"best trade-offs"}


def test_a_run_that_has_only_begun_has_nothing_to_draw(watched):
    found = watched(progress(), records=[])
    drawn = {**drawn_of(found), **race_of(found)}
    assert {name for name, one in drawn.items() if one is not None} == {"layers_of"}
    assert now_of(found, NOW)["state"] == RUNNING


def test_the_stage_and_the_whole_run_have_a_time_left(watched):
    now = now_of(watched(progress(DENSE, SEARCH)), NOW)
    assert now["headline"] == "Search: 6 of 24, about 1 min 30 s left"
    assert now["done"] == [6, 24]
    # 20 models to come, each 10 s as those so far in the mean, on two slots
    assert now["detail"] == "The whole run: about 3 min 10 s left"
    assert [*map(list, now["stages"]["rows"])] == [
        ["dense", "done", "4", "4 at most"],
        ["search", "now", "6", "24 at most"],
        ["race", "to come", "0", "8 at most"],
        ["confirm", "to come", "0", "12 at most"],
    ]


def test_slots_cost_and_failures_are_facts(watched):
    facts = dict(now_of(watched(progress(DENSE, SEARCH)), NOW)["facts"])
    assert facts["slots busy"] == "2 of 2"
    assert facts["cost so far"] == "0.06 core-hours, 0.01 GPU-hours"
    assert facts["failed"] == "1"
    assert facts["searched trials"] == "24 of 24"


def test_failures_are_told_by_reason_the_commonest_first(watched, make):
    words = ("out of memory at 0x12", "loss is not finite", "out of memory at 0x34")
    failed = [
        make.without_gain(make.trial("search", number), "FAILED", error=error)
        for number, error in enumerate(words)
    ]
    rows = drawn_of(watched(None, failed))["failures"]["rows"]
    assert rows == [
        ["out of memory at 0x12", "search-0000", "2"],
        ["loss is not finite", "search-0001", "1"],
    ]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (FINISHED, "has ended"),
        (INTERRUPTED, "was interrupted"),
        (FAULTY, "ended with a fault"),
    ],
)
def test_what_became_of_a_run_is_said(watched, outcome, words):
    now = now_of(watched(progress(DENSE, outcome=outcome)), NOW)
    assert now["state"] == outcome
    assert words in now["headline"]
    assert ("--resume" in now["headline"]) == (outcome != FINISHED)


def test_a_run_that_is_silent_was_probably_killed(watched):
    found = watched(progress(DENSE, SEARCH))
    assert now_of(found, NOW + datetime.timedelta(seconds=20))["state"] == RUNNING
    late = now_of(found, NOW + datetime.timedelta(minutes=5))
    assert late["state"] == INTERRUPTED
    assert "No sign of life for 5 min" in late["headline"]


def test_a_run_of_an_older_release_is_shown_too(watched):
    found = watched(None)
    assert now_of(found, NOW)["state"] == INTERRUPTED
    (found.folder / "report.html").touch()
    found.look()
    assert now_of(found, NOW)["state"] == FINISHED


def states(found: Watched) -> list[tuple[str, str, str]]:
    return [(row[1], row[2], row[3]) for row in race_of(found)["race_table"]["rows"]]


def test_the_race_says_who_lives_and_at_how_many_models(watched, make):
    ongoing = race("race", (FIRST, 4, 0), (SECOND, 1, 0), (THIRD, 2, 1))
    assert states(watched(progress(ongoing))) == [
        ("racing", "4 of 4", "–"),
        ("racing", "1 of 4", "–"),
        ("out: a model failed", "2 of 4, 1 failed", "–"),
    ]


def test_who_is_not_in_the_newest_round_of_a_race_is_out(watched):
    rounds = race("race", (FIRST, 2, 0), (SECOND, 2, 0), models=2), race("race-1", (SECOND, 1, 0))
    assert states(watched(progress(*rounds))) == [
        ("racing", "3 of 6", "–"),
        ("out: others were better", "2 of 2", "–"),
    ]


def test_after_the_race_the_order_of_confirmation_decides(watched, make):
    settings = make.config() | {"raced": [[0.01, [[[30, 40], []], [[10, 10], [["rho", 0.1]]]]]]}
    raced = race("race", (FIRST, 4, 0), (SECOND, 4, 0), (THIRD, 4, 0))
    confirming = race("references-0", (FIRST, 2, 0), models=3)
    found = watched(progress(raced, confirming), settings=settings)
    assert states(found) == [
        ("being confirmed", "4 of 4", "2 of 3"),
        ("in, waits for confirmation", "4 of 4", "–"),
        ("out: others were better", "4 of 4", "–"),
    ]


def test_only_what_changed_is_read_again(watched, make, write_run, monkeypatch):
    found = watched(None)
    read, number = [], found.number
    monkeypatch.setattr("analysis.load.read_part", lambda *given: read.append(given))
    found.look()
    assert (found.number, read) == (number, [])
    monkeypatch.undo()
    write_run([make.trial("search", 99)], name="other")
    other = found.folder.parent / "other" / "trials.parquet" / "search-0099.parquet"
    other.rename(found.folder / "trials.parquet" / other.name)
    count = len(found.run.trials)
    found.look()
    assert (found.number, len(found.run.trials)) == (number + 1, count + 1)


WEIRD: tuple[Any, ...] = (None, -1, "x", [], {}, [1], {"a": []}, 1e400, "2026-01-01", True)


def test_a_damaged_progress_file_is_one_line(watched):
    whole = json.loads(progress(DENSE, race("race", (FIRST, 1, 0))).to_json())
    found = watched(progress())
    paths = [[key] for key in whole]
    paths += [["stages", 1, key] for key in whole["stages"][1]]
    paths += [["stages", 1, "vectors", 0, key] for key in whole["stages"][1]["vectors"][0]]
    refused = []
    for path in paths:
        for value in WEIRD:
            damaged = copy.deepcopy(whole)
            inner = damaged
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            (found.folder / FILE).write_text(json.dumps(damaged))
            try:
                json.dumps([now_of(found, NOW), race_of(found)])
            except InvalidInput as error:
                refused.append(str(error))
    assert len(refused) > 100
    assert all(FILE in line and "\n" not in line for line in refused)


def test_what_is_written_is_what_is_read():
    said = progress(DENSE, race("race", (THIRD, 1, 0)))
    assert RunProgress.from_dict(json.loads(said.to_json())) == said


def test_a_comparison_shows_the_run_that_began_last(write_run, make, tmp_path: Path):
    folder = tmp_path / "all"
    folder.mkdir()
    runs = [{"defense": name} for name in ("none", "pruning", "dp")]
    config = {"version": 1, "run_id": "all", COMPARISON: {"runs": runs}}
    (folder / "config.json").write_text(json.dumps(config))
    newest = Newest(folder)
    assert newest.look() is None
    assert "being trained" in NOT_BEGUN["headline"]
    for number, name in enumerate(("none", "pruning"), 1):
        write_run(make.full(), name=f"all/{DEFENCES}/{name}")
        assert newest.look().folder.name == name
        assert newest.defence == f"{name}, {number} of 3"
        assert newest.look().resumed_by == folder
    assert newest.title == {"title": "Comparison of defences", "run_id": "all"}


def test_the_progress_of_a_stage_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SEARCH.done = 7  # type: ignore[misc]
