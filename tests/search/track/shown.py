"""What each tracker shows of a run, read back from where it keeps it, by other means than ours."""

import dataclasses
import json
import os
import re
import struct
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.system.servers import PATIENCE_S, free_port, wait_for_port

Curve = dict[int, float]


@dataclasses.dataclass
class Child:
    """One run in a tracker."""

    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    curves: dict[str, Curve] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Shown:
    """All that a tracker has."""

    parents: list[Child]
    children: list[tuple[str, Child]]
    """(name, child), so that a doubled one would show."""

    files: dict[str, bytes] = dataclasses.field(default_factory=dict)

    @property
    def by_name(self) -> dict[str, Child]:
        found = dict(self.children)
        assert len(found) == len(self.children), "a child is doubled"
        return found


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a tracker of the tests keeps what it is told."""

    asked: str
    """As `--track` takes it."""

    read: Callable[[Path], Shown]
    """The run's folder -> what is there."""


@contextmanager
def mlflow_server(folder: Path, port: int | None = None) -> Iterator[str]:
    """The address of a real tracking server with a database and a folder of artifacts."""
    port = port or free_port()
    words = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder}/runs.db", "--workers", "1"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # processes that no test needs
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            words, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
        )
    try:
        wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        subprocess.run(["pkill", "-KILL", "--session", str(process.pid)], check=False)
        process.wait()


def asked(url: str, query: dict[str, Any] | None = None, *, method: str = "GET") -> Any:
    """The answer of a server, from JSON."""
    body = None
    if method == "GET" and query:
        url = f"{url}?{urllib.parse.urlencode(query)}"
    elif query is not None:
        body = json.dumps(query).encode()
    request = urllib.request.Request(
        url, data=body, method=method, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def from_mlflow(address: str, name: str) -> Shown:
    """The run of this name, by the server's REST interface."""
    api = f"{address}/api/2.0/mlflow"
    found = asked(f"{api}/experiments/search", {"max_results": 10}, method="POST")
    ids = [one["experiment_id"] for one in found["experiments"]]
    runs = asked(f"{api}/runs/search", {"experiment_ids": ids}, method="POST").get("runs", [])
    parents = [run for run in runs if run["info"]["run_name"] == name]
    keys = {run["info"]["run_id"] for run in parents}
    children = [run for run in runs if _tags(run).get("mlflow.parentRunId") in keys]
    shown = Shown(
        parents=[_of_mlflow(api, run) for run in parents],
        children=[(run["info"]["run_name"], _of_mlflow(api, run)) for run in children],
    )
    for key in keys:
        listed = asked(f"{api}/artifacts/list", {"run_id": key, "path": "winner"})
        for file in listed.get("files", []):
            query = urllib.parse.urlencode({"run_uuid": key, "path": file["path"]})
            with urllib.request.urlopen(f"{address}/get-artifact?{query}") as answer:
                shown.files[Path(file["path"]).name] = answer.read()
    return shown


def _tags(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}


def _of_mlflow(api: str, run: dict[str, Any]) -> Child:
    data, key = run["data"], run["info"]["run_id"]
    params = {param["key"]: param["value"] for param in data.get("params", [])}
    child = Child(tags={**params, **_tags(run), "status": run["info"]["status"]})
    for metric in data.get("metrics", []):
        name = metric["key"]
        if "/" not in name:
            child.figures[name] = metric["value"]
            continue
        query = {"run_id": key, "metric_key": name}
        points = asked(f"{api}/metrics/get-history", query)["metrics"]
        steps = [int(point.get("step", 0)) for point in points]
        assert len(set(steps)) == len(steps), f"{name} is logged twice"
        child.curves[name] = dict(zip(steps, (point["value"] for point in points), strict=True))
    return child


def from_tensorboard(folder: Path) -> Shown:
    """By a real TensorBoard over the folder."""
    port = free_port()
    words = ["--logdir", str(folder / "tensorboard"), "--host", "127.0.0.1", "--port", str(port)]
    expected = {child.name for child in (folder / "tensorboard").iterdir()}
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *words, "--load_fast", "false"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process)
        data = f"http://127.0.0.1:{port}/data"
        deadline = time.monotonic() + PATIENCE_S
        while set(asked(f"{data}/plugin/text/tags")) != expected:
            assert time.monotonic() < deadline, "the files are not read"
            time.sleep(0.1)
        texts = asked(f"{data}/plugin/text/tags")
        scalars = asked(f"{data}/plugin/scalars/tags")
        runs = {run: _of_tensorboard(data, run, texts, scalars) for run in expected}
    finally:
        process.kill()
        process.wait()
    parent = runs.pop("run")
    cards = {name: text.encode() for name, text in parent.tags.items() if name.endswith(".md")}
    return Shown(parents=[parent], children=[*runs.items()], files=cards)


