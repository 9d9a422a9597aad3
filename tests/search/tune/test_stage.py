"""Resources: the cluster is filled, and what cannot run is refused before anything starts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.machine_options import Options
from search.pipeline import resources_for
from search.tune.join import cluster
from search.tune.required import NoneMayFail, StageFailed, require_all
from search.tune.resources import plan_resources
from search.tune.stage import snapshot_period
from trainables.base.errors import InvalidInput
from trainables.training import OUT_OF_GPU_MEMORY


def plan(*nodes, cpus=None, gpus=None, concurrency=None):
    return plan_resources(nodes, cpus_per_trial=cpus, gpus_per_trial=gpus, concurrency=concurrency)


def test_without_gpus_there_is_a_trial_on_every_core() -> None:
    resources = plan({"CPU": 6.0})
    assert (resources.cpus_per_trial, resources.gpus_per_trial, resources.concurrency) == (1, 0, 6)


def test_with_gpus_there_is_a_trial_on_every_gpu() -> None:
    assert plan({"CPU": 64.0, "GPU": 8.0}).concurrency == 8
    assert plan({"CPU": 64.0, "GPU": 8.0}, gpus=0.25).concurrency == 32


def test_a_trial_has_all_of_its_share_on_one_machine() -> None:
    four = {"CPU": 32.0, "GPU": 4.0}
    assert plan(four, four, four).concurrency == 12
    assert plan(four, four, four, gpus=3.0).concurrency == 3
    assert plan({"CPU": 3.0}, {"CPU": 3.0}, cpus=2.0).concurrency == 2
    with pytest.raises(InvalidInput, match="--gpus-per-trial 8 but the cluster has 4 GPUs"):
        plan(four, four, four, gpus=8.0)
    with pytest.raises(InvalidInput, match="no machine of the cluster has 2 CPU cores and 1 GPUs"):
        plan({"CPU": 1.0, "GPU": 4.0}, {"CPU": 64.0}, cpus=2.0, gpus=1.0)


def test_tenths_of_a_core_add_up() -> None:
    assert plan({"CPU": 1.0}, cpus=0.1).concurrency == 10


def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInput, match="--gpus-per-trial 1 but the cluster has 0 GPUs"):
        plan({"CPU": 4.0}, gpus=1.0)


def test_more_cores_than_there_are_is_named() -> None:
    with pytest.raises(InvalidInput, match="--cpus-per-trial 8 but the cluster has 2"):
        plan({"CPU": 2.0}, cpus=8.0)


def test_an_interpreter_that_ray_cannot_start_is_named(monkeypatch) -> None:
    monkeypatch.setattr("sys.executable", "/home of mine/.venv/bin/python")
    with pytest.raises(InvalidInput, match="path without spaces"), cluster(None):
        pass


def test_a_temporary_folder_too_deep_for_ray_is_named(monkeypatch, tmp_path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(deep))
    with pytest.raises(InvalidInput, match=r"AF_UNIX.*RAY_TMPDIR"), cluster(None):
        pass


def test_in_a_cluster_that_may_grow_a_given_number_is_believed() -> None:
    resources = plan_resources(
        [], cpus_per_trial=None, gpus_per_trial=1.0, concurrency=8, may_grow=True
    )
    assert (resources.gpus_per_trial, resources.concurrency) == (1, 8)
    assert resources.slots([]) == 0
    assert resources.slots([{"CPU": 4.0, "GPU": 2.0}]) == 2
    with pytest.raises(InvalidInput, match="or give --concurrency to have the cluster grow"):
        plan_resources([], cpus_per_trial=None, gpus_per_trial=1.0, concurrency=None, may_grow=True)


@given(
    st.integers(1, 64),
    st.integers(0, 16),
    st.sampled_from([0.25, 0.5, 1.0]),
    st.integers(1, 100) | st.none(),
)
def test_what_is_planned_always_fits(cores, gpus, share, concurrency) -> None:
    resources = plan(
        {"CPU": float(cores), "GPU": float(gpus)},
        gpus=share if gpus else 0.0,
        concurrency=concurrency,
    )
    assert resources.concurrency * resources.cpus_per_trial <= cores
    assert resources.concurrency * resources.gpus_per_trial <= gpus
    assert concurrency is None or resources.concurrency <= concurrency


def trial(**last_result: object) -> SimpleNamespace:
    values = {"kind": "reference", "number": 3, "n": [], "training": {}, "admm": {}, "attack": {}}
    return SimpleNamespace(
        config={"job": {"trial": values}},
        last_result=last_result,
        get_error=lambda: RuntimeError("no such kernel"),
    )


def test_a_stage_ends_with_the_first_of_its_jobs_that_failed_for_good(monkeypatch) -> None:
    monkeypatch.setattr("search.tune.required.trial_name", lambda _: "reference-0003")
    needed = NoneMayFail("reference model")
    with pytest.raises(StageFailed, match="reference model reference-0003 failed: no such kernel"):
        needed.on_trial_error(1, [], trial())
    with pytest.raises(StageFailed, match="failed: the training loss became nan; lower"):
        needed.on_trial_complete(1, [], trial(trial_error="the training loss became nan"))
    needed.on_trial_complete(1, [], trial(trial_error=None))


RAYS = (
    "ray::Trial.train() (pid=7, ip=10.0.0.1)\n"
    '  File "trial.py", line 1, in step\n    raise\n'
    "RuntimeError: Error(s) in loading state_dict for Net:\n\tsize mismatch for fc\n"
    "\tunexpected key"
)


def ended(error: str | None = None, **metrics: Any) -> SimpleNamespace:
    return SimpleNamespace(error=error and RuntimeError(error), metrics=metrics)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "it was not started: the stage ended before its turn"),
        (
            ended(RAYS),
            "RuntimeError: Error(s) in loading state_dict for Net: size mismatch for fc "
            "unexpected key",
        ),
        (ended("The actor died unexpectedly before it ended"), "the trial's process ended every"),
        (ended(trial_error="the training loss became nan", epochs=2), "the training loss became n"),
        (ended(epochs=2), "it ended after 2 epochs, before its full budget"),
        (ended(), "its process ended, or the stage did, before its first report"),
    ],
)
def test_a_job_that_the_run_cannot_do_without_says_what_is_known(result: Any, why: str) -> None:
    from tests.search.tune.test_recorder import JOB

    results = {} if result is None else {JOB.trial.trial_id: result}
    with pytest.raises(StageFailed) as caught:
        require_all(results, [JOB], "dense model")
    said = str(caught.value)
    assert said.startswith(f"dense model {JOB.trial.trial_id} failed: {why}")
    assert "no result" not in said
    assert "\n" not in said


def test_a_stage_that_failed_says_how_much_of_it(monkeypatch) -> None:
    import dataclasses

    from tests.search.tune.test_recorder import JOB

    jobs = [
        dataclasses.replace(JOB, trial=dataclasses.replace(JOB.trial, number=number))
        for number in range(3)
    ]
    results: Any = {jobs[0].trial.trial_id: ended(finished=True)}
    with pytest.raises(
        StageFailed, match=r"search-0001 failed \(2 of 3 did not finish\): it was no"
    ):
        require_all(results, jobs, "reference model")
    require_all({job.trial.trial_id: ended(finished=True) for job in jobs}, jobs, "x")


@pytest.mark.parametrize(("jobs", "period"), [(3, "2"), (200, "2"), (201, "auto")])
def test_tune_s_snapshots_of_many_trials_are_rarer(jobs, period) -> None:
    fixed: Any = SimpleNamespace(jobs=[None] * jobs, suggested=0)
    searched: Any = SimpleNamespace(jobs=None, suggested=jobs)
    assert snapshot_period(fixed) == snapshot_period(searched) == period


@pytest.mark.parametrize(("dataset", "trials"), [("mnist", 4), ("cifar10", 8), ("cifar100", 8)])
def test_two_trials_of_cifar_share_a_gpu(dataset: str, trials: int) -> None:
    nodes = [{"CPU": 32.0, "GPU": 4.0}]
    assert resources_for(nodes, Options(out=Path("run")), dataset).concurrency == trials
    assert (
        resources_for(nodes, Options(out=Path("run"), gpus_per_trial=1.0), dataset).concurrency == 4
    )
    assert resources_for([{"CPU": 3.0}], Options(out=Path("run")), dataset).gpus_per_trial == 0


def test_a_stage_that_lacks_gpu_memory_does_not_blame_the_learning_rate() -> None:
    from tests.search.tune.test_recorder import JOB

    results: Any = {JOB.trial.trial_id: ended(trial_error=OUT_OF_GPU_MEMORY, epochs=1)}
    with pytest.raises(StageFailed, match="ran out of memory: give each trial more") as caught:
        require_all(results, [JOB], "dense model")
    assert "learning rate" not in str(caught.value)
