"""The mirror: finished trials in an Optuna storage, and a search that does not depend on it."""

import datetime
import json
import logging
import sqlite3
import threading

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState

from search.record import mirror as module
from search.record.live_mirror import LiveMirror
from search.record.mirror import Mirror
from search.record.redaction import redacted, shown_to_others
from search.record.storage_url import require_storage_url
from search.space import Space
from trainables.base.errors import InvalidInput
from trainables.outcome.objective import LEAST_LEAK, Goal

SPACE = Space("layer", ("conv1", "fc"), (150, 1000))


def row(number, kind="search", **changes):
    return {
        "trial_id": f"{kind}-{number:04d}",
        "number": number,
        "kind": kind,
        "state": "COMPLETE",
        "feasible": True,
        "n": [15 + number, 100],
        "val_accuracy": 0.93,
        "compression": 10.0,
        "excess_gain": 0.02,
        "accuracy_violation": -0.01,
        "compression_violation": None,
        "started_at": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        "duration_s": 60.0,
        "error": None,
        **changes,
    }


ROWS = [
    row(0, "anchor"),
    row(1, accuracy_violation=0.05, compression_violation=-2.0, feasible=False),
    row(2, state="PRUNED", excess_gain=None, accuracy_violation=0.2),
    row(3, state="FAILED", excess_gain=None, accuracy_violation=None, error="loss is nan"),
    row(0, "baseline"),
    row(0, "confirm"),
]


@pytest.fixture(params=["sqlite", "journal"])
def url(request, tmp_path):
    return f"{request.param}:///{tmp_path}/study.db"


def mirror(url, study_name, rows, space, goal=LEAST_LEAK):
    """As a process that begins does; returns how many rows were added."""
    return Mirror(url, study_name, lambda: rows, space, goal).add([])


def study_in(url):
    storage = (
        JournalStorage(JournalFileBackend(url.removeprefix("journal://")))
        if url.startswith("journal")
        else url
    )
    return optuna.load_study(study_name="run", storage=storage)


def test_anchor_and_search_rows_are_shown_and_no_others(url):
    assert mirror(url, "run", ROWS, SPACE) == 4
    trials = study_in(url).trials
    assert [t.user_attrs["trial_id"] for t in trials] == [
        "anchor-0000",
        "search-0001",
        "search-0002",
        "search-0003",
    ]
    assert [t.state for t in trials] == [
        TrialState.COMPLETE,
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
    ]
    assert [t.values for t in trials] == [[0.02], [0.02], None, None]
    assert [SPACE.counts(t.params) for t in trials] == [(15 + i, 100) for i in range(4)]
    assert trials[0].datetime_complete - trials[0].datetime_start == datetime.timedelta(minutes=1)


def test_constraints_are_there_for_optuna_and_for_the_dashboard(url):
    mirror(url, "run", ROWS, SPACE)
    feasible, infeasible, pruned, failed = study_in(url).trials
    assert infeasible.constraints["accuracy_violation"] == 0.05
    assert infeasible.system_attrs["constraints"] == [0.05, -2.0]
    assert pruned.system_attrs["constraints"] == [0.2]
    assert "constraints" not in failed.system_attrs
    assert study_in(url).best_trial.user_attrs["trial_id"] == "anchor-0000"
    assert feasible.system_attrs["constraints"] == [-0.01]


def test_a_study_shows_what_the_search_looks_for(url):
    goal = Goal(objective="val_accuracy", maximised=True, units={})
    rows = [
        {**row, "val_accuracy": accuracy}
        for row, accuracy in zip(ROWS[:2], (0.91, 0.93), strict=True)
    ]
    mirror(url, "run", [{**row, "accuracy_violation": -0.01} for row in rows], SPACE, goal)
    assert study_in(url).direction == StudyDirection.MAXIMIZE
    assert study_in(url).best_value == 0.93


def test_mirroring_again_adds_only_what_is_new(url):
    assert mirror(url, "run", ROWS[:2], SPACE) == 2
    assert mirror(url, "run", ROWS[:2], SPACE) == 0
    assert mirror(url, "run", ROWS, SPACE) == 2
    assert len(study_in(url).trials) == 4


class Rows:
    """All rows of a run, and how often they were asked for."""

    def __init__(self, rows):
        self.rows, self.asked = rows, 0

    def __call__(self):
        self.asked += 1
        return self.rows


def names_in(url):
    return [trial.user_attrs["trial_id"] for trial in study_in(url).trials]


def test_a_trial_that_ends_writes_only_itself(url, monkeypatch):
    """What older releases did: ask for every row and read every mirrored trial, for each trial."""
    rows = Rows(ROWS[:2])
    kept = Mirror(url, "run", rows, SPACE)
    assert kept.add(ROWS[1:2]) == 2
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "get_trials", None)
        assert kept.add([row(4)]) == 1
        assert kept.add([row(5), row(6), row(7, "confirm")]) == 2
        assert kept.add([row(5)]) == 0
    assert rows.asked == 1
    assert names_in(url) == ["anchor-0000", *(f"search-{number:04d}" for number in (1, 4, 5, 6))]


def test_a_study_that_somebody_removes_meanwhile_is_made_again_whole(url):
    kept = Mirror(url, "run", lambda: ROWS, SPACE)
    assert kept.add(ROWS[:1]) == 4
    storage = (
        JournalStorage(JournalFileBackend(url.removeprefix("journal://")))
        if url.startswith("journal")
        else url
    )
    optuna.delete_study(study_name="run", storage=storage)
    assert kept.add([row(3)]) == 4
    assert len(names_in(url)) == 4


