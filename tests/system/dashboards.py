"""How tests start the live page's server, as a user does."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.program import environment

PATIENCE_S = 120

LIVE = 'document.querySelector("#connection")?.textContent.startsWith("live")'
"""Whether the page that a browser shows has had an answer."""


class Dashboard:
    """`python -m search.dashboard RUN`, running."""

    def __init__(self, process: subprocess.Popen[bytes], said: Path) -> None:
        self.process, self._said = process, said

    def urls(self) -> list[str]:
        """Those that it has printed, each of which opens the page once."""
        return re.findall(r"http://127\.0\.0\.1:\d+/\?token=\S+", self._said.read_text())

    def url(self, number: int = 1) -> str:
        """The `number`-th, waited for."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.urls()) < number:
            assert self.process.poll() is None, self._said.read_text()
            assert time.monotonic() < deadline, self._said.read_text()
            time.sleep(0.05)
        return self.urls()[number - 1]


@contextmanager
def dashboard(run: object, said: Path, *words: object) -> Iterator[Dashboard]:
    """The server of a run's page; its stderr goes to a file."""
    call = [sys.executable, "-m", "search.dashboard", str(run), "--no-browser", *map(str, words)]
    with said.open("wb") as stderr:
        process = subprocess.Popen(call, env=environment(), stderr=stderr)
    try:
        yield Dashboard(process, said)
    finally:
        process.kill()
        process.wait(PATIENCE_S)
