"""Our Ray Tune searcher over in-memory Optuna studies, the only truth about the search.

There is a study for each level of allowed accuracy drop. Every trial is in all of them, each with
its own constraint on the accuracy, and their samplers take turns: a constraint sweep in which no
level measures what another has measured.

Tune saves them together with its trial table, so the two never disagree; what the ledger knows and
an older snapshot does not is adopted after a restore.
"""

import dataclasses
import logging
import math
import pickle
import time
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from search.record.mirror import OPTUNA_STATES
from search.samplers import SAMPLERS
from search.space import Candidate, Params, Space
from trainables.base.errors import InvalidInput
from trainables.base.names import known
from trainables.base.seeding import derive_seed
from trainables.base.storage import sealed, unsealed
from trainables.outcome.objective import Goal
from trainables.records import ANCHOR, COMPLETE, FAILED, SEARCH, SEARCH_KINDS

log = logging.getLogger(__name__)


# --- what a trial is worth ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a trial is told to Optuna."""

    state: TrialState
    value: float | None = None
    constraints: dict[str, float] = dataclasses.field(default_factory=dict)


FAIL = Outcome(state=TrialState.FAIL)


def judge(result: Mapping[str, Any] | None, goal: Goal) -> Outcome:
    """A trial's last report in Optuna's words; `Goal.judge` decides."""
    found = goal.judge(result)
    return Outcome(
        state=OPTUNA_STATES[found.state], value=found.cost, constraints=dict(found.constraints)
    )


def _judge_row(row: Mapping[str, Any], goal: Goal) -> Outcome:
    """The same for a row of trials.parquet, which says its state itself."""
    if row["state"] == FAILED:
        return FAIL
    return judge({**row, "finished": row["state"] == COMPLETE}, goal)


# --- the searcher ---------------------------------------------------------------------------------


@dataclasses.dataclass
class _State:
    """All that a snapshot holds; pickled whole, so trials and studies stay one graph."""

    studies: list[optuna.Study]  # one per level; a trial is a list with its twin in each of them
    used: set[int]  # numbers that were handed out or adopted
    open: dict[str, list[optuna.Trial]]  # Tune's trial id -> handed out, not finished
    reserved: dict[int, list[optuna.Trial]]  # number -> drawn while adopting, not yet handed out
    spent_s: float = 0.0  # searched before the last save


def _with_studies(state: Any) -> _State:
    """The state as it is now; older releases had one study, and trials that were in no list."""
    if not hasattr(state, "study"):
        return typing.cast("_State", state)
    return _State(
        studies=[state.study],
        used=state.used,
        open={key: [trial] for key, trial in state.open.items()},
        reserved={number: [trial] for number, trial in state.reserved.items()},
        spent_s=state.spent_s,
    )


