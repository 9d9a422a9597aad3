"""Who is told that a machine or a program will be gone, on real machines of a real cluster."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import ray

from tests.system.hosts import wait_until
from trainables.notice import Notice, give_notice, withdraw_notice

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.filterwarnings("default"),  # Ray's own
]


class _Listener:
    """Hears as a trial does."""

    def __init__(self) -> None:
        self.notice = Notice()

    def heard(self) -> bool:
        return self.notice.given


def listener(resource: str | None = None) -> ray.actor.ActorHandle:
    """One, on the machine that has `resource`."""
    resources = None if resource is None else {resource: 1}
    return ray.remote(num_cpus=0, resources=resources)(_Listener).remote()


def heard(by: ray.actor.ActorHandle) -> bool:
    return ray.get(by.heard.remote(), timeout=60)


@pytest.fixture
def joined(ray_cluster: str) -> Iterator[None]:
    ray.init(address=ray_cluster, log_to_driver=False)
    yield
    ray.shutdown()


@contextlib.contextmanager
def spot_machine(address: str) -> Iterator[subprocess.Popen[bytes]]:
    """A machine of the cluster whose first process is `ray start --block`, as in a container."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    command += ["--address", address, "--num-cpus", "0", "--resources", '{"spot": 1}']
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "30"},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


ANOTHER_PROGRAM = """
import sys
import time

import ray

from trainables import notice

ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
listening = notice.Notice()
print("listening", flush=True)
sys.stdin.readline()
time.sleep(3 * notice.POLL_S)
print(listening.given)
"""


def test_all_trials_of_a_program_hear_that_it_ends_and_no_other_program_does(
    joined, ray_cluster: str
) -> None:
    trials = [listener(), listener()]
    assert not any(map(heard, trials))
    command = [sys.executable, "-c", ANOTHER_PROGRAM, ray_cluster]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "listening\n"
        give_notice()
        for trial in trials:
            wait_until(lambda trial=trial: heard(trial), "the notice")
        said, _ = other.communicate("\n", timeout=120)
    assert said == "False\n"
    withdraw_notice()
    for trial in trials:
        wait_until(lambda trial=trial: not heard(trial), "its end")


def test_on_sigterm_of_its_ray_a_machines_trials_hear_it_while_there_is_time(
    joined, ray_cluster: str
) -> None:
    with spot_machine(ray_cluster) as machine:
        there, elsewhere = listener("spot"), listener()
        assert not heard(there)
        machine.send_signal(signal.SIGTERM)
        began = time.monotonic()
        wait_until(lambda: heard(there), "the notice")
        assert machine.poll() is None, f"gone {time.monotonic() - began:.0f} s after its notice"
        assert not heard(elsewhere)
        ray.kill(there)
        machine.wait(timeout=60)  # idle now


def test_without_ray_there_is_no_notice() -> None:
    assert not ray.is_initialized()
    assert not Notice().given
