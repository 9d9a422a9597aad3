"""A run without Ray, written by the program's own code, that ends at its k-th write: `main`.

Every open for writing, rename, mkdir, chmod and removal below the run folder is one event of
Python's audit hook, so that a new write is covered without a word here.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from ray import tune
from safetensors.numpy import save_file

from analysis.load import load_run
from analysis.run_page import write_report
from search.recipes import recipe
from search.record.runfolder import RunFolder, describe
from search.record.trials_parquet import EPOCHS, TRIALS, Ledger
from search.stages.dense import _keep_baseline
from search.stages.export import export_winner
from search.tune.recorder import Recorder, RunIdentity
from trainables.base.errors import InvalidInput
from trainables.config import TrialConfig
from trainables.job import Job
from trainables.records import EpochRecord
from trainables.trial import MASKS_FILE, MODEL_FILE

CRASHED = 99
LAYERS = {"conv1": 150, "fc1": 48000}
SPLIT = {name: 1000 for name in ("members", "non_members", "validation", "test", "reference")}
WRITES = ("os.rename", "os.mkdir", "os.remove", "os.chmod")


def trials() -> Iterator[SimpleNamespace]:
    """What Tune hands to the recorder: a baseline, searched and confirmed trials."""
    config = recipe("mnist5k", "lenet5")
    kinds = [("baseline", 0), ("anchor", 0), ("search", 1), ("search", 2), ("confirm", 0)]
    for kind, number in kinds:
        trial = TrialConfig(
            kind=kind, number=number, run_seed=0, seed=1, dataset="mnist5k", model="lenet5",
            n=(75, 24000), defense="pruning", pruner="admm", training=config.training,
            admm=config.admm, attack=config.attack,
        )  # fmt: skip
        yield SimpleNamespace(
            config={"job": Job(trial=trial).to_dict()},
            last_result=result(f"{kind}-{number:04d}", 0.01 * (3 - number)),
            run_metadata=SimpleNamespace(
                checkpoint_manager=SimpleNamespace(best_checkpoint_results=[])
            ),
        )


def result(trial_id: str, excess: float) -> dict[str, Any]:
    """The last report of a trial that finished."""
    gain = excess - float(np.log(4))
    epoch = EpochRecord(
        trial_id=trial_id, phase="retrain", epoch=1, loss=0.1, train_accuracy=1.0, val_accuracy=0.9
    )
    names = ("train_accuracy", "val_accuracy", "test_accuracy", "attack_accuracy", "attack_auc")
    rates = ("tpr_at_1pct_fpr", "tpr_at_01pct_fpr", "js_divergence", "js_divergence_se")
    return {
        **dict.fromkeys(names, 0.9),
        **dict.fromkeys(rates, 0.01),
        "nonzero": 24075,
        "compression": 2.0,
        "flops_ratio": 0.5,
        "defense_spent": {},
        "attack_gain": gain,
        "attack_gain_se": 0.004,
        "excess_gain": excess,
        "strongest_attack": "calibrated",
        "attack_gains": {"calibrated": gain},
        "accuracy_violation": -0.1,
        "compression_violation": None,
        "finished": True,
        "started_at": "2026-01-01T00:00:00+00:00",
        "duration_s": 1.0,
        "epochs": 1,
        "history": [
            {name: getattr(epoch, name) for name in EpochRecord.__dataclass_fields__},
        ],
    }


def whole_run(out: Path, model: Path) -> None:
    """Begin a run in `out`, or go on with what a crash left, and write all of it but the report.

    model: a folder with the files of a checkpoint.
    """
    folder = RunFolder(out)
    if folder.config.exists():
        folder.read_config()
        folder.require_writable()
    else:
        data = {
            "split_hashes": {}, "split_sizes": SPLIT,
            "layer_names": list(LAYERS), "layer_weights": list(LAYERS.values()),
        }  # fmt: skip
        folder.create()
        values = describe(recipe("mnist5k", "lenet5"), "a-run", {"preset": "default"}, data)
        folder.write_config({**values, "created_at": "2026-01-01T00:00:00+00:00"})
    ledger = Ledger(out)
    folder.remove_leftovers()
    ledger.remove_leftovers()
    identity = RunIdentity(
        run_id="a-run", sampler="tpe", layer_names=tuple(LAYERS),
        layer_weights=tuple(LAYERS.values()),
    )  # fmt: skip
    recorder = Recorder(ledger, identity)
    ended = list(trials())
    found = tune.Result(
        metrics=ended[0].last_result, checkpoint=tune.Checkpoint(str(model)), error=None, path=""
    )
    _keep_baseline(SimpleNamespace(folder=folder, ledger=ledger), found)
    for trial in ended:
        recorder.on_trial_complete(0, [], trial)
    folder.write_config({**folder.read_config(), "dense_val_accuracy": 0.9})
    export_winner(folder.winner, "confirm-0000", {"confirm-0000": found}, "card of {trial_id}")


class Crash:
    """Ends this process at the k-th write below a folder; if `torn`, half of the file is there."""

    def __init__(self, out: Path, at: int | None, torn: bool) -> None:
        self.count, self._out, self._at, self._torn = 0, str(out), at, torn
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_WRONLY
        if not (opens or event in WRITES) or not str(arguments[0]).startswith(self._out):
            return
        self.count += 1
        if self.count == self._at:
            if self._torn and event == "os.rename":
                os.truncate(arguments[0], Path(arguments[0]).stat().st_size // 2)
            os._exit(CRASHED)


def in_a_process(out: Path, model: Path, at: int | None, torn: bool, report: bool) -> int:
    """Write the run in a process of its own; returns its exit status."""
    child = os.fork()
    if not child:
        try:
            crash = Crash(out, at, torn)
            whole_run(out, model)
            if report:
                write_report(out)
            if at is None:
                (out.parent / "writes").write_text(str(crash.count))
        except BaseException as error:  # noqa: BLE001 - the child must not go on as the parent
            sys.stderr.write(f"{at}: {error!r}\n")
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents(out: Path) -> dict[str, bytes]:
    """Every file but the temporary ones and the report, whose pictures have ids of their own.

    Of the tables the rows of each trial, since it depends on the crash which of them share a part.
    """
    found: dict[str, bytes] = {}
    for path in out.rglob("*"):
        if not path.is_file() or path.name.startswith(".") or path.name == "report.html":
            continue
        if path.parent.name not in (TRIALS, EPOCHS):
            found[str(path.relative_to(out))] = path.read_bytes()
            continue
        for row in pq.read_table(path).to_pylist():
            name = f"{path.parent.name} {row['trial_id']}"
            found[name] = found.get(name, b"") + repr(row).encode()
    return found


def check(out: Path, whole: dict[str, bytes]) -> list[str]:
    """What is wrong with the folder that a crash left."""
    wrong = []
    begun = (out / "config.json").exists()
    try:
        run = load_run(out)
        if len(run.trials) != len(set(run.trials["trial_id"])):
            wrong.append("a trial is there twice")
    except InvalidInput as error:
        if begun or "no config.json" not in str(error):
            wrong.append(str(error))
    for name, content in contents(out).items() if out.exists() else ():
        if name != "config.json" and content != whole[name]:
            wrong.append(f"{name} is not whole")
    report = out / "report.html"
    if report.exists() and not report.read_text().rstrip().endswith("</html>"):
        wrong.append("report.html is not whole")
    return wrong


def main(base: Path) -> dict[str, Any]:
    """Crash at every write, look, and go on; returns how often, and what was wrong."""
    model = base / "model"
    model.mkdir()
    save_file({"conv1.weight": np.ones((5, 5), np.float32)}, model / MODEL_FILE)
    save_file({"conv1": np.ones((5, 5), bool)}, model / MASKS_FILE)
    if in_a_process(base / "whole", model, None, torn=False, report=True):
        return {"wrong": ["the undisturbed run failed"]}
    whole, writes = contents(base / "whole"), int((base / "writes").read_text())
    found: dict[str, Any] = {"writes": writes, "crashes": 0, "wrong": []}
    for at in range(1, writes + 1):
        for torn in (False, True):
            out = base / f"{at}-{torn}"
            late = at > writes - 5  # drawing takes seconds: only where the report is what crashes
            status = in_a_process(out, model, at, torn, report=late)
            found["crashes"] += status == CRASHED
            wrong = check(out, whole) + ([] if status == CRASHED else [f"status {status}"])
            if in_a_process(out, model, 0, torn=False, report=False):
                wrong.append("it does not go on")
            elif contents(out) != whole or any(out.rglob(".*")):
                wrong.append("what goes on ends differently")
            found["wrong"] += [f"write {at}, torn {torn}: {what}" for what in wrong]
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]).absolute())))