@pytest.mark.usefixtures("_forgetful")
def test_a_storage_that_is_lost_meanwhile_is_filled_again(url, tmp_path, caplog):
    kept = Mirror(url, "run", lambda: ROWS, SPACE)
    assert kept.add(ROWS[:1]) == 4
    (tmp_path / "study.db").unlink()
    added = kept.add([row(3)]) or kept.add([row(3)])  # one warning, then all again
    assert added == 4
    assert len(names_in(url)) == 4


@pytest.mark.usefixtures("_forgetful")
def test_what_a_storage_missed_while_it_was_away_is_added_when_it_is_back(tmp_path, caplog):
    folder = tmp_path / "mounted"
    url = f"sqlite:///{folder}/study.db"
    rows = []
    kept = Mirror(url, "run", lambda: rows, SPACE)
    for number in range(3):
        rows.append(row(number))
        assert kept.add(rows[-1:]) == 0
    folder.mkdir()
    rows.append(row(3))
    assert kept.add(rows[-1:]) == 4


class Slow:
    """A mirror whose storage does not answer before `answers` is set."""

    def __init__(self):
        self.answers, self.added = threading.Event(), []

    def add(self, rows):
        assert self.answers.wait(60)
        self.added.append([row["number"] for row in rows])


def test_a_storage_that_does_not_answer_holds_nobody_up_and_gets_every_row():
    slow = Slow()
    live = LiveMirror(slow)
    for number in range(20):
        live.add({"number": number})
    assert slow.added == []  # and we are here
    slow.answers.set()
    live.finish()
    assert [number for some in slow.added for number in some] == list(range(20))
    assert len(slow.added) < 25


def test_a_fault_of_the_mirror_is_not_lost_with_its_thread():
    class Faulty:
        def add(self, rows):
            raise ValueError("a fault of ours")

    live = LiveMirror(Faulty())
    live.add({"number": 0})
    with pytest.raises(ValueError, match="a fault of ours"):
        live.finish()


def test_runs_in_one_storage_stay_apart(url):
    mirror(url, "run", ROWS[:1], SPACE)
    mirror(url, "other", ROWS, SPACE)
    assert len(study_in(url).trials) == 1


@pytest.fixture
def _forgetful():
    module._warned.clear()


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_a_storage_that_is_away_is_warned_of_once_and_stops_nothing(scheme, tmp_path, caplog):
    url = f"{scheme}:///{tmp_path}/no-such-folder/study.db"
    with caplog.at_level(logging.WARNING, logger="search.record.mirror"):
        assert mirror(url, "run", ROWS, SPACE) == 0
        assert mirror(url, "run", ROWS, SPACE) == 0
    assert len(caplog.records) == 1
    (tmp_path / "no-such-folder").mkdir()
    assert mirror(url, "run", ROWS, SPACE) == 4


@pytest.mark.usefixtures("_forgetful")
def test_a_password_is_never_logged(caplog):
    url = "postgresql://ada:s3cret@127.0.0.1:1/runs"
    with caplog.at_level(logging.DEBUG):
        assert mirror(url, "run", ROWS, SPACE) == 0
    assert "postgresql://ada:***@127.0.0.1:1/runs" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_a_file_that_is_no_storage_is_warned_of(scheme, tmp_path, caplog):
    path = tmp_path / "study.db"
    path.write_text("this is no storage\n" * 10)
    assert mirror(f"{scheme}:///{path}", "run", ROWS, SPACE) == 0
    assert "is away" in caplog.text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:p@ss:w/rd@host:5432/db", "postgresql://ada:***@host:5432/db"),
        (
            "postgresql://host/db?user=a&password=x&b=1",
            "postgresql://host/db?user=a&password=***&b=1",
        ),
        ("postgresql://ada@host/db", "postgresql://ada@host/db"),
        ("sqlite:///some/file.db", "sqlite:///some/file.db"),
    ],
)
def test_passwords_are_left_out_of_messages(url, shown):
    assert redacted(url) == shown


SECRET = "postgresql://ada:s3cret@host/db"


@pytest.mark.parametrize(
    ("url", "address", "warned"),
    [
        (SECRET, "auto", True),
        (SECRET, "ray://head:10001", True),
        ("postgresql://host/db?user=ada&password=s3cret", "auto", True),
        (SECRET, "local", False),
        ("postgresql://ada@host/db", "auto", False),
    ],
)
def test_a_password_that_a_cluster_writes_down_is_warned_of(url, address, warned):
    said = shown_to_others("--study-storage", url, address, "~/.pgpass")
    assert (said is not None) == warned
    if said is not None:
        assert "~/.pgpass" in said
        assert "s3cret" not in said
        assert "\n" not in said


@pytest.mark.parametrize("url", ["study.db", "redis://host", "http://ada:s3cret@host", ""])
def test_a_url_that_is_no_storage_is_refused(url):
    with pytest.raises(InvalidInput, match="is not a storage") as raised:
        require_storage_url(url)
    assert "s3cret" not in str(raised.value)


def test_the_cause_is_told_without_the_password():
    url = "postgresql://ada:p%40ss@host/db"
    assert redacted("refused: ada:p@ss (p%40ss)", url) == "refused: ada:*** (***)"


def test_attributes_survive_as_json(tmp_path):
    mirror(f"sqlite:///{tmp_path}/study.db", "run", ROWS, SPACE)
    with sqlite3.connect(tmp_path / "study.db") as database:
        values = [
            json.loads(value)
            for (value,) in database.execute("select value_json from trial_user_attributes")
        ]
    database.close()
    assert [15, 100] in values