class FeasibleSearcher(Searcher):
    """Hands out the anchors, then what the samplers suggest in turn, `n_trials` in all.

    Numbers 0 .. len(anchors) - 1 are the anchors', the rest the samplers'; none is given twice.
    """

    def __init__(
        self,
        space: Space,
        *,
        sampler_name: str,
        seed: int,
        n_trials: int,
        anchors: Sequence[Params] = (),
        goals: Sequence[Goal],
        time_budget_s: float | None = None,
    ) -> None:
        """goals: what is looked for at each level, that of the bound asked for first.

        time_budget_s: no trial is handed out later after the first than this; None: no limit.

        Raises InvalidInput for an unknown sampler or a budget below one trial.
        """
        super().__init__()  # no metric: Tune would then end the run at a report without it
        known(sampler_name, SAMPLERS, "sampler")
        if n_trials < 1:
            raise InvalidInput(f"the search needs at least 1 trial, got {n_trials}")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._n_trials = n_trials
        self._anchors = [dict(anchor) for anchor in anchors]
        self._goals = list(goals)
        self._time_budget_s = math.inf if time_budget_s is None else time_budget_s
        self._began_s: float | None = None  # of this process; a restored one begins anew
        self._finished_rows: Callable[[], Iterable[Mapping[str, Any]]] | None = None
        self._caught_up = False
        names = ["sampler", *(f"sampler-{level}" for level in range(1, len(self._goals)))]
        seeds = [derive_seed(seed, name) % 2**32 for name in names]  # NumPy's old ones take 32 bit
        samplers = [SAMPLERS[sampler_name](one, space, n_trials) for one in seeds]
        studies = [optuna.create_study(direction="minimize", sampler=one) for one in samplers]
        self._state = _State(studies=studies, used=set(), open={}, reserved={})

    @property
    def trials(self) -> list[FrozenTrial]:
        """Every trial of the first level; its number in the run is its user attribute `number`."""
        return self.trials_at(0)

    def trials_at(self, level: int) -> list[FrozenTrial]:
        """Every trial as the study of a level, by its place among the goals, knows it."""
        return list(self._state.studies[level].get_trials())

    def suggest(  # type: ignore[override]  # Ray's annotation leaves FINISHED out
        self, trial_id: str
    ) -> dict[str, Any] | str:
        """The next `{"number", "kind", "params", "n", "parameters"}`, or FINISHED."""
        self._catch_up()
        state = self._state
        if self._began_s is None:
            self._began_s = time.monotonic()
        if len(state.used) >= self._n_trials or self._spent_s() >= self._time_budget_s:
            return str(Searcher.FINISHED)
        number = next(k for k in range(len(state.used) + 1) if k not in state.used)
        trial = state.reserved.pop(number, None) or self._ask(state.studies, number)
        state.used.add(number)
        state.open[trial_id] = trial
        candidate = self._space.candidate(trial[0].params)
        return {
            "number": number,
            "kind": self._kind(number),
            "params": dict(trial[0].params),
            "n": list(candidate.n),
            "parameters": dict(candidate.parameters),
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing is learnt from a partial result."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell every study how the trial ended; one that was adopted meanwhile stays as it is."""
        trial = self._state.open.pop(trial_id, None)
        if trial is None:
            log.debug("trial %s ended again or was never handed out", trial_id)
            return
        self._tell(trial, [FAIL if error else judge(result, goal) for goal in self._goals])

    def adopt(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add finished rows of trials.parquet that the studies, an older snapshot, do not know.

        Each unknown number is drawn from its sampler again, in order. If that gives the row's
        candidate (always, with one worker), the search goes on as if it had never been interrupted;
        if not, the row is added as it is and the draw is dropped.
        """
        finished = {int(row["number"]): row for row in rows if row["kind"] in SEARCH_KINDS}
        running = {trial[0].user_attrs["number"]: key for key, trial in self._state.open.items()}
        for number in sorted(running.keys() & finished.keys()):
            trial = self._state.open.pop(running[number])
            self._tell(trial, self._outcomes(finished[number]))
        unknown = finished.keys() - self._state.used
        for number in range(max(unknown, default=-1) + 1):
            if number in unknown:
                self._replay(number, finished[number])
            elif number not in self._state.used and number not in self._state.reserved:
                self._state.reserved[number] = self._ask(self._state.studies, number)

    def follow(self, rows: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Adopt what `rows` returns before the first suggestion, and again after a restore.

        It must pickle (`Ledger.rows` does).
        """
        self._finished_rows = rows

    def save(self, checkpoint_path: str) -> None:
        """Write the whole state, the samplers' generators included; a crash leaves the old file."""
        path = Path(checkpoint_path)
        beside = path.with_name(f".{path.name}.tmp")
        state = dataclasses.replace(self._state, spent_s=self._spent_s())
        beside.write_bytes(sealed(pickle.dumps(state)))
        beside.replace(path)

    def restore(self, checkpoint_path: str) -> None:
        """Go on from what `save` wrote. Raises InvalidInput when the file is damaged."""
        try:
            state = _with_studies(pickle.loads(unsealed(Path(checkpoint_path).read_bytes())))
            levels = len(state.studies)
        except (ValueError, AttributeError, ImportError) as error:  # torn, or of another version
            raise InvalidInput(
                f"the search's state {checkpoint_path} cannot be read ({error}): start a new run"
            ) from error
        if levels != len(self._goals):
            raise InvalidInput(
                f"the search's state {checkpoint_path} is of {levels} levels, and the run has "
                f"{len(self._goals)}: start a new run"
            )
        self._state = state
        self._began_s = None
        self._caught_up = False
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._catch_up()

    def _catch_up(self) -> None:
        """Adopt what is on disk, once in this process, whether or not Tune restored anything."""
        if self._finished_rows is not None and not self._caught_up:
            self.adopt(self._finished_rows())
        self._caught_up = True

    def _spent_s(self) -> float:
        """Time spent searching, over all processes; the time between them does not count."""
        now = 0.0 if self._began_s is None else time.monotonic() - self._began_s
        return self._state.spent_s + now

    def _kind(self, number: int) -> str:
        return ANCHOR if number < len(self._anchors) else SEARCH

    def _ask(self, studies: Sequence[optuna.Study], number: int) -> list[optuna.Trial]:
        """A new running trial in every study: the anchor of that number, or the choice of one.

        The samplers take turns after the anchors.
        """
        distributions = self._space.distributions()
        turn = (number - len(self._anchors)) % len(studies)
        twins: dict[int, optuna.Trial] = {}
        if self._kind(number) == ANCHOR:
            point: dict[str, Any] = self._anchors[number]
        else:
            twins[turn] = studies[turn].ask(distributions)
            point = twins[turn].params
        for level, study in enumerate(studies):
            if level not in twins:
                study.enqueue_trial(point)
                twins[level] = study.ask(distributions)
            twins[level].set_user_attr("number", number)
            twins[level].set_user_attr("kind", self._kind(number))
        return [twins[level] for level in range(len(studies))]

    def _tell(self, trial: Sequence[optuna.Trial], outcomes: Sequence[Outcome]) -> None:
        """Constraints first: `tell` is when samplers look at them."""
        for study, twin, outcome in zip(self._state.studies, trial, outcomes, strict=True):
            for name, value in outcome.constraints.items():
                twin.set_constraint(name, value)
            study.tell(twin, outcome.value, state=outcome.state)

    def _outcomes(self, row: Mapping[str, Any]) -> list[Outcome]:
        return [_judge_row(row, goal) for goal in self._goals]

    def _replay(self, number: int, row: Mapping[str, Any]) -> None:
        """Take up one finished row that the studies have not seen."""
        outcomes = self._outcomes(row)
        wanted = Candidate.of(row["n"], row.get("defense_parameters"))
        probe: _State = pickle.loads(pickle.dumps(self._state))
        trial = probe.reserved.pop(number, None) or self._ask(probe.studies, number)
        if self._space.candidate(trial[0].params) == wanted:
            self._state = probe
            self._tell(trial, outcomes)
        else:
            for study, drawn, outcome in zip(
                self._state.studies, probe.studies, outcomes, strict=True
            ):
                study.sampler = drawn.sampler  # or the draw would come up again
                study.add_trial(self._foreign(number, wanted, outcome))
            reserved = self._state.reserved.pop(number, None)
            if reserved is not None:
                self._tell(reserved, [FAIL] * len(reserved))
        self._state.used.add(number)

    def _foreign(self, number: int, candidate: Candidate, outcome: Outcome) -> FrozenTrial:
        return optuna.trial.create_trial(
            state=outcome.state,
            value=outcome.value,
            params=self._space.point(candidate),
            distributions=self._space.distributions(),
            user_attrs={"number": number, "kind": self._kind(number)},
            constraints=outcome.constraints,
        )
