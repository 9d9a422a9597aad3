"""The race: who runs, on which halves, and who is confirmed first."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from search.presets import smoke
from search.recipes import recipe
from search.search_options import RACERS
from search.space import Candidate
from search.stages import cross_audit as audit
from search.stages import race as stage
from search.stages.race import LUCK, common_field, field, race
from search.tune.required import StageFailed
from trainables.attacks.digest import digest_of
from trainables.config import TrialConfig
from trainables.data.cohort import halves_of_models
from trainables.data.split import Split
from trainables.job import Job
from trainables.outcome.objective import Goal, goal_of, goals_of

PART = 200
PARTS = ("members", "non_members", "validation", "test", "reserve")
SPLIT = Split(
    **{name: np.arange(PART * at, PART * (at + 1)) for at, name in enumerate(PARTS)}, copies=None
)
LABELS = np.arange(5 * PART) % 3
CONFIG = dataclasses.replace(smoke(recipe("mnist5k", "lenet5")), models=6, max_accuracy_drop=0.05)
HALVES = halves_of_models(SPLIT, CONFIG.dense_models, 0)
FIRST = CONFIG.models
LEAST = goal_of(CONFIG.to_dict())


@dataclasses.dataclass(frozen=True)
class Made:
    """The result of a job: what it leaks, and how often it is right on the validation images."""

    job: Job
    leak: float
    accuracy: float
    metrics: ClassVar[dict[str, Any]] = {"finished": True}


@dataclasses.dataclass(frozen=True)
class Failed:
    metrics: ClassVar[dict[str, Any]] = {"trial_error": "the training loss became nan"}


def logits(made: Made) -> np.ndarray:
    """(|D| + |D'|, 3): surer of the images that the model trained on, by its leak."""
    half = made.job.reference
    assert half is not None
    generator = np.random.default_rng(half)
    answers = generator.normal(size=(2 * PART, 3))
    answers[np.arange(2 * PART), LABELS[: 2 * PART]] += 1 + made.leak * HALVES[half]
    return answers


def correct(made: Made) -> dict[str, np.ndarray]:
    right = np.random.default_rng(made.job.reference).random(PART) < made.accuracy
    return {"validation": right, "test": right}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The stage that would run; `shown` says what the models of each vector show."""
    seen = SimpleNamespace(jobs=[], shown={}, said=[])

    def run_stage(jobs: list[Job]) -> dict[str, Any]:
        seen.jobs = jobs
        return {job.trial.trial_id: seen.shown[job.trial.n](job) for job in jobs}

    monkeypatch.setattr(stage, "run_stage", run_stage)
    for module in (audit, stage):
        monkeypatch.setattr(module, "kept_correct", correct)
    monkeypatch.setattr(
        audit, "kept_digest", lambda made: digest_of(logits(made), LABELS[: 2 * PART])
    )
    return seen


def folder(tmp_path: Path) -> Any:
    """A run's folder, as far as a race knows it."""
    stored: dict[str, Any] = {}
    return SimpleNamespace(
        confirm=tmp_path / "confirm",
        read_config=lambda: json.loads(json.dumps(stored)),
        write_config=stored.update,
    )


def context(tmp_path: Path) -> Any:
    return SimpleNamespace(
        config=CONFIG,
        inputs=SimpleNamespace(split=SPLIT, images=SimpleNamespace(labels=LABELS)),
        halves=HALVES,
        folder=folder(tmp_path),
        say=print,
        stage=lambda _name, jobs, _shared, recorded: None if recorded else jobs,
    )


def base() -> Job:
    trial = TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=1,
        dataset="mnist5k",
        model="lenet5",
        n=(9, 9),
        training=CONFIG.training,
        admm=CONFIG.admm,
        attack=CONFIG.attack,
    )
    return Job(trial=trial, dense="baseline", accuracy_bound=0.9)


def dense() -> Any:
    models = [
        Made(dataclasses.replace(base(), reference=half), 2.0, 0.9) for half in range(len(HALVES))
    ]
    return SimpleNamespace(shared=None, results=models, accuracies=np.array([0.88, 0.9, 0.92]))


