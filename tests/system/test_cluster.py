"""A cluster of three hosts by `ray up`: a submitted search, its faults, its end, and no stranger.

The hosts are namespaces on this machine. The desk is a fourth, the user's own computer: it reaches
the cluster by SSH alone and does not see the shared folder. The tests run in their order.
"""

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.system import spot_metadata
from tests.system.hosts import SHARED, Host, Network, wait_until, why_not_here
from tests.system.program import assert_study_equals_ledger, rows

PYTHON = sys.executable
JOBS = "http://127.0.0.1:8265"
FILE = "/tmp/home/my-cluster.yaml"
KEY = "/tmp/home/key"
TOKEN = "/tmp/home/.ray/auth_token"
SMOKE = ("--preset", "smoke", "--no-references")
TRIALS, DONE = 12, 4
METADATA_PORT = 9169
METADATA = f"http://127.0.0.1:{METADATA_PORT}"

ALIVE = """
import ray

ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
print(sum(node["Alive"] for node in ray.nodes()))
"""

PATIENT = """
import pathlib, socket, time

import pyarrow.parquet as pq
import ray

from trainables.models.registry import MODELS
from trainables.plugin import register_model

RUN = {run!r}
MARKS, HOLD, HELD = (pathlib.Path(RUN + end) for end in ("-marks", "-hold", "-held"))


def wait_until(happened, what):
    deadline = time.monotonic() + 240
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.1)


def everywhere(folder):
    (folder / socket.gethostname()).touch()
    return len(list(folder.iterdir())) == {hosts}


def done():
    parts = pathlib.Path(RUN, "trials.parquet").glob("[!.]*.parquet")
    return sum(pq.read_metadata(part).num_rows for part in parts) - 1  # the baseline


def wait(network, images):
    in_trial = ray.is_initialized() and ray.get_runtime_context().get_actor_id()
    if not (in_trial and network.training and len(images[0]) > 2 and MARKS.is_dir()):
        return  # an actor's setup tries the network with two images, and may then get no trial
    wait_until(lambda: everywhere(MARKS), "a host has no trial")
    if HOLD.exists() and done() >= {done}:
        (HELD / socket.gethostname()).touch()
        wait_until(lambda: not HOLD.exists(), "nobody let go")


def patient(n_classes, image_shape):
    network = MODELS["lenet5"].build(n_classes, image_shape)
    network.register_forward_pre_hook(wait)
    return network


register_model("patient", patient)
"""
"""LeNet-5 whose trials wait, in training, for one another until there is one on every host; where
the test holds them they wait again, once some trials are done, for the fault. Trials this short
would all run on the first host: Ray Tune gives a free actor the trial that another starts for."""

_lacking = why_not_here()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.skipif(_lacking is not None, reason=f"NO CLUSTER WAS TESTED: {_lacking}"),
]


