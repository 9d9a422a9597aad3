"""Serves one run's page on loopback: the page, its two scripts, and what there is to show now."""

import datetime
import importlib.resources
import json
import math
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from plotly.offline import get_plotlyjs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from analysis import live, pages
from analysis.live.newest import NOT_BEGUN, Newest
from analysis.live.state import drawn_of, now_of, race_of
from analysis.load import noun_of
from search.dashboard.access import OnlyTheOwner
from trainables.base import noun
from trainables.base.errors import InvalidInput, one_line

HOST = "127.0.0.1"

_SCRIPT, _JSON = "text/javascript", "application/json"
_DAY = {"Cache-Control": "private, max-age=86400"}


def listening(port: int) -> socket.socket:
    """A socket on loopback; port 0 is a free one. Raises InvalidInput for one that is in use."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise InvalidInput(
            f"--port {port} cannot be used ({error.strerror}): choose another, or leave it out for "
            "a free one"
        ) from error


def serve(newest: Newest, opened: socket.socket, tell: Callable[[str], None]) -> uvicorn.Server:
    """The server of a run's page; `run(sockets=[opened])` serves until `should_exit`.

    tell: told each URL that opens the page once, the first one at once.
    """
    port = opened.getsockname()[1]
    page = _Page(newest)
    app = Starlette(
        routes=[
            Route("/", page.page),
            Route("/state", page.state),
            Route("/live.js", _own_script),
            Route("/plotly.js", page.plotly),
        ]
    )
    guarded = OnlyTheOwner(app, port, lambda token: tell(f"http://{HOST}:{port}/?token={token}"))
    return uvicorn.Server(
        uvicorn.Config(
            guarded,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )


class _Page:
    """What a folder shows; requests are answered in threads, one at a time."""

    def __init__(self, newest: Newest) -> None:
        self._newest = newest
        self._lock = threading.Lock()
        self._drawn: tuple[str, dict[str, Any]] = ("", {})
        self._plotly = get_plotlyjs().encode()
        self._said(None)  # 10,000 trials take a moment, which who opens the URL need not wait

    def page(self, _request: Request) -> Response:
        with self._lock:
            try:
                watched, title = self._newest.look(), self._newest.title
            except (InvalidInput, OSError, ValueError) as error:
                return PlainTextResponse(one_line(error), 503)
        with noun.spoken(noun_of([] if watched is None else [watched.run])):
            return HTMLResponse(pages.render("live.html.jinja", title))

    def state(self, request: Request) -> Response:
        """What there is to show; the figures only where they are not those that were seen."""
        seen = request.query_params.get("seen")
        with self._lock:
            try:
                content = self._said(seen)
            except (InvalidInput, OSError, ValueError) as error:
                return JSONResponse({"error": one_line(error)}, 503)
        return Response(json.dumps(_finite(content)), media_type=_JSON)

    def plotly(self, _request: Request) -> Response:
        return Response(self._plotly, media_type=_SCRIPT, headers=_DAY)

    def _said(self, seen: str | None) -> dict[str, Any]:
        watched = self._newest.look()
        if watched is None:
            return {"now": NOT_BEGUN, "seen": ""}
        raced, tables = race_of(watched), f"{watched.folder.name}-{watched.number}"
        if self._drawn[0] != tables:
            self._drawn = tables, drawn_of(watched)
        now = now_of(watched, datetime.datetime.now(datetime.UTC))
        if self._newest.defence:
            now["facts"].insert(0, ["defence", self._newest.defence])
        version = f"{tables}-{hash(json.dumps(raced, default=str))}"
        found = {"now": now, "seen": version}
        return found if seen == version else {**found, "drawn": {**self._drawn[1], **raced}}


def _finite(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """JSON has no NaN; a figure leaves out what is null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _own_script(_request: Request) -> Response:
    script = importlib.resources.files(live) / "live.js"
    return Response(script.read_bytes(), media_type=_SCRIPT)