def raced(asked: SimpleNamespace, tmp_path: Path, **shows: tuple[float, float]) -> list[str]:
    """The names of the vectors in the order of their confirmation."""
    vectors = {name: (at, at) for at, name in enumerate(shows)}
    for name, (leak, accuracy) in shows.items():
        asked.shown.setdefault(vectors[name], lambda job, a=leak, b=accuracy: Made(job, a, b))
    candidates = [Candidate.of(n, None) for n in vectors.values()]
    found = race(context(tmp_path), dense(), base(), candidates)
    assert set(found) == {CONFIG.max_accuracy_drop}
    names = {n: name for name, n in vectors.items()}
    return [names[tuple(candidate.n)] for candidate in found[CONFIG.max_accuracy_drop]]


def test_the_least_leak_that_likely_keeps_the_bound_is_confirmed_first(
    asked: SimpleNamespace, tmp_path: Path
) -> None:
    order = raced(
        asked,
        tmp_path,
        wrong=(0.0, 0.5),
        leaky=(1.5, 0.9),
        quiet=(0.2, 0.9),
        nearly=(0.0, 0.8),
    )
    assert order == ["quiet", "leaky"], "the others cannot keep the bound"


def test_accuracy_is_held_against_all_dense_models(asked: SimpleNamespace, tmp_path: Path) -> None:
    asked.shown[0, 0] = lambda job: Made(job, 0.0, 0.9)
    asked.shown[1, 1] = lambda job: Made(job, 1.0, 0.98)
    candidates = [Candidate.of((at, at), None) for at in range(2)]
    assert race(context(tmp_path), dense(), base(), candidates) == {0.05: candidates}
    better = dense()
    better.accuracies = better.accuracies + 0.09
    found = race(context(tmp_path), better, base(), candidates)
    assert found == {0.05: candidates[1:]}, "0.9 is 9 points below their mean"


def test_one_vector_near_collapse_makes_the_others_no_less_sure(
    asked: SimpleNamespace, tmp_path: Path
) -> None:
    asked.shown[3, 3] = lambda job: Made(job, 0.0, 0.1 if job.reference == FIRST else 0.9)
    shows = {"quiet": (0.2, 0.9), "leaky": (1.5, 0.9), "wrong": (0.0, 0.8)}
    assert raced(asked, tmp_path, **shows, near=(0.0, 0.9)) == ["quiet", "leaky"]


def test_where_none_may_keep_the_bound_a_round_of_the_nearest_is_confirmed(
    asked: SimpleNamespace, tmp_path: Path
) -> None:
    assert CONFIG.confirm_top == 1
    assert raced(asked, tmp_path, wrong=(0.0, 0.5), nearly=(0.0, 0.7)) == ["nearly"]


def test_all_vectors_race_on_the_same_halves_which_the_report_never_uses(
    asked: SimpleNamespace, tmp_path: Path
) -> None:
    raced(asked, tmp_path, one=(1.0, 0.9), other=(0.5, 0.9))
    jobs = asked.jobs
    assert len({job.trial.trial_id for job in jobs}) == len(jobs) == 2 * CONFIG.race_models
    for part in (jobs[:4], jobs[4:]):
        assert [job.reference for job in part] == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]
        assert [job.dense for job in part] == [f"reference-{job.reference:02d}" for job in part]
        assert [job.trial.seed for job in part] == [job.trial.seed for job in jobs[:4]]
    assert {job.trial.kind for job in jobs} == {"race"}
    assert all(job.keep_outputs and not job.keep_model for job in jobs)
    assert len(HALVES) == FIRST + 4
    assert (HALVES[FIRST] != HALVES[FIRST + 1]).all()


