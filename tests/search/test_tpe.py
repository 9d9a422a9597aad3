"""TPE over a window of trials: Optuna's own up to it, and of bounded cost beyond."""

import pickle
import random

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.sampler import _split_trials
from optuna.trial import FrozenTrial, TrialState, create_trial

from search import tpe as module
from search.tpe import WindowedTPE

optuna.logging.set_verbosity(optuna.logging.WARNING)
SPACE = {name: FloatDistribution(0.01, 1.0, log=True) for name in ("a", "b", "c")}


def study_of(sampler: TPESampler) -> optuna.Study:
    return optuna.create_study(direction="minimize", sampler=sampler)


def tell(study: optuna.Study, trial: optuna.Trial, number: int) -> None:
    """How trials of a search end: with a value, stopped at their violation, or failed."""
    missing = 0.3 - sum(trial.params.values()) / len(trial.params)
    if number % 11 == 10:
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_constraint("accuracy_violation", missing)
    if number % 3 == 2:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, trial.params["a"])


def suggestions(study: optuna.Study, count: int) -> list[dict[str, float]]:
    """One worker that asks and tells."""
    found = []
    for number in range(count):
        trial = study.ask(SPACE)
        found.append(trial.params)
        tell(study, trial, number)
    return found


def test_up_to_the_window_suggestions_are_optunas_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WINDOW", 40)
    ours = study_of(WindowedTPE(seed=3, n_startup_trials=5))
    theirs = study_of(TPESampler(seed=3, n_startup_trials=5))
    assert suggestions(ours, 40) == suggestions(theirs, 40)


def history(count: int, seed: int) -> list[FrozenTrial]:
    """Ended and running trials of every kind, some alike, in a random order."""
    draw = random.Random(seed)
    trials = []
    for number in range(count):
        state = draw.choice(
            [TrialState.COMPLETE] * 6 + [TrialState.PRUNED] * 2 + [TrialState.FAIL]
            + [TrialState.RUNNING] * (number > 500 and draw.random() < 0.2)
        )  # fmt: skip
        trial = create_trial(
            state=state,
            value=draw.choice([0.1, 0.2, draw.random()]) if state == TrialState.COMPLETE else None,
            params={name: draw.uniform(0.01, 1.0) for name in SPACE},
            distributions=SPACE,
            constraints={"accuracy": draw.choice([-0.1, 0.2, draw.gauss(0.2, 0.3)]), "size": -1.0},
        )
        trial.number = number
        trials.append(trial)
    return trials


@pytest.mark.parametrize("seed", range(8))
def test_what_tpe_takes_for_good_is_the_same_as_of_all_trials(seed: int) -> None:
    study = study_of(WindowedTPE(seed=0, n_startup_trials=5))
    everything = history(900, seed)
    for known in (0, 300, 301, 600):  # a sampler looks again and again, each time at a few more
        study.sampler._window(everything[:known])  # type: ignore[attr-defined]
    window = study.sampler._window(everything)  # type: ignore[attr-defined]
    trials = [one for one in everything if one.state != TrialState.FAIL]
    of_all, others = _split_trials(study, trials, module.BEST)
    seen, seen_others = _split_trials(study, window, module.BEST)
    assert [one.number for one in seen] == [one.number for one in of_all]
    ended = [one.number for one in others if one.state != TrialState.RUNNING]
    recent = [one.number for one in seen_others if one.state != TrialState.RUNNING]
    assert recent == ended[-(module.WINDOW - module.BEST) :]
    running = [one.number for one in window if one.state == TrialState.RUNNING]
    assert running == [one.number for one in trials if one.state == TrialState.RUNNING]


def test_no_more_than_the_window_is_fitted_to_however_many_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted = []
    build = TPESampler._build_parzen_estimator

    def counted(self, study, space, trials, handle_below):
        fitted.append(len(trials))
        return build(self, study, space, trials, handle_below)

    monkeypatch.setattr(TPESampler, "_build_parzen_estimator", counted)
    monkeypatch.setattr(module, "WINDOW", 60)
    study = study_of(WindowedTPE(seed=0, n_startup_trials=5))
    for trial in history(400, 0):
        if trial.state.is_finished():
            study.add_trial(trial)
    study.ask(SPACE)
    assert sum(fitted) == 60


def test_a_sampler_that_was_saved_beyond_the_window_goes_on_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WINDOW", 30)
    study = study_of(WindowedTPE(seed=3, n_startup_trials=5))
    suggestions(study, 50)
    saved = pickle.dumps(study)
    assert suggestions(study, 5) == suggestions(pickle.loads(saved), 5)


def test_it_still_learns_beyond_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 50)
    tried = suggestions(study_of(WindowedTPE(seed=0, n_startup_trials=5)), 150)
    kept = [point for point in tried if sum(point.values()) / len(point) >= 0.3]
    assert min(point["a"] for point in kept) < 0.05
    late = [point for point in tried[-50:] if sum(point.values()) / len(point) >= 0.3]
    assert len(late) > 25
