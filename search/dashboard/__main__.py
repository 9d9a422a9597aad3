"""`python -m search.dashboard RUN`: the live page of a run, finished or running, on loopback."""

import html
import os
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.base.commandline import BAD_INPUT, FAULT, OK, OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line

if TYPE_CHECKING:
    import uvicorn

LAST_LOOK_S = 5.0
"""Seconds from the end of the program that started this one: open pages ask every 2."""


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    try:
        given = build_parser().parse_args(arguments)
        from search.dashboard.needed import require_dashboard

        require_dashboard()
        return _serve(given.run, given.port, browser=given.browser, until_eof=given.until_eof)
    except InvalidInput as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        return BAD_INPUT
    except OSError as error:
        sys.stderr.write(f"fault: {given.run} cannot be read: {one_line(error)}\n")
        return FAULT
    except KeyboardInterrupt:
        return OK


def build_parser() -> OneLineParser:
    """The parser of the command."""
    parser = OneLineParser(
        prog="python -m search.dashboard",
        description="Show a run in the browser, updating by itself: progress with time left, the "
        "race, accuracy against leak, failures, slots, cost. Only this machine can reach it, and "
        "each URL that it prints opens it once. Reads the folder and writes nothing. Ctrl-C ends "
        "it.",
        epilog="exit status: 0 ended, 2 the folder is no run, or the port is in use",
    )
    parser.add_argument(
        "run", metavar="RUN", help="folder of a run, such as runs/mnist5k-…, or its s3:// URI"
    )
    parser.add_argument(
        "--port", metavar="N", type=int, default=0, help="on 127.0.0.1 [a free one]"
    )
    parser.add_argument(
        "--no-browser",
        dest="browser",
        action="store_false",
        help="open no browser, which is done only where this terminal has a screen",
    )
    parser.add_argument(
        "--until-eof",
        action="store_true",
        help="end when standard input does: for a program that starts this one",
    )
    return parser


def _serve(run: str, port: int, *, browser: bool, until_eof: bool) -> int:
    if not 0 <= port <= 65535:
        raise InvalidInput(f"--port {port} must be between 1 and 65535, or 0 for a free one")
    from analysis.live.newest import Newest  # pandas: a mistake need not wait
    from search.dashboard.server import listening, serve
    from trainables.base.storage import place

    newest = Newest(place(run))
    urls: list[str] = []

    def tell(url: str) -> None:
        urls.append(url)
        words = "Dashboard" if len(urls) == 1 else "Dashboard, to open it once more"
        sys.stderr.write(f"{words}: {url}\n")
        sys.stderr.flush()

    with listening(port) as opened:
        server = serve(newest, opened, tell)
        if browser and _has_screen():
            threading.Timer(0.5, _open, urls).start()
        if until_eof:
            os.nice(10)
            threading.Thread(target=_wait_for_eof, args=[server], daemon=True).start()
        server.run(sockets=[opened])
    return OK


def _open(url: str) -> None:
    """Open it by a file that only its owner reads: every user sees the words of a command."""
    with tempfile.NamedTemporaryFile(mode="w", suffix=".html", delete=False) as file:
        file.write(f'<meta http-equiv="refresh" content="0;url={html.escape(url)}">')
    webbrowser.open(Path(file.name).as_uri())
    threading.Timer(LAST_LOOK_S, Path(file.name).unlink).start()


def _has_screen() -> bool:
    """Elsewhere a browser would open in the terminal."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _wait_for_eof(server: "uvicorn.Server") -> None:
    sys.stdin.buffer.read()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # who reads the run's words need not wait for us
    time.sleep(LAST_LOOK_S)
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
