"""A headless Chromium that tests steer by its DevTools protocol, to watch a page that lives."""

import asyncio
import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

QUIET = (
    "--headless",
    "--hide-scrollbars",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

FITS = """[...document.querySelectorAll("figure svg.main-svg")].every(
    (plot) => plot.clientWidth <= plot.closest("figure").clientWidth
        && plot.clientWidth >= plot.closest("figure").clientWidth - 40
        && plot.clientHeight >= plot.closest("figure").clientHeight - 40)"""
"""Whether every plot fills its place: after a change it follows a moment later."""


class Browser:
    """One window."""

    def __init__(self, loop: asyncio.AbstractEventLoop, page: aiohttp.ClientWebSocketResponse):
        self._loop, self._page, self._number = loop, page, 0
        self.complaints: list[str] = []
        """Exceptions of scripts, and what the page's policy refused."""

        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **given: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        return self._loop.run_until_complete(self._ask(method, given))

    async def _ask(self, method: str, given: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._page.send_json({"id": self._number, "method": method, "params": given})
        while True:
            said = await self._page.receive_json(timeout=120)
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]
            if said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(said["params"]))
            if said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.complaints.append(said["params"]["entry"]["text"])

    def open(self, url: str) -> None:
        """Go to a page; it may not have loaded yet."""
        assert "errorText" not in self.ask("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """What an expression of JavaScript is in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, script: str, seconds: float = 60) -> float:
        """The seconds until the expression is true in the page; fails with what it shows if not."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if self.value(script):
                return time.monotonic() - began
            time.sleep(0.05)
        raise AssertionError(f"{script} in {self.value('document.body.innerText')}")

    def text(self) -> str:
        """All that can be read."""
        return str(self.value("document.body.innerText"))

    def picture(self, file: Path, width: int, *, dark: bool = False) -> None:
        """The whole page as it is seen in a window of this width."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=scheme)
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self.wait_for(FITS)
        found = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser of its own, without a network; skips aloud where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium on this machine: apt-get install chromium")
    options = (f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank")
    process = subprocess.Popen(
        [program, *QUIET, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    loop = asyncio.new_event_loop()
    session: aiohttp.ClientSession | None = None
    try:
        session, page = loop.run_until_complete(_page(profile / "DevToolsActivePort"))
        yield Browser(loop, page)
    finally:
        if session is not None:
            loop.run_until_complete(session.close())
        loop.close()
        process.terminate()
        process.wait(30)


async def _page(port_file: Path) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
    for _ in range(1200):
        if port_file.exists() and len(port_file.read_text().splitlines()) == 2:
            break
        await asyncio.sleep(0.05)
    port = port_file.read_text().splitlines()[0]
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json") as answer:
        (page,) = [one for one in await answer.json() if one["type"] == "page"]
    return session, await session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
