"""A comparison of defences: a whole run of each, one after the other, in one Ray cluster.

The folder of the comparison holds its settings and `defences/NAME/`, each a run like any other.
The dense models of the halves are the same for all: they are trained and measured once, in
`dense/`, and every run gets a copy.
"""

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from search.budget import budget, plan_of_comparison
from search.comparison import Comparison
from search.context import Context
from search.dashboard.beside import shown_live
from search.ending import comparison_made
from search.inputs import Inputs, for_defense, load_inputs
from search.machine_options import Options
from search.parser import require_known
from search.pipeline import Prepared, conduct, resources_for, speaker
from search.record.log import logging_to, write_fault
from search.record.redaction import redacted
from search.record.runfolder import VERSION, RunFolder, describe_comparison
from search.record.storage_url import require_storage_url
from search.record.trials_parquet import Ledger
from search.search_options import SearchConfig
from search.stages.dense import train_dense
from search.stages.fit import with_given
from search.stored_settings import as_before, recorded
from search.track.registry import require_tracker
from search.tune.cause import cause
from search.tune.join import cluster
from search.tune.notice import on_signal
from search.tune.resources import wait_for_room
from trainables.base.commandline import FAULT, NOTHING_FEASIBLE, OK
from trainables.base.errors import InvalidInput, one_line
from trainables.base.storage import RemotePath, remove_tree
from trainables.data.images import DataAbsent
from trainables.defenses.registry import named
from trainables.records import COMPARISON, ENDED


def compare(comparison: Comparison | None, options: Options, folder: RunFolder) -> int:
    """From settings to the page. Raises InvalidInput before anything is written.

    comparison: None goes on with the one in the folder.
    """
    if options.probe:
        raise InvalidInput("--probe measures one defence: give --defense one name, or leave it out")
    say = speaker(options)
    require_tracker(options.track)
    stored = None
    if comparison is None:
        stored = folder.read_config()
        comparison, options = _as_it_began(folder, stored, options)
        options = as_before(options, stored["options"], say)
    if options.study_storage is not None:
        require_storage_url(options.study_storage)
    inputs = _inputs(comparison, options, say)
    with cluster(options.address, say) as nodes:
        signal.signal(signal.SIGTERM, on_signal)  # Ray set its own
        resources = resources_for(nodes, options, comparison.widest.dataset)
        if options.dry_run or inputs is None:
            text = plan_of_comparison(comparison, inputs, resources)
            Console().print(text, markup=False, highlight=False, soft_wrap=True)
            return OK
        wait_for_room(resources, nodes, say)
        if stored is None:
            folder.create()
            stored = describe_comparison(comparison, folder.path.name, recorded(options))
            folder.write_config(stored)
        else:
            folder.require_writable()
        above = Prepared(
            config=comparison.widest,
            options=options,
            folder=folder,
            run_id=stored["run_id"],
            inputs=inputs,
            resources=resources,
            say=say,
        )
        page = shown_live(folder.path, say, asked=options.dashboard)
        with folder.held(), _log_of_all(folder), page:
            return _every_run(comparison, above)


def _log_of_all(folder: RunFolder) -> contextlib.AbstractContextManager[None]:
    """The log of the whole; in a store, where a log is put at its end, only the runs have one."""
    if isinstance(folder.log, RemotePath):
        return contextlib.nullcontext()
    return logging_to(folder.log)


def _as_it_began(
    folder: RunFolder, stored: Mapping[str, Any], options: Options
) -> tuple[Comparison, Options]:
    """The settings in the folder. Raises InvalidInput where they, or the folder, are unusable."""
    folder.require_own()
    if folder.dense.is_dir():
        RunFolder(folder.dense).require_own()
    if options.more_models is not None:
        raise InvalidInput(
            f"--models {options.more_models}: a comparison needs equally many models of every "
            "defence, so it cannot take more; start a new one"
        )
    kinds = {"options": dict, "run_id": str, ENDED: dict}
    for name, kind in kinds.items():
        if not isinstance(stored.get(name), kind):
            raise InvalidInput(
                f"--resume: config.json lacks {name}, or holds another kind of value; restore the "
                "file or start a new run"
            )
    return Comparison.from_dict(stored[COMPARISON]), options


def _inputs(comparison: Comparison, options: Options, say: Callable[[str], None]) -> Inputs | None:
    """The data, which all runs share; None when a dry run has no data to look at."""
    try:
        inputs = load_inputs(comparison.widest, options)
    except DataAbsent as error:
        if not options.dry_run:
            raise
        say(f"The data were not looked at: {one_line(error)}")
        return None
    for run in comparison.runs:
        require_known(run)  # after a plugin was loaded
    return inputs


def _every_run(comparison: Comparison, above: Prepared) -> int:
    """Each run that has not ended, and the page."""
    folder, say = above.folder, above.say
    say(f"Comparison {folder.path}")
    for line in budget(comparison):
        say(line)
    folder.remove_leftovers()
    open_ = [run for run in comparison.runs if run.defense not in _ended(folder)]
    if open_:
        _train_dense(above)
    faults = {}
    for run in open_:
        number = comparison.defenses.index(run.defense) + 1
        say(f"Defence {number} of {len(comparison.runs)}: {run.defense}")
        status = _one_run(run, above)
        if isinstance(status, str):
            faults[run.defense] = status
        elif status == FAULT:
            faults[run.defense] = "most of its trials failed, as its report says"
        else:
            _keep_ended(folder, run.defense, status)
    if not faults:
        remove_tree(folder.dense)
    comparison_made(folder.path, faults)
    if faults:
        return FAULT
    defended = [status for name, status in _ended(folder).items() if not named(name).is_bare]
    return OK if OK in defended else NOTHING_FEASIBLE


def _train_dense(above: Prepared) -> None:
    """The dense models of all halves that any run needs, measured, in a folder of their own."""
    folder = RunFolder(above.folder.dense)
    context = Context(
        config=above.config,
        options=above.options,
        folder=folder,
        run_id=above.run_id,
        inputs=above.inputs,
        resources=above.resources,
        ledger=Ledger(folder.path),
        say=above.say,
    )
    folder.remove_leftovers()
    if not folder.config.exists():
        folder.write_config({"version": VERSION})  # for what is said of a network that was given
    train_dense(with_given(context))


def _one_run(run: SearchConfig, above: Prepared) -> int | str:
    """The exit status of the run of one defence, or in one line why it could not be made.

    What is at fault in one run must not cost the others; a full disk would cost them too.
    """
    folder = RunFolder(above.folder.defenses / run.defense)
    own = dataclasses.replace(
        above,
        config=run,
        folder=folder,
        options=dataclasses.replace(above.options, out=folder.path, resume=None, dashboard=False),
        run_id=f"{above.run_id}-{run.defense}",
        inputs=for_defense(above.inputs, run.defense),
        dense_from=above.folder.dense,
    )
    try:
        stored = folder.read_config() if folder.config.exists() else None
        if stored is not None:
            folder.require_own()
        return conduct(own, stored)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - the other runs go on, and the status says it
        said = redacted(cause(str(error) or type(error).__name__))
        above.say(f"{run.defense} could not be measured: {said}; the log is {write_fault(folder)}")
        return said


def _ended(folder: RunFolder) -> dict[str, int]:
    """Defence -> exit status of its run, for those that have ended."""
    return dict(folder.read_config()[ENDED])


def _keep_ended(folder: RunFolder, defense: str, status: int) -> None:
    stored = folder.read_config()
    folder.write_config({**stored, ENDED: {**stored[ENDED], defense: status}})
