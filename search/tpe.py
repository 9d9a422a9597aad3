"""TPE whose next suggestion costs the same after 10,000 trials as after 300.

Optuna's looks through every trial, number by number, each time it is asked: at 53 numbers a trial
that is a quarter of a second after 4,000 trials, and grows. Of many trials this one is fitted to

- the best 25, which are all that Optuna makes its density of good trials from (`default_gamma`), so
  that one stays what it was;
- the most recent of the others. The density of bad trials weighs the others by age already, the
  oldest least (`default_weights`), and the suggestions lie where the recent ones are;
- all that are running, which keep two workers from trying the same.

Up to `WINDOW` ended trials the suggestions are Optuna's, bit for bit.
"""

import bisect
from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

WINDOW = 300
"""So many ended trials are looked at: `default_gamma` takes `BEST` of 250 or more for good."""

BEST = 25
"""Optuna's `default_gamma` takes a tenth of the trials for good, and no more than these."""

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
"""What TPE learns from; of failed trials it knows nothing."""

Rank = tuple[int, float]


class WindowedTPE(TPESampler):
    """Optuna's TPE, fitted to the trials of a window."""

    def __init__(self, *, seed: int, n_startup_trials: int) -> None:
        super().__init__(seed=seed, n_startup_trials=n_startup_trials)
        self._settled = 0  # so many trials, from the first on, are finished and looked through:
        self._learnt = 0  # so many of them TPE learns from,
        self._best: list[tuple[Rank, int]] = []  # and these are the best, by rank and number

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """What Optuna's suggests when it sees only the trials of the window."""
        seen: Any = _Seen(study, self._window(study.get_trials(deepcopy=False)))
        return super().sample_relative(seen, trial, search_space)

    def _window(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """The trials to fit to, in their order.

        trials: all of the study, each at the place of its number.
        """
        self._settle(trials)
        rest = trials[self._settled :]
        late = [(rank(one), one.number) for one in rest if one.state in ENDED]
        if self._learnt + len(late) <= WINDOW:
            return trials
        chosen = {number for _, number in sorted([*self._best, *late])[:BEST]}
        for one in reversed(trials):
            if len(chosen) == WINDOW:
                break
            if one.state in ENDED:
                chosen.add(one.number)
        chosen |= {one.number for one in rest if not one.state.is_finished()}
        return [trials[number] for number in sorted(chosen)]

    def _settle(self, trials: list[FrozenTrial]) -> None:
        """Look through the trials that have finished since, up to the first that has not."""
        for one in trials[self._settled :]:
            if not one.state.is_finished():
                return
            self._settled += 1
            if one.state in ENDED:
                self._learnt += 1
                bisect.insort(self._best, (rank(one), one.number))
                del self._best[BEST:]


def rank(trial: FrozenTrial) -> Rank:
    """Less is better, in TPE's order: feasible by value, feasible but stopped, then by violation.

    The search tells no values of a trial before its end, so all that were stopped are alike.
    """
    violation = sum(value for value in trial.constraints.values() if value > 0)
    if violation > 0:
        return 2, violation
    if trial.state == TrialState.PRUNED:
        return 1, 0.0
    assert trial.value is not None
    return 0, trial.value


class _Seen:
    """A study of which a sampler sees some trials."""

    def __init__(self, study: optuna.Study, trials: list[FrozenTrial]) -> None:
        self._study = study
        self._trials = trials

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002 - TPE writes into no trial, so none is copied
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002 - there is nothing to be gained here
    ) -> list[FrozenTrial]:
        """What TPE calls."""
        return [trial for trial in self._trials if states is None or trial.state in states]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a study has
        return getattr(self._study, name)