class Cluster:
    """What a user does at the desk, and what an observer sees on the hosts."""

    def __init__(self, network: Network) -> None:
        self.desk, self.hosts, self.network = network.desk, network.hosts, network

    def write_file(self) -> None:
        """The commands of the file's own comment, up to `ray up`."""
        head, *workers = (host.address for host in self.hosts)
        words = [PYTHON, "-m", "search.cluster", "local", "--head", head]
        words += ["--workers", ",".join(workers), "--user", "root", "--key", KEY]
        words += ["--environment", sys.prefix, "--cpus", "1"]
        self.desk.must("bash", "-c", f'"$@" > {FILE}', "write", *words)
        self.desk.must("ray", "get-auth-token", "--generate")
        self.desk.must("chmod", "600", TOKEN)

    def up(self) -> None:
        """`ray up` until every host is there."""
        self.desk.must("ray", "up", "--yes", FILE, RAY_UP_enable_autoscaler_v2="0")
        self.wait_for_all()

    def down(self) -> "subprocess.CompletedProcess[str]":
        """The way down that reaches every host."""
        return self.desk.run(PYTHON, "-m", "search.cluster", "down", FILE)

    def alive(self) -> int:
        """Hosts that the head counts; `ray status` shows lost ones for minutes."""
        return int(self.hosts[0].run(PYTHON, "-c", ALIVE, RAY_AUTH_MODE="token").stdout or 0)

    def wait_for_all(self) -> None:
        """Until every host is in the cluster, also one that Ray is starting again."""
        everyone = len(self.hosts)
        wait_until(lambda: self.alive() == everyone, "all hosts in the cluster", 600, pause_s=3)

    def jobs(self, *words: object) -> "subprocess.CompletedProcess[str]":
        """`ray job ...` at the desk."""
        verb, *rest = words
        return self.desk.run(*("ray", "job", verb, "--address", JOBS, *rest), RAY_AUTH_MODE="token")

    def submit(self, job: str, *words: object) -> None:
        """A search as a job that goes on when the desk goes away."""
        entry = (PYTHON, "-m", "search.run", "--address", "auto", *words)
        done = self.jobs("submit", "--no-wait", "--submission-id", job, "--", *entry)
        assert done.returncode == 0, done.stdout + done.stderr

    def ended(self, job: str) -> bool:
        """Whether the job has ended, well or not."""
        return bool(re.search(r"succeeded|failed|stopped", self.jobs("status", job).stdout))

    def logs(self, job: str) -> str:
        """All that the job has printed."""
        return self.jobs("logs", job).stdout

    def finish(self, job: str, run: Path) -> pd.DataFrame:
        """Wait for a job that must succeed; the rows of its search."""
        wait_until(lambda: self.ended(job), f"the end of {job}", 600)
        assert "succeeded" in self.jobs("status", job).stdout, self.logs(job)
        return rows(run, "anchor", "search")

    def answer(self, host: Host, *options: str, path: str = "/api/jobs/") -> str:
        """The HTTP status that the Jobs API gives to a program on `host`; 000 for none."""
        ask = ("curl", "-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", *options)
        return host.run(*ask, f"http://127.0.0.1:8265{path}").stdout


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Network(tmp_path_factory.mktemp("network"), hosts=3) as network:
        made = Cluster(network)
        made.write_file()
        made.up()
        tunnel = made.desk.start("ray", "dashboard", FILE, **QUIET)
        wait_until(lambda: made.answer(made.desk) != "000", "the way to the Jobs API")
        yield made
        tunnel.kill()
        tunnel.wait()


QUIET = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)


def start(cluster: Cluster, job: str, *, hold: bool = True) -> Path:
    """Submit a search that has a trial on every host at once; the run's folder.

    hold: return with some trials on disk and one under way on every host that ends at `let_go`.
    """
    cluster.wait_for_all()
    shared = cluster.network.shared
    for left in shared.glob("*-hold"):  # by a test that failed: its job would keep the hosts
        left.unlink()
    run, marks = shared / job, shared / f"{job}-marks"
    held = shared / f"{job}-held"
    held.mkdir()
    if hold:
        (shared / f"{job}-hold").touch()
    patient = PATIENT.format(run=str(SHARED / job), hosts=len(cluster.hosts), done=DONE)
    (shared / f"{job}.py").write_text(patient)
    words = (*SMOKE, "--trials", TRIALS, "--out", SHARED / job)
    words += ("--study-storage", f"journal://{SHARED / job}-study")
    cluster.submit(job, *words, "--plugin", SHARED / f"{job}.py", "--model", "patient")
    wait_for_dense_model(cluster, job, run)  # it trains alone
    marks.mkdir()
    waiting = held if hold else marks
    wait_until(lambda: len(list(waiting.iterdir())) == len(cluster.hosts), "a trial on every host")
    return run


def let_go(run: Path) -> None:
    """End the wait of the trials that `start` holds."""
    run.with_name(f"{run.name}-hold").unlink()


def wait_for_dense_model(cluster: Cluster, job: str, run: Path) -> None:
    """Until its row is on disk."""
    polls = itertools.count()
    table = run / "trials.parquet"  # whose first row it is
    wait_until(
        lambda: any(table.glob("[!.]*")) or (next(polls) % 50 == 49 and cluster.ended(job)),
        f"the dense model of {job}",
    )
    assert any(table.glob("[!.]*")), cluster.logs(job)


