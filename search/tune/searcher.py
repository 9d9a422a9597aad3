"""Our Ray Tune searcher over an in-memory Optuna study, the only truth about the search.

Tune saves it together with its trial table, so the two never disagree; what the ledger knows and
an older snapshot does not is adopted after a restore.
"""

import dataclasses
import logging
import math
import pickle
import time
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
    """All that a snapshot holds; pickled whole, so trials and study stay one graph."""

    study: optuna.Study
    used: set[int]  # numbers that were handed out or adopted
    open: dict[str, optuna.Trial]  # Tune's trial id -> handed out, not finished
    reserved: dict[int, optuna.Trial]  # number -> drawn while adopting, not yet handed out
    spent_s: float = 0.0  # searched before the last save


class FeasibleSearcher(Searcher):
    """Hands out the anchors, then what the sampler suggests, `n_trials` in all.

    Numbers 0 .. len(anchors) - 1 are the anchors', the rest the sampler's; none is given twice.
    """

    def __init__(
        self,
        space: Space,
        *,
        sampler_name: str,
        seed: int,
        n_trials: int,
        anchors: Sequence[Params] = (),
        goal: Goal,
        time_budget_s: float | None = None,
    ) -> None:
        """time_budget_s: no trial is handed out later after the first than this; None: no limit.

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
        self._goal = goal
        self._time_budget_s = math.inf if time_budget_s is None else time_budget_s
        self._began_s: float | None = None  # of this process; a restored one begins anew
        self._finished_rows: Callable[[], Iterable[Mapping[str, Any]]] | None = None
        self._caught_up = False
        sampler_seed = derive_seed(seed, "sampler") % 2**32  # NumPy's legacy generators take 32 bit
        sampler = SAMPLERS[sampler_name](sampler_seed, space, n_trials)
        study = optuna.create_study(direction="minimize", sampler=sampler)
        self._state = _State(study=study, used=set(), open={}, reserved={})

    @property
    def trials(self) -> list[FrozenTrial]:
        """Every trial of the study; its number in the run is its user attribute `number`."""
        return list(self._state.study.get_trials())

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
        trial = state.reserved.pop(number, None) or self._ask(state.study, number)
        state.used.add(number)
        state.open[trial_id] = trial
        candidate = self._space.candidate(trial.params)
        return {
            "number": number,
            "kind": self._kind(number),
            "params": dict(trial.params),
            "n": list(candidate.n),
            "parameters": dict(candidate.parameters),
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing is learnt from a partial result."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study how the trial ended; a trial that was adopted meanwhile stays as it is."""
        trial = self._state.open.pop(trial_id, None)
        if trial is None:
            log.debug("trial %s ended again or was never handed out", trial_id)
            return
        _tell(self._state.study, trial, FAIL if error else judge(result, self._goal))

    def adopt(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add finished rows of trials.parquet that this study, an older snapshot, does not know.

        Each unknown number is drawn from the sampler again, in order. If that gives the row's
        candidate (always, with one worker), the search goes on as if it had never been interrupted;
        if not, the row is added as it is and the draw is dropped.
        """
        finished = {int(row["number"]): row for row in rows if row["kind"] in SEARCH_KINDS}
        running = {trial.user_attrs["number"]: key for key, trial in self._state.open.items()}
        for number in sorted(running.keys() & finished.keys()):
            trial = self._state.open.pop(running[number])
            _tell(self._state.study, trial, _judge_row(finished[number], self._goal))
        unknown = finished.keys() - self._state.used
        for number in range(max(unknown, default=-1) + 1):
            if number in unknown:
                self._replay(number, finished[number])
            elif number not in self._state.used and number not in self._state.reserved:
                self._state.reserved[number] = self._ask(self._state.study, number)

    def follow(self, rows: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Adopt what `rows` returns before the first suggestion, and again after a restore.

        It must pickle (`Ledger.rows` does).
        """
        self._finished_rows = rows

    def save(self, checkpoint_path: str) -> None:
        """Write the whole state, the sampler's generator included; a crash leaves the old file."""
        path = Path(checkpoint_path)
        beside = path.with_name(f".{path.name}.tmp")
        state = dataclasses.replace(self._state, spent_s=self._spent_s())
        beside.write_bytes(sealed(pickle.dumps(state)))
        beside.replace(path)

    def restore(self, checkpoint_path: str) -> None:
        """Go on from what `save` wrote. Raises InvalidInput when the file is damaged."""
        try:
            state = pickle.loads(unsealed(Path(checkpoint_path).read_bytes()))
        except (ValueError, AttributeError, ImportError) as error:  # torn, or of another version
            raise InvalidInput(
                f"the search's state {checkpoint_path} cannot be read ({error}): start a new run"
            ) from error
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

    def _ask(self, study: optuna.Study, number: int) -> optuna.Trial:
        """A new running trial: the anchor of that number, or the sampler's choice."""
        if self._kind(number) == ANCHOR:
            study.enqueue_trial(self._anchors[number])
        trial = study.ask(self._space.distributions())
        trial.set_user_attr("number", number)
        trial.set_user_attr("kind", self._kind(number))
        return trial

    def _replay(self, number: int, row: Mapping[str, Any]) -> None:
        """Take up one finished row that the study has not seen."""
        outcome = _judge_row(row, self._goal)
        wanted = Candidate.of(row["n"], row.get("defense_parameters"))
        probe: _State = pickle.loads(pickle.dumps(self._state))
        trial = probe.reserved.pop(number, None) or self._ask(probe.study, number)
        if self._space.candidate(trial.params) == wanted:
            self._state = probe
            _tell(probe.study, trial, outcome)
        else:
            self._state.study.sampler = probe.study.sampler  # or the draw would come up again
            self._state.study.add_trial(self._foreign(number, wanted, outcome))
            reserved = self._state.reserved.pop(number, None)
            if reserved is not None:
                _tell(self._state.study, reserved, FAIL)
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


def _tell(study: optuna.Study, trial: optuna.Trial, outcome: Outcome) -> None:
    """Constraints first: `tell` is when samplers look at them."""
    for name, value in outcome.constraints.items():
        trial.set_constraint(name, value)
    study.tell(trial, outcome.value, state=outcome.state)