def test_a_vector_whose_training_failed_is_left_out_and_named(
    asked: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.shown[0, 0] = lambda job: Failed() if job.reference == FIRST + 2 else Made(job, 0, 0.9)
    assert raced(asked, tmp_path, failed=(0.0, 0.9), whole=(1.0, 0.9)) == ["whole"]
    said = capsys.readouterr().out
    assert "A vector of 0 weights left the race: 1 of its 4 models failed" in said


def test_a_race_without_a_whole_vector_ends_the_run_in_one_line(
    asked: SimpleNamespace, tmp_path: Path
) -> None:
    asked.shown[0, 0] = lambda _job: Failed()
    with pytest.raises(StageFailed, match="no vector of the race has all its models"):
        raced(asked, tmp_path, failed=(0.0, 0.9))


def test_a_resumed_run_confirms_the_order_that_was_found_first(
    asked: SimpleNamespace, tmp_path: Path
) -> None:
    where = context(tmp_path)
    candidates = [Candidate.of([place], {"rho": 0.1}) for place in range(2)]
    for place, leak in enumerate((1.5, 0.2)):
        asked.shown[(place,)] = lambda job, a=leak: Made(job, a, 0.9)
    first = race(where, dense(), base(), candidates)
    asked.shown.clear()  # nothing runs again
    assert race(where, dense(), base(), candidates) == first
    assert first == {CONFIG.max_accuracy_drop: [candidates[1], candidates[0]]}


def row(number: int, excess: float, missed: float, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "search",
        "state": "COMPLETE",
        "number": number,
        "n": [number],
        "excess_gain": excess,
        "val_accuracy": 0.9,
        "accuracy_violation": missed,
        "compression_violation": -1.0,
        **changes,
    }


def test_who_missed_the_accuracy_by_no_more_than_luck_races_too() -> None:
    rows = [
        row(0, 0.03, -0.01),
        row(1, 0.01, LUCK),
        row(2, 0.00, 2 * LUCK),
        row(3, 0.00, -0.01, compression_violation=0.1),
        row(4, 0.02, 0.001),
        row(5, 0.00, -0.01, state="PRUNED"),
        row(6, 0.00, -0.01, kind="confirm"),
    ]
    assert [candidate.n for candidate in field(rows, LEAST)] == [(1,), (4,), (0,)]


def test_a_vector_races_once_and_no_more_than_the_field_holds() -> None:
    rows = [row(number, number / 100, -0.01) for number in range(RACERS + 5)]
    assert len(field([*rows, *rows], Goal(units={}))) == RACERS


def test_each_level_has_its_own_field_and_they_race_together() -> None:
    rows = [
        row(0, 0.05, -0.05),
        row(1, 0.03, -0.001),
        row(2, 0.02, 0.01),
        row(3, 0.01, 0.045),
        row(4, 0.00, 0.06),
    ]
    goals = goals_of({"max_accuracy_drop": 0.01, "levels": [0.0, 0.05]}, 0.93)
    found = {level: [one.n[0] for one in field(rows, goal)] for level, goal in goals.items()}
    assert found == {0.01: [2, 1, 0], 0.0: [1, 0], 0.05: [3, 2, 1, 0]}
    assert [one.n[0] for one in common_field(rows, [*goals.values()])] == [2, 1, 3, 0]
    many = [row(number, number / 100, -0.05) for number in range(RACERS + 5)]
    assert common_field(many, [*goals.values()]) == field(many, LEAST)


def test_one_race_orders_the_vectors_for_every_level(
    asked: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = context(tmp_path)
    where.config = dataclasses.replace(CONFIG, levels=(0.0, 0.5))
    shown = {"quiet": (0.1, 0.5), "leaky": (1.5, 0.9)}
    for place, (leak, accuracy) in enumerate(shown.values()):
        asked.shown[(place,)] = lambda job, a=leak, b=accuracy: Made(job, a, b)
    candidates = [Candidate.of([place], None) for place in range(2)]
    found = race(where, dense(), base(), candidates)
    assert {level: [one.n[0] for one in order] for level, order in found.items()} == {
        0.05: [1],
        0.0: [1],
        0.5: [0, 1],
    }
