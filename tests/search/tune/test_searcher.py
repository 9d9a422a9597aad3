"""The searcher: what it hands out, what it tells Optuna, and that nothing is lost on a restore."""

import datetime
import json
import math
import os
import pickle
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState
from ray.tune.search import Searcher

from search.record.trials_parquet import Ledger
from search.samplers import SAMPLERS
from search.space import Space
from search.tune.searcher import FeasibleSearcher, judge
from trainables.base.errors import InvalidInput
from trainables.outcome.objective import Goal, constraint_units, goals_of
from trainables.records import COMPLETE, FAILED, PRUNED, TrialRecord

SPACE = Space("layer", ("conv1", "conv2", "fc"), (150, 2400, 48000))
GOAL = Goal(units=constraint_units(0.01, None))
ANCHORS = SPACE.anchors([(150, 2400, 48000), (75, 1200, 24000)])
LEVELS = {"max_accuracy_drop": 0.01, "levels": [0.0, 0.05]}
GOALS = list(goals_of(LEVELS, 0.93).values())


def searcher_of(
    sampler="random", *, n_trials=8, anchors=ANCHORS, seed=0, space=SPACE, goals=(GOAL,)
):
    return FeasibleSearcher(
        space, sampler_name=sampler, seed=seed, n_trials=n_trials, anchors=anchors, goals=goals
    )


def measured(counts, space=SPACE):
    """A made-up truth: keeping less leaks less, keeping too little costs accuracy."""
    keep = [n / w for n, w in zip(counts, space.layer_weights, strict=True)]
    return {
        "finished": True,
        "excess_gain": sum(keep) / len(keep) * 0.08,
        "accuracy_violation": 0.05 - 0.1 * keep[0],
        "compression_violation": None,
    }


def row_of(config, result=None, state=COMPLETE):
    result = measured(config["n"]) if result is None else result
    return {**result, **config, "state": state}


def run(searcher, name="t"):
    """One worker until the searcher has finished; what was suggested."""
    configs = []
    while (config := searcher.suggest(f"{name}{len(configs)}")) != Searcher.FINISHED:
        searcher.on_trial_complete(f"{name}{len(configs)}", measured(config["n"]))
        configs.append(config)
    return configs


def states(searcher):
    return {t.user_attrs["number"]: t.state for t in searcher.trials}


# --- what is handed out ---------------------------------------------------------------------------


def test_anchors_come_first_and_count_towards_the_budget():
    configs = run(searcher_of(n_trials=5))
    assert [c["number"] for c in configs] == [0, 1, 2, 3, 4]
    assert [c["kind"] for c in configs] == ["anchor"] * 2 + ["search"] * 3
    assert [c["n"] for c in configs[:2]] == [[150, 2400, 48000], [75, 1200, 24000]]


def test_a_budget_smaller_than_the_anchors_ends_within_them():
    assert [c["kind"] for c in run(searcher_of(n_trials=1))] == ["anchor"]


def test_a_suggestion_is_plain_data_whose_n_follows_from_its_params():
    for config in run(searcher_of(n_trials=4)):
        assert json.loads(json.dumps(config)) == config
        assert tuple(config["n"]) == SPACE.counts(config["params"])


def test_an_unknown_sampler_is_refused_with_its_near_match():
    with pytest.raises(InvalidInput, match="sampler 'tpee' is unknown: did you mean tpe"):
        searcher_of("tpee")
    with pytest.raises(InvalidInput, match="'annealing' is unknown; there are tpe"):
        searcher_of("annealing")
    with pytest.raises(InvalidInput, match="at least 1 trial"):
        searcher_of(n_trials=0)


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


def test_no_trial_starts_after_the_time_budget_and_a_break_does_not_count(tmp_path, monkeypatch):
    def timed():
        return FeasibleSearcher(
            SPACE, sampler_name="random", seed=0, n_trials=9, goals=[GOAL], time_budget_s=60
        )

    clock = Clock()
    monkeypatch.setattr("search.tune.searcher.time", clock)
    searcher = timed()
    clock.now += 500  # the clock starts with the first trial
    assert searcher.suggest("t0") != Searcher.FINISHED
    clock.now += 40
    searcher.save(str(tmp_path / "state.pkl"))
    clock.now += 9000
    restored = timed()
    restored.restore(str(tmp_path / "state.pkl"))
    assert restored.suggest("t1") != Searcher.FINISHED
    clock.now += 19
    assert restored.suggest("t2") != Searcher.FINISHED
    clock.now += 1
    assert restored.suggest("t3") == Searcher.FINISHED
    restored.on_trial_complete("t2", measured((1, 1, 1)))


