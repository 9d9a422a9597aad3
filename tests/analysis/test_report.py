"""The page holds what happened, opens offline, and lets nothing written by others run."""

import dataclasses
import datetime
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis import report, run_page, run_tables
from analysis.load import load_run
from analysis.side_by_side import defended
from analysis.verdict import verdict
from trainables.records import TrialRecord

pytestmark = pytest.mark.usefixtures("pictures_drawn_once")

RunWriter = Callable[..., Path]
PLANTED = "<script>alert('planted')</script><img src=x onerror=alert(1)>\"'$x_1$"


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def full(write_run: RunWriter, make: SimpleNamespace) -> Path:
    epochs = [row for index in range(9) for row in make.epochs(f"confirm-{index:04d}")]
    return write_run(make.full(), epochs=epochs)


def read(folder: Path) -> Page:
    return Page(run_page.write_report(folder).read_text(encoding="utf-8"))


def test_headline_states_leak_accuracy_and_size_with_interval(full: Path) -> None:
    found = verdict(load_run(full))
    assert found.tone == "good"
    assert found.title == (
        "The winner leaks 2.6 times less, at 0.8 points lower test accuracy, "
        "with 4.0 times fewer parameters"
    )
    assert "95% interval 0.2" in found.text
    assert "3 fresh seeds" in found.text


def test_page_has_every_part(full: Path) -> None:
    page = read(full)
    assert page.tags.count("svg") == 9
    for words in (
        "Accuracy against leakage",
        "Search value and confirmed value",
        "attack AUC",
        "TPR at 0.1% FPR",
        "loss is not finite in phase admm",
        "python -m search.run --dataset mnist5k --seed 0",
        "SHA-256",
        "2.14.1",
        "Do not release the dense and the pruned network together.",
        "search-0023",
        "12,000",
        "confirm trials 100, 101, 102",
        "search-0010 complete yes",
        "search-0019 failed no",
    ):
        assert words in page.text, words


def test_page_asks_nothing_of_the_outside(full: Path) -> None:
    page = read(full)
    policies = [value for name, value in page.attributes if name == "content"]
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in policies
    for name, value in page.attributes:
        if name in {"src", "href", "xlink:href", "srcset", "data", "action"}:
            assert (value or "").startswith(("#", "data:image/png;base64,"))
        assert not name.startswith("on")
    assert not {"script", "link", "iframe", "object", "embed", "img"} & set(page.tags)
    markup = (full / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"\s]+", markup)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in markup
    assert set(re.findall(r"url\(([#\w])", markup)) <= {"#"}


def test_every_picture_is_labelled_and_ids_are_unique(full: Path) -> None:
    page = read(full)
    assert len(page.ids) == len(set(page.ids))
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert all(labels)
    markup = (full / "report.html").read_text(encoding="utf-8")
    assert markup.count('role="img"') == 9
    for target in re.findall(r'(?:url\(|href=")#([^)"]+)', markup):
        assert target in page.ids


def test_planted_markup_is_inert(write_run: RunWriter, make: SimpleNamespace) -> None:
    records = [
        type(record)(
            **{name: getattr(record, name) for name in record.__slots__}
            | {"layer_names": [PLANTED] * 5, "node": PLANTED, "strongest_attack": PLANTED}
            | ({"error": PLANTED} if record.error else {})
            | (
                {"attack_gains": {**record.attack_gains, PLANTED: -1.38}}
                if record.attack_gains
                else {}
            )
        )
        for record in make.full()
    ]
    settings = make.config(model=PLANTED, dataset=PLANTED)
    settings |= {"command": PLANTED, "run_id": PLANTED, "packages": {PLANTED: PLANTED}}
    page = read(write_run(records, settings=settings))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "alert('planted')" in page.text