def assert_nothing_lost_or_doubled(run: Path) -> None:
    """Every trial has one row and is in the study; one that did not finish says why."""
    searched = rows(run, "anchor", "search")
    assert_study_equals_ledger(f"journal://{run}-study", run.name, run)
    assert list(searched["number"]) == list(range(TRIALS))
    assert searched["trial_id"].is_unique
    unfinished = searched[~searched["state"].isin(["COMPLETE", "PRUNED"])]
    assert set(unfinished["state"]) <= {"FAILED"}
    assert unfinished["error"].str.len().gt(0).all()


def test_the_jobs_api_answers_401_without_the_token_and_403_with_a_wrong_one(
    cluster: Cluster,
) -> None:
    token = cluster.desk.must("cat", TOKEN).strip()
    for asker in (cluster.desk, cluster.hosts[0]):
        assert cluster.answer(asker) == "401"
        assert cluster.answer(asker, "-H", "Authorization: Bearer 0123456789abcdef") == "403"
        assert cluster.answer(asker, "-H", f"Authorization: Bearer {token}") == "200"
    submit = ("-X", "POST", "-H", "Content-Type: application/json", "-d", '{"entrypoint": "id"}')
    assert cluster.answer(cluster.hosts[0], *submit) == "401"


def test_the_dashboard_listens_on_the_heads_loopback_only(cluster: Cluster) -> None:
    head, worker, _ = cluster.hosts
    ask = ("curl", "-s", "-m", "20", f"http://{head.address}:8265/")
    assert worker.run(*ask).returncode == 7  # refused


def test_a_worker_without_the_token_cannot_join_or_use_the_cluster(cluster: Cluster) -> None:
    head, worker, _ = cluster.hosts
    code = f"import ray; ray.init(address='{head.address}:6379')"
    done = worker.run(PYTHON, "-c", code, RAY_AUTH_MODE="disabled")
    assert done.returncode != 0
    assert "uthentic" in done.stdout + done.stderr


def test_every_copy_of_the_token_is_its_owners_alone(cluster: Cluster) -> None:
    for host in (cluster.desk, *cluster.hosts):
        assert host.must("stat", "-c", "%a", TOKEN).strip() == "600"


def test_a_submitted_search_runs_trials_on_every_host_and_can_be_followed(
    cluster: Cluster,
) -> None:
    run = start(cluster, "first", hold=False)
    followed = cluster.jobs("logs", "--follow", "first").stdout  # joins late, leaves at the end
    searched = cluster.finish("first", run)
    assert_nothing_lost_or_doubled(run)
    assert (searched["state"] == "COMPLETE").all()
    assert set(searched["node"]) == {"h0", "h1", "h2"}
    for trial in searched["trial_id"]:
        assert followed.count(f" {trial} ") == 1
    assert f"Search: {TRIALS}/{TRIALS}" in followed
    assert "\x1b" not in "".join(re.findall(r"Search:.*", followed))


def test_the_results_are_fetched_from_the_head(cluster: Cluster) -> None:
    cluster.desk.must("ray", "rsync-down", FILE, f"{SHARED}/first/", "/tmp/home/first/")
    assert cluster.desk.must("head", "-c", "15", "/tmp/home/first/report.html") == "<!doctype html>"


def test_a_stopped_job_is_resumed_on_another_host(cluster: Cluster) -> None:
    run = start(cluster, "second")
    cluster.jobs("stop", "second")
    wait_until(lambda: cluster.ended("second"), "the end of the job")
    assert f"python -m search.run --resume {SHARED / 'second'}" in cluster.logs("second")
    let_go(run)
    before = set(rows(run, "anchor", "search")["trial_id"])
    assert DONE <= len(before) < TRIALS
    other = cluster.hosts[1]
    words = (PYTHON, "-m", "search.run", "--resume", SHARED / "second", "--address", "auto")
    other.must(*words, RAY_AUTH_MODE="token")
    searched = rows(run, "anchor", "search")
    assert_nothing_lost_or_doubled(run)
    assert before <= set(searched["trial_id"])