def _of_tensorboard(data: str, run: str, texts: Any, scalars: Any) -> Child:
    child = Child()
    for tag in texts[run]:
        name = tag.removesuffix("/text_summary")
        points = asked(f"{data}/plugin/text/text", {"run": run, "tag": tag})
        child.tags[name] = re.sub(r"<[^>]*>|\n", "", points[-1]["text"])
    for tag in scalars.get(run, {}):
        points = asked(f"{data}/plugin/scalars/scalars", {"run": run, "tag": tag})
        curve = {int(step): value for _, step, value in points}
        assert len(curve) == len(points), f"{tag} is logged twice"
        if "/" in tag:
            child.curves[tag] = curve
        else:
            child.figures[tag] = curve[0]
    return child


def from_wandb(folder: Path) -> Shown:
    """From the files of the offline mode, those of one run put together as `wandb sync` does."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[str, tuple[str, str, Child]] = {}
    files: dict[str, bytes] = {}
    for log in sorted(
        folder.glob("wandb/offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime
    ):
        key = log.stem.removeprefix("run-")
        name, kind, child = found.get(key, ("", "", Child()))
        for content in _records(log.read_bytes()):
            record = Record.FromString(content)
            if record.HasField("run"):
                name, kind = record.run.display_name or name, record.run.job_type or kind
                child.tags |= dict(tag.split(":") for tag in record.run.tags)
                child.tags |= _items(record.run.config.update, str)
            child.tags |= _items(record.config.update, str)
            summary = _items(record.summary.update, lambda value: value)
            child.figures |= {
                name: value
                for name, value in summary.items()
                if isinstance(value, int | float) and "/" not in name and name[0] != "_"
            }
            child.tags |= {name: one for name, one in summary.items() if isinstance(one, str)}
            history = _items(record.history.item, lambda value: value)
            for curve, value in history.items():
                phase, slash, what = curve.partition("/")
                if slash and what != "epoch":
                    points = child.curves.setdefault(curve, {})
                    points[int(history[f"{phase}/epoch"])] = value
            for entry in record.request.log_artifact.artifact.manifest.contents:
                files[entry.path] = Path(entry.local_path).read_bytes()
            for entry in record.artifact.manifest.contents:
                files[entry.path] = Path(entry.local_path).read_bytes()
        found[key] = name, kind, child
    parents = [child for _, kind, child in found.values() if kind == "run"]
    children = [(name, child) for name, kind, child in found.values() if kind != "run"]
    return Shown(parents=parents, children=children, files=files)


def _items(items: Any, read: Callable[[Any], Any]) -> dict[str, Any]:
    return {
        item.key or "/".join(item.nested_key): read(json.loads(item.value_json)) for item in items
    }


BLOCK, HEADER = 2**15, 7


def _records(log: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log: in blocks, each piece with checksum, length and kind."""
    position, record = HEADER, b""
    while position + HEADER <= len(log):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", log[position : position + HEADER])
        piece = log[position + HEADER : position + HEADER + length]
        position += HEADER + length
        record = piece if kind in (1, 2) else record + piece
        if kind in (1, 4):
            yield record
