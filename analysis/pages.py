"""Turns a template and its values into one self-contained page, written in one step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from trainables.base import noun, storage
from trainables.base.errors import InvalidInput
from trainables.base.storage import Place


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill a template of analysis/templates.

    In a page of HTML every value is escaped, unless wrapped by `figure`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(("html.jinja",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        {**values, "records": noun.many(), "record": noun.one()}
    )


def figure(svg: str) -> Markup:
    """Let markup of analysis.figures through unescaped: its texts are escaped there."""
    return Markup(svg)


_OURS = "membership privacy of pruned networks</title>"


def refuse_foreign(path: Path) -> None:
    """Raise InvalidInput when `path` exists and is not a page that this program wrote."""
    if not path.exists():
        return
    try:
        ours = path.is_file() and _OURS in path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}; choose another place") from error
    if not ours:
        raise InvalidInput(
            f"{path} exists and is not a page of this program: choose another place, or remove it"
        )


def write(path: Place, page: str) -> None:
    """Write a page in one step, so that no reader sees half of it.

    Raises InvalidInput when it cannot be written.
    """
    if isinstance(path, Path) and not path.parent.is_dir():
        raise InvalidInput(f"cannot write {path}: there is no such folder; choose another place")
    try:
        storage.write(path, page)
        if isinstance(path, Path):
            path.chmod(0o644)
    except OSError as error:
        cause = error.strerror or " ".join(str(error).split())
        raise InvalidInput(f"cannot write {path}: {cause}; choose another place") from error
