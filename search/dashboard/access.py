"""Who may see the page: whoever has the URL that was printed, once, and then that browser's cookie.

The page shows what membership attacks found, and other users of the machine, other pages in the
same browser and other machines must not read it.  So the server listens on loopback only; a request
names this machine as its host (else a foreign name that resolves to 127.0.0.1 would do, "DNS
rebinding"); it comes from no other page; and it brings the token of the URL or the cookie that the
token was exchanged for.
"""

import hmac
import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost")
"""The names of this machine; a tunnel's own end may have any port."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page runs only scripts of this server, and can send nothing anywhere else."""

_ALWAYS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class OnlyTheOwner:
    """Lets through to `app` what is allowed to see it."""

    def __init__(self, app: ASGIApp, port: int, new_token: Callable[[str], None]) -> None:
        """new_token: told each token that opens the page once, the first one at once."""
        self._app = app
        self._cookie = f"prune-privacy-{port}"  # browsers send a cookie to all ports
        self._session = secrets.token_urlsafe(32)
        self._new_token = new_token
        self._renew()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        request, cookie = Request(scope), None
        refused = self._refused(request)
        if refused is None and not self._knows(request.headers):
            if request.url.path == "/" and self._redeem(request.query_params.get("token", "")):
                cookie = f"{self._cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/"
            else:
                refused = (
                    "This page opens by the URL that the program printed, once: look there for "
                    "the newest one."
                )

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_ALWAYS)
                headers.setdefault("Cache-Control", "no-store")
                if cookie is not None:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        inner = self._app if refused is None else PlainTextResponse(refused, 403)
        await inner(scope, receive, answered)

    def _refused(self, request: Request) -> str | None:
        """Why a request is not answered, whatever it brings."""
        headers, host = request.headers, request.headers.get("host", "")
        if host.rpartition(":")[0] not in LOOPBACK and host not in LOOPBACK:
            return "This server is http://127.0.0.1 only."
        foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if foreign and headers.get("sec-fetch-mode") != "navigate":
            return "Another page asks, which is not allowed."
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return "Another page asks, which is not allowed."
        return None

    def _knows(self, headers: Headers) -> bool:
        try:
            given = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return given is not None and _same(given.value, self._session)

    def _redeem(self, token: str) -> bool:
        """Whether it is the token, which is then worth nothing."""
        if not _same(token, self._token):
            return False
        self._renew()
        return True

    def _renew(self) -> None:
        self._token = secrets.token_urlsafe(32)
        self._new_token(self._token)


def _same(given: str, secret: str) -> bool:
    """In a time that does not tell how much of it is right."""
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())
