"""What the pruner buys: the winner's own counts made otherwise, measured exactly as it was."""

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from search.presets import smoke
from search.recipes import recipe
from search.space import Candidate
from search.stages import confirm as confirmation_stage
from search.stages.compare import measure_other_pruners
from search.stages.confirm import Confirmation, measure
from search.tune.recorder import RunIdentity, to_record
from trainables.attacks.digest import digest_of
from trainables.config import TrialConfig
from trainables.job import Job
from trainables.measure import TEST_KINDS
from trainables.pruning.registry import PRUNERS

WHOLE, COUNTS = (100, 400), (30, 50)
WINNER = pd.Series({"n": COUNTS, "defense_parameters": {"gamma": 2.0}})


@dataclasses.dataclass(frozen=True)
class Made:
    """The result of a job that finished."""

    job: Job
    metrics: ClassVar[dict[str, Any]] = {"finished": True}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.job, name)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The stages that would run; every job leaves what attacks use of its logits."""
    asked: list[Any] = []

    def run_stage(stage: Any, needed: str | None = None) -> dict[str, Made]:
        asked.append(stage)
        return {job.trial.trial_id: Made(job) for job in stage.jobs}

    monkeypatch.setattr(confirmation_stage, "run_stage", run_stage)
    monkeypatch.setattr(
        confirmation_stage,
        "kept_digest",
        lambda made: digest_of(np.tile([made.trial.number, 0.0], (4, 1)), np.zeros(4, np.int64)),
    )
    return asked


def confirmation(
    pruner: str = "admm", audited: Callable[[str, list[Any]], None] = lambda *_: None
) -> Confirmation:
    config = dataclasses.replace(smoke(recipe("mnist5k", "lenet5")), pruner=pruner, models=6)
    trial = TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=1,
        dataset="mnist5k",
        model="lenet5",
        n=WHOLE,
        defense="pruning+minmax",
        pruner=pruner,
        training=config.training,
        admm=config.admm,
        attack=config.attack,
    )

    @dataclasses.dataclass(frozen=True)
    class Shared:
        references: dict[str, Any]

    def a_stage(name: str, jobs: Any, shared: Any, recorded: Any) -> Any:
        return SimpleNamespace(name=name, jobs=jobs, shared=shared, recorded=recorded)

    a_store: Any = Shared({})  # holds what is looked at
    return Confirmation(
        config=config,
        base=Job(trial=trial, dense="baseline", accuracy_bound=0.9),
        stage=a_stage,
        shared=a_store,
        say=lambda _: None,
        keep_cross_audit=audited,
    )


def context(asked: Confirmation) -> Any:
    layers = dict(zip(("conv", "fc"), WHOLE, strict=True))
    return SimpleNamespace(
        config=asked.config, inputs=SimpleNamespace(layers=layers), say=lambda _: None
    )


@pytest.mark.parametrize("own", list(PRUNERS))
def test_every_other_pruner_makes_the_winner_s_counts_and_its_own_keeps_all(
    own: str, stages: list[Any]
) -> None:
    asked = confirmation(own)
    measure_other_pruners(context(asked), asked, WINNER)
    made = [job.trial for stage in stages if stage.recorded for job in stage.jobs]
    others = [pruner for pruner in PRUNERS if pruner != own]
    expected = [*((pruner, COUNTS) for pruner in others), (own, WHOLE)]
    assert [(trial.pruner, trial.n) for trial in made] == expected
    assert {trial.kind for trial in made} == {"comparator"}
    assert all(trial.parameters == {"gamma": 2.0} for trial in made)
    assert len({trial.trial_id for trial in made}) == len(made)
    assert len({stage.name for stage in stages}) == len(stages)


def test_seeds_bounds_and_references_are_the_winner_s(stages: list[Any]) -> None:
    asked = confirmation()
    measure(asked, "0", 0, [Candidate.of(COUNTS, {"gamma": 2.0})])
    references, confirmed = stages
    stages.clear()
    measure_other_pruners(context(asked), asked, WINNER)
    for number, pruner in enumerate(("magnitude", "lottery")):
        theirs, rows = stages[2 * number : 2 * number + 2]
        assert not theirs.recorded
        assert {job.trial.pruner for job in theirs.jobs} == {pruner}  # matched: pruned alike
        assert [job.trial.seed for job in theirs.jobs] == [
            job.trial.seed for job in references.jobs
        ]
        assert [job.dense for job in theirs.jobs] == [job.dense for job in references.jobs]
        assert [job.trial.seed for job in rows.jobs] == [job.trial.seed for job in confirmed.jobs]
        (name,) = rows.shared.references
        assert {job.matched_references for job in rows.jobs} == {name}
        assert rows.shared.references[name].confidence.shape == (4, 4)
        assert all(job.accuracy_bound == 0.9 for job in rows.jobs)


def test_every_vector_s_models_are_cross_audited_in_the_order_of_their_halves(
    stages: list[Any],
) -> None:
    audited: dict[str, list[Any]] = {}
    asked = confirmation(audited=audited.__setitem__)
    other = tuple(count - 1 for count in COUNTS)
    measure(asked, "0", 3, [Candidate.of(n, {"gamma": 2.0}) for n in (COUNTS, other)])
    measure_other_pruners(context(asked), asked, WINNER)
    recorded = [job.trial for stage in stages if stage.recorded for job in stage.jobs]
    assert list(audited) == [trial.trial_id for trial in recorded]
    for trial in recorded:
        ships, *others = audited[trial.trial_id]
        assert ships.trial == trial
        assert ships.reference is None, "it trains on the members"
        assert [job.reference for job in others] == [1, 2, 3, 4, 5]
        assert {job.trial.n for job in others} == {trial.n}
        assert {job.trial.pruner for job in others} == {trial.pruner}


def test_the_complement_of_the_model_that_ships_is_no_reference_of_it(stages: list[Any]) -> None:
    asked = confirmation()
    measure(asked, "0", 0, [Candidate.of(COUNTS, {"gamma": 2.0})])
    others, confirmed = stages
    complement, *matched = (job.trial.number for job in others.jobs)
    (digest,) = confirmed.shared.references.values()
    assert digest.confidence[:, 0].tolist() == matched
    assert complement not in matched


def test_without_references_only_the_models_that_ship_are_made(stages: list[Any]) -> None:
    audited: dict[str, list[Any]] = {}
    asked = confirmation(audited=audited.__setitem__)
    alone = dataclasses.replace(asked, config=dataclasses.replace(asked.config, no_references=True))
    measure(alone, "0", 0, [Candidate.of(COUNTS, {"gamma": 2.0})])
    (confirmed,) = stages
    assert [job.matched_references for job in confirmed.jobs] == [None]
    assert audited == {}


def test_a_vector_whose_shipped_model_failed_is_not_cross_audited(
    stages: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Made, "metrics", {"trial_error": "the loss became nan"})
    audited: dict[str, list[Any]] = {}
    measure(confirmation(audited=audited.__setitem__), "0", 0, [Candidate.of(COUNTS, {})])
    assert audited == {}


def test_a_winner_that_keeps_all_its_weights_is_not_measured_twice(stages: list[Any]) -> None:
    asked = confirmation()
    measure_other_pruners(context(asked), asked, WINNER)
    several = len(stages)
    stages.clear()
    dense = pd.Series({"n": WHOLE, "defense_parameters": {"gamma": 2.0}})
    measure_other_pruners(context(asked), asked, dense)
    assert len(stages) == several - 2


def test_the_row_of_a_comparator_names_its_pruner_and_holds_the_test_accuracy(
    stages: list[Any],
) -> None:
    asked = confirmation()
    measure_other_pruners(context(asked), asked, WINNER)
    identity = RunIdentity(
        run_id="run", sampler="tpe", layer_names=("conv", "fc"), layer_weights=WHOLE
    )
    record = to_record(identity, stages[1].jobs[0], {"finished": True})
    assert (record.kind, record.pruner, record.trial_id) == (
        "comparator",
        "magnitude",
        "comparator-0000",
    )
    assert record.kind in TEST_KINDS
