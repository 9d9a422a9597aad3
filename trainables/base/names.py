"""Names that a user may give: an unknown name is answered with the nearest known one."""

import difflib
from collections.abc import Iterable

from trainables.base.errors import InvalidInput

SIMILAR = 0.5
"""The similarity in [0, 1] from which one name is offered in place of another."""


def known(value: str, choices: Iterable[str], what: str, shown: str | None = None) -> str:
    """Return `value` if it is one of `choices`.

    what: an option or a kind of thing, in the words of the message.  shown: all choices in words,
    if a list of them would be too long.
    Raises InvalidInput otherwise, which offers the nearest of `choices` and names them all.

    >>> known("tpe", ["gp", "tpe"], "--sampler")
    'tpe'
    """
    names = tuple(choices)
    if value in names:
        return value
    near = difflib.get_close_matches(value, names, n=1, cutoff=SIMILAR)
    hint = f": did you mean {near[0]}? There" if near else "; there"
    raise InvalidInput(f"{what} {value!r} is unknown{hint} are {shown or ', '.join(names)}")
