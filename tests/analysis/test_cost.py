"""What a run cost, by stage, and its race in the report."""

from pathlib import Path

import pytest

from analysis.cost import costs
from analysis.report import main
from tests.analysis.test_live import DENSE, FIRST, SEARCH, SECOND, progress, race
from trainables.progress import FILE, FINISHED


def test_the_time_of_all_slots_is_shared_out_by_stage() -> None:
    found = costs(progress(DENSE, SEARCH))
    assert found is not None
    assert [list(row) for row in found.rows] == [
        ["dense models of all halves", "4", "40 s", "40%"],
        ["search", "6", "1 min", "60%"],
    ]
    assert "each of 2 cores and 0.5 GPUs; together 1 min 40 s" in found.caption


def test_nothing_timed_is_nothing_shown() -> None:
    assert costs(progress()) is None


@pytest.mark.usefixtures("pictures_drawn_once")
def test_the_report_shows_race_and_cost_where_they_are_known(write_run, make) -> None:
    run: Path = write_run(make.full())
    assert main([str(run)]) == 0
    before = (run / "report.html").read_text()
    raced = race("race", (FIRST, 4, 0), (SECOND, 4, 0))
    said = progress(DENSE, SEARCH, raced, outcome=FINISHED)
    (run / FILE).write_text(said.to_json())
    assert main([str(run)]) == 0
    page = (run / "report.html").read_text()
    for heading in ("<h2>The race</h2>", "<h2>What it cost</h2>"):
        assert heading not in before
        assert heading in page
