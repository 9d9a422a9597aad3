"""`python -m search.run`: words -> settings -> a run, and its exit status; quick to answer.

Nothing heavy is imported before the words are known to make sense.
"""

import logging
import sys
import traceback
import warnings
from collections.abc import Sequence

from rich.console import Console

from search.comparison import Comparison
from search.dashboard.needed import require_dashboard
from search.option_parser import (
    build_parser as build_parser,  # a command has one; completion reads it
)
from search.parser import parse, words
from search.record.log import quiet_root_logger, write_fault
from search.record.redaction import redacted
from search.record.runfolder import RunFolder
from search.saved_config import changed_settings, save_config
from search.tune.cause import cause
from trainables.base.commandline import BAD_INPUT, FAULT, INTERRUPTED, OK, as_command, resume
from trainables.base.errors import InvalidInput, one_line
from trainables.records import COMPARISON


@as_command
def main(arguments: Sequence[str]) -> int:
    """Run the program; returns the exit status of DESIGN: 0, 1, 2, 3 or 130."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    quiet_root_logger()
    logging.raiseExceptions = False  # a full disk is said once, not by every line of the log
    folder: RunFolder | None = None
    try:
        config, options = parse(arguments)
        if options.save_config is not None and config is not None:
            save_config(config, options, options.save_config)
            print(options.save_config)
            return OK
        said = None if options.quiet else changed_settings(config, options)
        if said is not None:
            console.print(said, markup=False)
        folder = RunFolder(options.resume or options.out)
        is_comparison = options.resume is not None and COMPARISON in folder.read_config()
        if options.dashboard:
            require_dashboard()
        warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
        # Ray, torch and pandas: seconds that a mistake need not wait
        from search.every_defense import compare
        from search.pipeline import run

        quiet_root_logger()
        if isinstance(config, Comparison) or (config is None and is_comparison):
            return compare(config, options, folder)
        return run(config, options, folder)
    except InvalidInput as error:
        console.print(f"error: {redacted(one_line(error))}", markup=False)
        return BAD_INPUT
    except KeyboardInterrupt:
        console.print(_how_to_resume(folder), markup=False)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - every fault ends in one line and status 1
        # a RuntimeError is in words, of any other the type says most; Tune's hold whole tracebacks
        whole = str(error) if isinstance(error, RuntimeError) else traceback.format_exc()
        said = redacted(cause(whole) if whole else type(error).__name__)
        console.print(f"fault: {said}; the log is {write_fault(folder)}", markup=False)
        return FAULT


def _how_to_resume(folder: RunFolder | None) -> str:
    if folder is None or not folder.config.exists():
        return "interrupted; nothing was started"
    return f"interrupted; everything finished is on disk. Continue with: {resume(folder.path)}"


if __name__ == "__main__":
    sys.exit(main(words()))
