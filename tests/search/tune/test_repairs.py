"""Ray's private parts that are repaired are those that the repairs were written for."""

import hashlib
import inspect

import pytest
from ray import tune
from ray._private import services
from ray._private.node import Node
from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.impl.tuner_internal import TunerInternal

TOUCHED = {
    RayActorManager._actor_task_failed: "acbe35f640730dce",
    TuneController._actor_failed: "367eac6d685d60d3",
    TuneController._trial_task_failure: "88dad0a9584cc713",
    TuneController._schedule_trial_reset: "fc4a257d83d30b2f",
    TuneController._on_trial_reset: "0c9d60ed21132949",
    RayActorError.preempted.fget: "99f67e8e040f8b48",
    tune.Tuner.restore: "173dbeeb80471ec5",
    TunerInternal._get_tune_run_arguments: "57cf156d86b5b036",
    TunerInternal._fit_resume: "cdf690ecaf13e998",
    services.get_node: "68e58c15b903d8c2",
    services.start_ray_process: "81303cf8b1cc6eb1",
    Node.__init__: "3866c68ee18a32e3",
    Node.kill_all_processes: "01f80cfd21fa9e68",
}


@pytest.mark.parametrize(
    ("part", "digest"), TOUCHED.items(), ids=lambda x: getattr(x, "__qualname__", "")
)
def test_what_is_repaired_is_as_it_was_when_the_repair_was_written(part, digest) -> None:
    found = hashlib.sha256(inspect.getsource(part).encode()).hexdigest()[:16]
    assert found == digest, (
        f"{part.__qualname__} of Ray changed: read it, and see search/tune/repairs.py"
    )