def test_interrupted_run_says_that_nothing_is_confirmed(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    folder = write_run([make.dense(), *make.searched()])
    assert verdict(load_run(folder)).title == "Not confirmed yet"
    assert "Nothing has been confirmed" in read(folder).text


def test_a_run_without_trials_still_has_a_page(write_run: RunWriter) -> None:
    page = read(write_run([]))
    assert "No trial has finished yet" in page.text
    assert "svg" not in page.tags


def test_no_feasible_trial_names_the_hardest_bound(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    records = [
        make.trial("search", number, feasible=False, val_accuracy=0.9, accuracy_violation=0.025)
        for number in range(4)
    ]
    found = verdict(load_run(write_run([make.dense(), *records])))
    assert found.tone == "bad"
    assert "No feasible winner among 4 trials" in found.title
    assert "accuracy (missed by 100% of 4 searched trials)" in found.text
    assert "is 90.0%; 92.5% is needed" in found.text


def test_vectors_that_fail_confirmation_are_no_winner(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    confirm = [record for record in make.confirm() if record.number < 3]
    folder = write_run([make.dense(), *make.searched(), *confirm])
    assert "no vector met its bounds" in verdict(load_run(folder)).title
    assert "A (not feasible)" in read(folder).text


@pytest.mark.parametrize(
    ("excess", "title", "tone"),
    [
        (0.085, "No measurable difference in leakage", "warn"),
        (0.32, "leaks 4.0 times more", "bad"),
        (0.0, "The winner shows no leak to these attacks", "good"),
    ],
)
def test_headline_claims_no_more_than_the_interval(
    write_run: RunWriter, make: SimpleNamespace, excess: float, title: str, tone: str
) -> None:
    confirm = make.trial("confirm", 0, excess=excess, test_accuracy=0.94)
    found = verdict(load_run(write_run([make.dense(), confirm])))
    assert title in found.title
    assert "at the same test accuracy" in found.title
    assert found.tone == tone
    assert ("is not distinguishable from zero" in found.text) == (excess == 0)


def test_a_dense_network_that_does_not_leak_is_said_so(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    dense = make.trial(
        *("baseline", 0), excess=0.002, attack_gain_se=0.003, test_accuracy=0.94, val_accuracy=0.93
    )
    confirm = make.trial("confirm", 0, excess=0.002, test_accuracy=0.94)
    found = verdict(load_run(write_run([dense, confirm])))
    assert "does not measurably leak: its excess gain is below 0.01 nats" in found.title
    assert "-0.0039 to 0.0079 nats" in found.text


def test_switched_off_references_are_said_aloud(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    folder = write_run([make.dense()], settings=make.config(references=0))
    assert "Matched references were turned off" in read(folder).text


def test_same_run_gives_the_same_page(full: Path, pictures_drawn_once: dict[bytes, str]) -> None:
    first = run_page.write_report(full).read_bytes()
    pictures_drawn_once.clear()
    assert run_page.write_report(full).read_bytes() == first
    assert [path.name for path in full.glob(".report*")] == []


@pytest.mark.parametrize("year", [3, 1970, 2300, 9899])
def test_a_machine_whose_clock_is_wrong_changes_no_figure(
    year: int, full: Path, write_run: RunWriter, make: SimpleNamespace
) -> None:
    wrong = datetime.datetime(year, 1, 1, tzinfo=datetime.UTC)
    trials = [
        dataclasses.replace(trial, started_at=wrong, duration_s=1e8 if index == 6 else 10.0)
        if index % 3 == 0
        else trial
        for index, trial in enumerate(make.full())
    ]
    run = load_run(write_run(trials, name="wrong"))
    assert verdict(run) == verdict(load_run(full))
    assert run_page.write_report(run.path).is_file()


def test_command_prints_the_path(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(full)]) == 0
    assert capsys.readouterr().out == f"{full / 'report.html'}\n"


def test_command_refuses_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "not a run folder" in captured.err
    assert list(tmp_path.iterdir()) == []


def test_unwritable_place_is_one_line(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (full / "report.html").mkdir()
    assert report.main([str(full)]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert list(full.glob(".report*")) == []


def test_analysis_needs_no_torch_ray_or_optuna() -> None:
    code = (
        "import sys, json, analysis.report, analysis.compare;"
        "print(json.dumps([m for m in ('torch', 'ray', 'optuna') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_published_allocations_stand_beside_the_winner_with_the_difference(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    theirs, ours = [150, 2400, 9000, 9000, 840], make.confirm()[3].n
    extra = [
        make.trial("confirm", 9 + seed, n=theirs, reference=0.061, test_accuracy=0.93, seed=seed)
        for seed in range(3)
    ]
    settings = make.config() | {"comparators": {"uniform": theirs, "erk": ours}}
    compared = write_run([*make.full(), *extra], settings=settings, name="compared")
    assert "What the search buys" not in read(write_run(make.full(), name="plain")).text
    page = read(compared).text
    section = page[page.index("What the search buys") : page.index("Every attack")]
    assert "uniform 0.0610" in section
    assert "erk 0.0310" in section  # the winner's own vector
    assert "0.0300" in section  # the difference of the two


def test_the_largest_of_a_family_is_called_flattered(full: Path) -> None:
    text = read(full).text
    assert "largest without references (nats)" in text
    assert "confirmed: largest with references" in text
    assert "flattered by the choice" in text


def test_the_report_states_the_audit_or_how_to_get_one(
    full: Path, write_audit: Callable[..., None]
) -> None:
    assert "add --audit lira to the command" in read(full).text
    write_audit(full, dense={"rmia": 0.7}, winner={"rmia": 0.56})
    page = read(full).text
    assert "The strongest audit attack (rmia) finds" in page
    assert "add --audit lira" not in page


def by_other_pruners(make: SimpleNamespace) -> list[TrialRecord]:
    """The winner's counts by magnitude, and its recipe with nothing removed; two seeds each."""
    ours, dense = make.confirm()[3].n, make.dense().n
    ways = (("magnitude", ours, 0.05, 4.0), ("admm", dense, 0.07, 1.0))
    return [
        make.trial(
            "comparator", 2 * rank + seed, n=n, reference=gain, test_accuracy=0.93,
            compression=compression, pruner=pruner, seed=seed,
        )
        for rank, (pruner, n, gain, compression) in enumerate(ways)
        for seed in range(2)
    ]  # fmt: skip


def test_other_pruners_stand_beside_the_winner_and_never_win(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    assert "What the pruner buys" not in read(write_run(make.full(), name="plain")).text
    better = make.trial(
        "comparator", 9, n=make.confirm()[3].n, reference=0.001, pruner="lottery", test_accuracy=0.9
    )
    folder = write_run([*make.full(), *by_other_pruners(make), better])
    page = read(folder).text
    section = page[page.index("What the pruner buys") : page.index("Every attack")]
    assert "admm, the winner 0.0310" in section
    assert re.search(r"magnitude, the same counts 0.0500 \S+ to \S+ 0.0190 ", section)
    assert "admm, nothing removed 0.0700" in section
    assert "lottery, the same counts" in section
    assert "comparator-0009" in page
    assert verdict(load_run(folder)).title.startswith("The winner leaks 2.6 times less")
    table = run_tables.pruners([load_run(folder)], [defended(load_run(folder), "run")])
    assert [row[2].split("\n") for row in table.rows][:3] == [
        ["admm", "its own search"],
        ["magnitude", "the same counts"],
        ["admm", "nothing removed"],
    ]
    assert table.rows[1][4].startswith("0.0190\n")
