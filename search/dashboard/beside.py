"""`--dashboard`: the live page beside a run, in a process that cannot harm it and ends with it.

It reads the run's folder alone, so nothing waits for it, and it may die.  It ends when its standard
input does, which the system closes however the run ends.
"""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator

from trainables.base.commandline import program
from trainables.base.storage import Place


@contextlib.contextmanager
def shown_live(folder: Place, say: Callable[[str], None], *, asked: bool) -> Iterator[None]:
    """Have the page of the run in `folder` served while the block runs, if that was asked for."""
    if not asked:
        yield
        return
    again = program("search.dashboard", folder)
    call = [sys.executable, "-m", "search.dashboard", str(folder), "--no-browser", "--until-eof"]
    try:
        page = subprocess.Popen(
            call, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        say(f"The dashboard has not started ({error.strerror}); try {again}")
        yield
        return
    say(f"The dashboard's URL comes next; it closes with the run. To open it again: {again}")
    try:
        yield
    finally:
        if page.stdin is not None:
            page.stdin.close()  # it shows the end to open pages, and goes; nobody waits for it