# --- what Optuna is told --------------------------------------------------------------------------


def told(result, *, error=False, goal=GOAL):
    searcher = FeasibleSearcher(SPACE, sampler_name="tpe", seed=0, n_trials=1, goals=[goal])
    searcher.suggest("t")
    searcher.on_trial_complete("t", result, error)
    (trial,) = searcher.trials
    return trial


def test_a_full_trial_is_complete_with_its_gain_and_its_constraint_in_allowed_drops():
    trial = told({"finished": True, "excess_gain": 0.02, "accuracy_violation": 0.03})
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.02)
    assert trial.constraints == pytest.approx({"accuracy_violation": 3.0})


def test_where_the_guarantee_is_fixed_optuna_minimises_the_accuracy_with_its_sign_changed():
    goal = Goal(objective="val_accuracy", maximised=True, units=GOAL.units)
    result = {"finished": True, "excess_gain": 0.0, "accuracy_violation": 0.0}
    assert told({**result, "val_accuracy": 0.9}, goal=goal).value == -0.9
    assert told({**result, "val_accuracy": None}, goal=goal).value is None
    stopped = {**result, "val_accuracy": 0.9, "finished": False}
    assert told(stopped, goal=goal).state == TrialState.PRUNED


def test_a_stopped_trial_is_pruned_with_its_constraint_and_without_its_gain():
    for stopped in ({}, {"finished": False}, {"finished": False, "excess_gain": 0.001}):
        trial = told({**stopped, "accuracy_violation": 0.1})
        assert (trial.state, trial.value) == (TrialState.PRUNED, None)
        assert trial.constraints == pytest.approx({"accuracy_violation": 10.0})


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        {"finished": True, "excess_gain": float("nan"), "accuracy_violation": 0.0},
        {"finished": True, "excess_gain": float("inf"), "accuracy_violation": 0.0},
        {"finished": True, "excess_gain": 0.1, "accuracy_violation": float("nan")},
        {"finished": True, "excess_gain": 0.1, "accuracy_violation": None},
        {"finished": True, "excess_gain": 0.1},
        {
            "finished": True,
            "excess_gain": 0.1,
            "accuracy_violation": 0.0,
            "trial_error": "loss is nan",
        },
    ],
)
def test_a_trial_without_its_numbers_has_failed(result):
    assert told(result).state == TrialState.FAIL


def test_an_error_is_a_failure_whatever_was_reported():
    assert told({"excess_gain": 0.1, "accuracy_violation": 0.0}, error=True).state == (
        TrialState.FAIL
    )


def test_violations_are_scaled_to_common_units():
    assert constraint_units(0.01, None) == {"accuracy_violation": 0.01}
    assert constraint_units(0.0, 4.0) == {
        "accuracy_violation": 0.005,
        "compression_violation": 0.4,
    }
    goal = Goal(units=constraint_units(0.02, 4.0))
    outcome = judge(
        {"excess_gain": 0.1, "accuracy_violation": -0.01, "compression_violation": 1.0}, goal
    )
    assert outcome.constraints == pytest.approx(
        {"accuracy_violation": -0.5, "compression_violation": 2.5}
    )


def test_no_trial_is_left_running_and_ending_twice_changes_nothing():
    searcher = searcher_of(n_trials=4)
    for i in range(4):
        searcher.suggest(f"t{i}")
    searcher.on_trial_result("t0", {"anything": float("nan")})
    searcher.on_trial_complete(
        "t0", {"finished": True, "excess_gain": float("nan"), "accuracy_violation": 0.0}
    )
    searcher.on_trial_complete("t1", None, error=True)
    searcher.on_trial_complete("t2", {"accuracy_violation": 0.2, "finished": False})
    searcher.on_trial_complete("t3")
    searcher.on_trial_complete("t3", {"excess_gain": 0.1, "accuracy_violation": 0.0})
    searcher.on_trial_complete("never-seen", {"excess_gain": 0.1})
    assert list(states(searcher).values()) == [
        TrialState.FAIL,
        TrialState.FAIL,
        TrialState.PRUNED,
        TrialState.FAIL,
    ]


# --- every sampler --------------------------------------------------------------------------------


every_sampler = pytest.mark.parametrize(
    "name",  # Gaussian processes are fitted for seconds
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "gp")) for name in SAMPLERS],
)


