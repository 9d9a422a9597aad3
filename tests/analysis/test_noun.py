"""Report, card, terminal and comparison call the records of a run what the run calls them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis.comparison_page import compare
from analysis.load import load_run, noun_of
from analysis.paper_page import paper
from analysis.run_page import write_report
from analysis.summary import card, headline
from tests.analysis.test_cross_audit import another, winner, write
from trainables.base.errors import InvalidInput

RunWriter = Callable[..., Path]


@pytest.fixture
def everything(
    write_run: RunWriter, make: SimpleNamespace, write_audit: Callable[..., None]
) -> Callable[..., Path]:
    """A run with a cross-audit, a front and an audit with canaries; noun: what it is of."""

    def made(noun: str | None, name: str = "run") -> Path:
        asked = {"canaries": 0.1, "audit": "rmia", "limit": 4000}  # with a limit no image is shown
        settings = make.config(levels=[0.0, 0.005, 0.02], **asked)
        settings |= {} if noun is None else {"noun": noun}
        folder = write_run(make.full(), name=name, settings=settings)
        write(folder, "baseline-0000", knows=0.70, accuracy=0.95)
        for vector in {winner(folder), another(folder)}:
            write(folder, vector, knows=0.60, accuracy=0.945)
        write_audit(folder, canaries=True, dense={"rmia": 0.7}, winner={"rmia": 0.6})
        return folder

    return made


def said(folder: Path) -> str:
    """All that a user reads of a run, without the folder's own name."""
    run = load_run(folder)
    page = write_report(folder).read_text()
    text = "\n".join([page, card(run), headline(run)])
    return re.sub("<(style|script).*?</\\1>", "", text, flags=re.DOTALL)


@pytest.mark.slow
def test_rows_are_said_wherever_images_would_be_and_nothing_else_changes(everything) -> None:
    images, others = said(everything(None)), said(everything("gizmos", "ran"))
    assert re.findall(".{0,30}(?:image|pixel).{0,20}", others, re.IGNORECASE) == []
    assert images.count("image") > 25
    assert others.replace("gizmo", "image").replace("Gizmo", "Image").replace("ran", "run") == (
        images.replace("ran", "run")
    )


@pytest.mark.usefixtures("pictures_drawn_once")
def test_a_comparison_speaks_of_both_runs_and_of_records_where_they_differ(everything) -> None:
    runs = [everything("rows", "one"), everything("rows", "two")]
    hashes = json.loads((runs[1] / "config.json").read_text())
    hashes["split_hashes"] = {"members": "another"}
    (runs[1] / "config.json").write_text(json.dumps(hashes))
    text, page = compare(runs)
    assert "The runs differ in the split of the rows." in text
    assert "image" not in text + page
    assert noun_of([load_run(runs[0]), load_run(everything(None, "three"))]) == "records"
    paper(runs)


def test_a_noun_that_is_no_text_is_a_damaged_file(everything) -> None:
    with pytest.raises(InvalidInput, match=r"config.json.*noun has a value of another kind"):
        load_run(everything(3))