def test_lost_trial_processes_raylets_and_cables_cost_no_trial(cluster: Cluster) -> None:
    """A fault on every host at once, each amid a trial; only the head's raylet is left to go on."""
    run = start(cluster, "third")
    head, worker, unplugged = cluster.hosts
    head.kill_processes("ray::ResourceTrainable.train")  # what a trial in training is called
    worker.kill_processes("raylet/raylet")
    cluster.network.unplug(unplugged)
    let_go(run)
    time.sleep(60)  # the fault itself
    cluster.network.plug_in(unplugged)
    cluster.finish("third", run)
    assert_nothing_lost_or_doubled(run)


def test_the_hosts_come_back_by_themselves(cluster: Cluster) -> None:
    cluster.wait_for_all()


def test_a_run_whose_head_is_lost_goes_on_in_a_new_cluster(cluster: Cluster) -> None:
    run = start(cluster, "fourth")
    cluster.hosts[0].kill_processes("ray", "search.run")
    let_go(run)
    before = rows(run, "anchor", "search")
    assert DONE <= len(before) < TRIALS
    assert cluster.down().returncode == 0
    cluster.up()
    wait_until(lambda: cluster.answer(cluster.desk) != "000", "the way to the new Jobs API")
    cluster.submit("fifth", "--resume", SHARED / "fourth")
    searched = cluster.finish("fifth", run)
    assert_nothing_lost_or_doubled(run)
    again = searched[searched["trial_id"].isin(before["trial_id"])]
    pd.testing.assert_frame_equal(again.reset_index(drop=True), before)


def take_back(host: Host) -> None:
    """Have the host's cloud say that it takes it back, to what the cluster files start there."""
    server = host.start(PYTHON, spot_metadata.__file__, METADATA_PORT, **QUIET)
    wait_until(lambda: host.run("curl", "-s", METADATA).returncode == 0, "the metadata server")
    words = (PYTHON, "-m", "search.spot", "--metadata", METADATA)
    assert "Ray drains it" in host.must(*words, RAY_AUTH_MODE="token")
    server.kill()
    server.wait()


def failures(run: Path) -> dict[str, int]:
    """Trial id -> how often Ray Tune counted it as failed."""
    state = json.loads(max(run.glob("tune/search/experiment_state-*.json")).read_text())
    trials = [(json.loads(trial), json.loads(data)) for trial, data in state["trial_data"]]
    return {trial["custom_dirname"]: data["num_failures"] for trial, data in trials}


def test_a_spot_machine_taken_back_and_one_unplugged_for_good_cost_no_trial(
    cluster: Cluster,
) -> None:
    run = start(cluster, "sixth")
    _, spot, lost = cluster.hosts
    take_back(spot)
    cluster.network.unplug(lost)
    spot.must("pkill", "raylet")
    let_go(run)
    searched = cluster.finish("sixth", run)
    assert_nothing_lost_or_doubled(run)
    assert (searched["state"] == "COMPLETE").all()
    assert sum(failures(run).values()) == 1, "of the trial on the lost host; the other was told"


def test_the_token_is_in_no_run_and_no_log(cluster: Cluster) -> None:
    token = cluster.desk.must("cat", TOKEN).strip()
    found = cluster.hosts[0].run("grep", "-rlF", token, SHARED, "/tmp/ray")
    assert (found.returncode, found.stdout) == (1, ""), found.stdout + found.stderr


def test_down_names_the_host_that_it_cannot_reach_and_ends_all_others(cluster: Cluster) -> None:
    done = cluster.down()
    head, worker, lost = cluster.hosts
    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stdout
    assert lines[:2] == [f"{head.address}: stopped", f"{worker.address}: stopped"]
    assert lines[2].startswith(f"{lost.address}: NOT STOPPED: ")
    assert head.processes("ray") == worker.processes("ray") == []
    assert lost.processes("raylet/raylet") or lost.processes("ray::")


def test_down_again_when_the_host_is_back_leaves_no_ray_process_anywhere(cluster: Cluster) -> None:
    cluster.network.plug_in(cluster.hosts[2])
    done = cluster.down()
    assert done.returncode == 0, done.stdout
    assert [host.processes("ray") for host in cluster.hosts] == [[], [], []]