@every_sampler
@pytest.mark.parametrize("anchors", [ANCHORS, []])
def test_sampler_finishes_eight_trials_inside_the_space(name, anchors):
    configs = run(searcher_of(name, anchors=anchors))
    assert len(configs) == 8
    for config in configs:
        assert set(config["params"]) == set(SPACE.distributions())
        assert all(SPACE.minimum_keep <= keep <= 1 for keep in config["params"].values())


@every_sampler
def test_sampler_never_suggests_the_same_vector_twice_in_a_short_search(name):
    configs = run(searcher_of(name, n_trials=16))
    assert len({tuple(c["n"]) for c in configs}) == 16


@every_sampler
def test_sampler_follows_its_seed(name):
    first, again, other = (run(searcher_of(name, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@every_sampler
def test_sampler_survives_failures_and_parallel_trials(name):
    searcher = searcher_of(name, anchors=[])
    for first in (0, 4):
        ids = [f"t{i}" for i in range(first, first + 4)]
        configs = {i: searcher.suggest(i) for i in ids}
        searcher.on_trial_complete(ids[0], error=True)
        searcher.on_trial_complete(ids[1], {"finished": False, "accuracy_violation": 0.3})
        for i in ids[2:]:
            searcher.on_trial_complete(i, measured(configs[i]["n"]))
    assert searcher.suggest("one-more") == Searcher.FINISHED
    assert all(state.is_finished() for state in states(searcher).values())


SCRIPT = textwrap.dedent(
    """
    import importlib.util, json, sys
    spec = importlib.util.spec_from_file_location("searcher_tests", sys.argv[1])
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    print(json.dumps([tests.run(tests.searcher_of(name)) for name in tests.SAMPLERS]))
    """
)


@pytest.mark.slow
def test_another_process_suggests_the_same():
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, __file__],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    theirs = json.loads(answer.stdout.splitlines()[-1])
    assert theirs == [run(searcher_of(name)) for name in SAMPLERS]


@pytest.mark.parametrize("name", ["tpe", pytest.param("gp", marks=pytest.mark.slow), "nsga2"])
def test_sampler_that_learns_avoids_the_infeasible_region(name):
    """Feasible is keep/conv1 >= 0.5: a random trial is feasible with probability 0.18."""
    configs = run(searcher_of(name, n_trials=40, anchors=ANCHORS[:1]))
    feasible = [measured(c["n"])["accuracy_violation"] <= 0 for c in configs[20:]]
    assert sum(feasible) > 20 * 0.18 * 1.5


def test_grid_is_a_log_spaced_full_factorial_of_the_range_in_random_order():
    space = Space("layer", ("a", "b"), (10_000, 10_000), 0.01)
    configs = run_in(space, n_trials=9)
    levels = {round(keep, 6) for config in configs for keep in config["params"].values()}
    assert levels == {0.01, 0.1, 1.0}
    assert len({tuple(config["n"]) for config in configs}) == 9
    assert [config["n"] for config in configs] != sorted(config["n"] for config in configs)


def run_in(space, n_trials):
    searcher = searcher_of("grid", n_trials=n_trials, anchors=[], space=space)
    configs = []
    while (config := searcher.suggest(f"t{len(configs)}")) != Searcher.FINISHED:
        searcher.on_trial_complete(f"t{len(configs)}", measured(config["n"], space))
        configs.append(config)
    return configs


def test_grid_of_a_deep_network_needs_no_room_for_all_its_points():
    space = Space("layer", tuple(f"l{i}" for i in range(80)), (1000,) * 80)
    assert len(run_in(space, n_trials=8)) == 8


def test_grid_repeats_a_point_only_when_the_network_has_no_other():
    space = Space("global", ("a",), (2,))
    assert sorted(config["n"][0] for config in run_in(space, n_trials=4))[:1] == [1]
    assert len(run_in(space, n_trials=4)) == 4


# --- several levels -------------------------------------------------------------------------------


@every_sampler
def test_every_level_has_every_trial_with_its_own_constraint_and_no_vector_twice(name):
    searcher = searcher_of(name, n_trials=14, goals=GOALS)
    configs = run(searcher)
    assert len({tuple(config["n"]) for config in configs}) == 14
    assert [goal.higher for goal in GOALS] == pytest.approx([0, 0.01, -0.04])
    for level, goal in enumerate(GOALS):
        trials = sorted(searcher.trials_at(level), key=lambda trial: trial.user_attrs["number"])
        assert [trial.params for trial in trials] == [config["params"] for config in configs]
        missed = [measured(config["n"])["accuracy_violation"] + goal.higher for config in configs]
        unit = (0.01, 0.005, 0.05)[level]
        told = [trial.constraints["accuracy_violation"] for trial in trials]
        assert told == pytest.approx([violation / unit for violation in missed])


def test_the_levels_take_turns_after_the_anchors():
    """Whoever's turn it is draws; the others are handed the point."""
    searcher = searcher_of("random", n_trials=8, goals=GOALS)
    run(searcher)
    drawn = [
        [
            trial.user_attrs["number"]
            for trial in searcher.trials_at(level)
            if "fixed_params" not in trial.system_attrs
        ]
        for level in range(3)
    ]
    assert drawn == [[2, 5], [3, 6], [4, 7]]


@pytest.mark.parametrize("name", ["tpe", "random", "grid", "qmc", "nsga2"])
@pytest.mark.parametrize("snapshot", [1, 5])
def test_with_levels_a_killed_search_goes_on_as_if_it_had_not_been(name, snapshot, tmp_path):
    def levelled(seed=0):
        return searcher_of(name, n_trials=12, goals=GOALS, seed=seed)

    whole = run(levelled())
    searcher = levelled()
    for i in range(snapshot):
        config = searcher.suggest(f"t{i}")
        searcher.on_trial_complete(f"t{i}", measured(config["n"]))
    searcher.suggest("in-flight")
    searcher.save(str(tmp_path / "state.pkl"))
    restored = levelled(seed=99)
    restored.restore(str(tmp_path / "state.pkl"))
    foreign = {"number": 8, "kind": "search", "n": [33, 333, 3333]}
    restored.adopt([row_of(config) for config in whole[:7]])
    assert run(restored, "again") == whole[7:]
    restored = levelled()
    restored.adopt([row_of(foreign)])
    run(restored)
    for level in range(3):
        trials = restored.trials_at(level)
        assert sorted(trial.user_attrs["number"] for trial in trials) == list(range(12))
        assert all(trial.state.is_finished() for trial in trials)


# --- save, restore, adopt -------------------------------------------------------------------------


@every_sampler
def test_a_restored_searcher_makes_the_same_next_suggestions(name, tmp_path):
    searcher = searcher_of(name)
    for i in range(4):
        config = searcher.suggest(f"t{i}")
        searcher.on_trial_complete(f"t{i}", measured(config["n"]))
    searcher.save(str(tmp_path / "state.pkl"))
    restored = searcher_of(name, seed=99)
    restored.restore(str(tmp_path / "state.pkl"))
    assert run(restored, "again") == run(searcher, "again")
    assert [path.name for path in tmp_path.iterdir()] == ["state.pkl"]


def test_tunes_own_save_and_restore_work(tmp_path):
    searcher = searcher_of()
    searcher.suggest("t0")
    searcher.save_to_dir(str(tmp_path), "session")
    restored = searcher_of(seed=99)
    restored.restore_from_dir(str(tmp_path))
    assert restored.suggest("t1") == searcher.suggest("t1")
    pickle.loads(pickle.dumps(searcher))


def test_a_crash_while_saving_leaves_the_old_state(tmp_path, monkeypatch):
    searcher, path = searcher_of(), tmp_path / "state.pkl"
    searcher.save(str(path))
    before = path.read_bytes()
    searcher.suggest("t0")
    monkeypatch.setattr("pathlib.Path.replace", _killed)
    with pytest.raises(KeyboardInterrupt):
        searcher.save(str(path))
    assert path.read_bytes() == before


def _killed(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04"])
def test_a_damaged_state_is_named(content, tmp_path):
    path = tmp_path / "state.pkl"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"state\.pkl cannot be read"):
        searcher_of().restore(str(path))


def test_a_trial_in_flight_at_the_snapshot_ends_after_the_restore(tmp_path):
    searcher = searcher_of(n_trials=3)
    config = searcher.suggest("t0")
    searcher.save(str(tmp_path / "state.pkl"))
    restored = searcher_of(n_trials=3)
    restored.restore(str(tmp_path / "state.pkl"))
    restored.on_trial_complete("t0", measured(config["n"]))
    assert states(restored) == {0: TrialState.COMPLETE}
    assert [c["number"] for c in run(restored)] == [1, 2]


@every_sampler
@pytest.mark.parametrize("snapshot", [0, 1, 3, 5])
def test_with_one_worker_a_killed_search_goes_on_as_if_it_had_not_been(name, snapshot, tmp_path):
    """The snapshot is older than the ledger; trial `snapshot` was in flight when it was taken."""
    whole = run(searcher_of(name, n_trials=10))
    searcher = searcher_of(name, n_trials=10)
    for i in range(snapshot):
        config = searcher.suggest(f"t{i}")
        searcher.on_trial_complete(f"t{i}", measured(config["n"]))
    searcher.suggest("in-flight")
    searcher.save(str(tmp_path / "state.pkl"))
    restored = searcher_of(name, n_trials=10)
    restored.restore(str(tmp_path / "state.pkl"))
    restored.adopt([row_of(config) for config in whole[:7]])
    restored.on_trial_complete("in-flight", measured(whole[snapshot]["n"]))  # Tune runs it again
    assert run(restored, "again") == whole[7:]
    assert sorted(states(restored)) == list(range(10))


def test_a_row_that_the_sampler_would_not_have_drawn_is_kept_as_it_is():
    searcher = searcher_of("tpe", n_trials=4, anchors=[])
    foreign = row_of({"number": 1, "kind": "search", "n": [33, 333, 3333]})
    searcher.adopt([foreign])
    numbers = {t.user_attrs["number"]: t for t in searcher.trials}
    assert SPACE.counts(numbers[1].params) == (33, 333, 3333)
    assert numbers[1].value == foreign["excess_gain"]
    assert numbers[1].constraints["accuracy_violation"] == pytest.approx(
        foreign["accuracy_violation"] / 0.01
    )
    assert [c["number"] for c in run(searcher)] == [0, 2, 3]
    assert all(state.is_finished() for state in states(searcher).values())


@every_sampler
def test_numbers_that_were_in_flight_at_the_kill_are_handed_out_again(name):
    whole = run(searcher_of(name, n_trials=8))
    searcher = searcher_of(name, n_trials=8)
    searcher.adopt([row_of(whole[i]) for i in (0, 1, 3, 6)])
    again = run(searcher)
    assert [config["number"] for config in again] == [2, 4, 5, 7]
    vectors = [tuple(config["n"]) for config in again] + [
        tuple(whole[i]["n"]) for i in (0, 1, 3, 6)
    ]
    assert len(set(vectors)) == 8
    assert len(searcher.trials) == 8


def test_adopting_twice_changes_nothing():
    whole = run(searcher_of())
    searcher = searcher_of()
    searcher.adopt([row_of(whole[2])])
    searcher.adopt([row_of(whole[2])])
    assert [config["number"] for config in run(searcher)] == [0, 1, 3, 4, 5, 6, 7]


def test_adopted_rows_keep_their_state_and_other_kinds_are_left_alone():
    searcher = searcher_of("tpe", n_trials=5, anchors=ANCHORS)
    whole = run(searcher_of("tpe", n_trials=5))
    nothing = {"excess_gain": None, "accuracy_violation": None, "compression_violation": None}
    searcher.adopt(
        [
            row_of(whole[0], {**nothing, "accuracy_violation": 0.5}, PRUNED),
            row_of(whole[1], nothing, FAILED),
            row_of(whole[2]),
            {**row_of(whole[3]), "kind": "confirm"},
            {**row_of(whole[4]), "kind": "baseline"},
        ]
    )
    assert states(searcher) == {
        0: TrialState.PRUNED,
        1: TrialState.FAIL,
        2: TrialState.COMPLETE,
    }


def test_rows_of_the_ledger_are_adopted_on_tunes_own_restore(tmp_path):
    whole = run(searcher_of(n_trials=6))
    ledger = Ledger(tmp_path)
    for config in whole[:4]:
        ledger.write(record(config))
    searcher_of(n_trials=6).save_to_dir(str(tmp_path), "session")
    searcher = searcher_of(n_trials=6)
    searcher.follow(ledger.rows)
    searcher = pickle.loads(pickle.dumps(searcher))  # Tune keeps it in tuner.pkl
    searcher.restore_from_dir(str(tmp_path))
    assert run(searcher) == whole[4:]


def record(config):
    truth = measured(config["n"])
    return TrialRecord(
        run_id="run",
        trial_id=f"{config['kind']}-{config['number']:04d}",
        number=config["number"],
        kind=config["kind"],
        state=COMPLETE,
        feasible=truth["accuracy_violation"] <= 0,
        seed=0,
        dataset="mnist5k",
        model="lenet5",
        defense="pruning",
        sampler="random",
        started_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        duration_s=1.0,
        node="here",
        device="cpu",
        layer_names=list(SPACE.layer_names),
        layer_weights=list(SPACE.layer_weights),
        n=config["n"],
        weights=sum(SPACE.layer_weights),
        excess_gain=truth["excess_gain"],
        accuracy_violation=truth["accuracy_violation"],
        epochs=1,
        images_seen=1000,
    )


class Driver:
    """What Tune does with a searcher: it starts, ends and snapshots trials, and gets killed."""

    def __init__(self, name, folder):
        self.name, self.path = name, folder / "state.pkl"
        self.started, self.running, self.ledger = 0, {}, {}
        self.searcher = searcher_of(name, n_trials=12)
        self.snapshot()

    def start(self):
        if len(self.running) < 3:
            trial_id = f"t{self.started}"
            config = self.searcher.suggest(trial_id)
            if config != Searcher.FINISHED:
                self.started += 1
                self.running[trial_id] = config

    def end(self):
        if self.running:
            trial_id = min(self.running)
            config = self.running.pop(trial_id)
            self.searcher.on_trial_complete(trial_id, measured(config["n"]))
            before = self.ledger.setdefault(config["number"], row_of(config))
            assert before["n"] == config["n"]  # a number never means two vectors

    def snapshot(self):
        self.searcher.save(str(self.path))
        self.kept = dict(self.running)

    def kill(self):
        self.searcher = searcher_of(self.name, n_trials=12)
        self.searcher.restore(str(self.path))
        self.searcher.adopt(self.ledger.values())
        self.running = dict(self.kept)


@given(
    st.sampled_from(["tpe", "random", "grid", "qmc", "nsga2"]),
    st.lists(st.sampled_from(["start", "end", "snapshot", "kill"]), max_size=40),
)
def test_no_kill_at_any_moment_loses_or_doubles_a_trial(name, events):
    with tempfile.TemporaryDirectory() as folder:
        driver = Driver(name, Path(folder))
        for event in [*events, *["start", "end"] * 40]:
            getattr(driver, event)()
    assert not driver.running
    assert sorted(driver.ledger) == list(range(12))
    assert sorted(states(driver.searcher)) == list(range(12))
    assert len(driver.searcher.trials) == 12
    assert all(state.is_finished() for state in states(driver.searcher).values())


# --- one real Tune run ----------------------------------------------------------------------------


def _trainable(config):
    from ray import tune

    number = config["number"]
    if number == 2:
        raise RuntimeError("planned")
    report = {"phase": "retrain", "progress": 0.5, "accuracy_bound": 0.9, "finished": False}
    bad = {"val_accuracy": 0.1, "accuracy_violation": 0.8}
    good = {"val_accuracy": 0.95, "accuracy_violation": -0.05}
    tune.report({**report, **(bad if number == 4 else good)})
    gain = math.nan if number == 3 else 0.01 * number
    tune.report({**report, **good, "finished": True, "excess_gain": gain})


def fit_eight_trials(folder):
    """Under Tune, in the cluster that this process has joined."""
    from ray import tune

    from search.tune.stopping import InfeasibleStopper

    tune.Tuner(
        _trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher_of("tpe"),
            num_samples=-1,
            max_concurrent_trials=2,
            reuse_actors=True,
            trial_dirname_creator=str,
        ),
        run_config=tune.RunConfig(
            name="run", storage_path=folder, stop=InfeasibleStopper(), verbose=0
        ),
    ).fit()


TUNED = textwrap.dedent(
    """
    import importlib.util, sys
    import ray
    spec = importlib.util.spec_from_file_location("searcher_tests", sys.argv[1])
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    ray.init(address=sys.argv[2], log_to_driver=False)
    tests.fit_eight_trials(sys.argv[3])
    """
)


@pytest.mark.slow
def test_eight_trials_under_tune_end_in_the_right_states(tmp_path, ray_cluster):
    """In a process of its own: what an earlier Ray left in this one could end the new actors."""
    done = subprocess.run(
        [sys.executable, "-c", TUNED, __file__, ray_cluster, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    restored = searcher_of("tpe", seed=99)
    restored.restore_from_dir(str(tmp_path / "run"))
    assert len(restored.trials) == 8, done.stderr
    expected = dict.fromkeys(range(8), TrialState.COMPLETE)
    expected |= {2: TrialState.FAIL, 3: TrialState.FAIL, 4: TrialState.PRUNED}
    assert states(restored) == expected
    assert restored.suggest("one-more") == Searcher.FINISHED
