"""Keeps passwords out of what is printed, logged and written."""

import re
from urllib.parse import unquote

HIDDEN = "***"
"""What stands in place of a password."""

_PASSWORD = re.compile(
    r"://(?:https?://)?[^:/@\s]*:(?P<user>[^\s'\"]+)@|[?&]\w*(?:pass|secret|token)\w*=(?P<query>[^&\s'\"]+)",
    re.I,
)


def redacted(text: str, url: str | None = None) -> str:
    """`text` without the passwords of the URLs in it, nor that of `url` wherever it stands.

    >>> redacted("postgresql://ada:s3cret@db.example/runs")
    'postgresql://ada:***@db.example/runs'
    >>> redacted("mlflow://https://ada:s3cret@runs.example")
    'mlflow://https://ada:***@runs.example'
    """
    for found in _PASSWORD.finditer(url or ""):
        password = found["user"] or found["query"]
        for form in {password, unquote(password)}:
            text = text.replace(form, HIDDEN)
    return _PASSWORD.sub(_starred, text)


def shown_to_others(option: str, url: str, address: str, instead: str) -> str | None:
    """A warning when `url` holds a password and the program runs on a cluster, else None.

    instead: where the password is read from as well.
    """
    if redacted(url) == url or address == "local":
        return None
    return (
        f"warning: the password of {option} {redacted(url)} is part of a command, which Ray "
        f"shows in the dashboard and writes to the logs of a job: leave it out, and put it into "
        f"{instead} on the cluster's head"
    )


def _starred(found: re.Match[str]) -> str:
    whole, secret = found[0], found["user"] or found["query"]
    start = found.start("user" if found["user"] else "query") - found.start()
    return f"{whole[:start]}{HIDDEN}{whole[start + len(secret) :]}"
