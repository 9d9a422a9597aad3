"""The one exception that a user can cause, and how an exception reads on one line."""

import re


class InvalidInput(ValueError):
    """The user gave what cannot be used; the message is one line that names it and the remedy."""


def one_line(text: object) -> str:
    r"""`text` on one line that a terminal cannot misread: what cannot be printed is escaped.

    >>> one_line(chr(27) + "[2J twice \n given")
    '\\x1b[2J twice given'
    """
    words = " ".join(str(text).split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in words)


LONGEST_CAUSE = 500
"""Characters of a cause that are shown: a page of missing keys says no more than its beginning."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BEGINS = re.compile(r"(?:\w+ )*Traceback \(most recent call last\):|.*\bray::\S+ \(pid=")
_GROUP = re.compile(r"^ *(?:\+[-+ ]*\d*[-. ]*(?=$|\w)|\| ?)", re.MULTILINE)
_DIRECT = "The above exception was the direct cause of the following exception:"
_CHAINED = (_DIRECT, "During handling of the above exception, another exception occurred:")


def final_exception(text: object) -> str:
    r"""What went wrong by a traceback: the whole last exception, its type and all its message.

    On one terminal line of at most LONGEST_CAUSE characters. Where it was raised from another one
    whose words it does not repeat, these follow. A text without a traceback is its own cause.
    text: as Python writes it, or Ray, whose traceback begins with `ray::Trial.train() (pid=...)`.

    >>> final_exception("Traceback (most recent call last):\n  File ...\nKeyError: \'a\'\n  b")
    "KeyError: 'a' b"
    """
    lines = _COLOUR.sub("", str(text)).splitlines()
    if any("Exception Group Traceback" in line for line in lines):
        lines = _GROUP.sub("", "\n".join(lines)).splitlines()
    exceptions, direct = _exceptions(lines)
    last = exceptions[-1] if exceptions else " ".join(lines)
    if direct and len(exceptions) > 1:
        before = one_line(exceptions[-2])
        if before.partition(": ")[2] not in one_line(last):
            last = f"{last} (caused by {before})"
    said = one_line(last)
    return said if len(said) <= LONGEST_CAUSE else said[: LONGEST_CAUSE - 3] + "..."


def _exceptions(lines: list[str]) -> tuple[list[str], bool]:
    """The exceptions of all tracebacks in order; whether the last was raised from the one before.

    Below a traceback's first line its frames are indented; the first line that is not begins the
    exception, and all that follows up to the next traceback belongs to it.
    """
    found: list[list[str]] = []
    in_frames, direct = False, False
    for line in lines:
        if line.strip() in _CHAINED:
            in_frames, direct = True, line.strip() == _DIRECT
        elif _BEGINS.match(line):
            if found and not in_frames:
                direct = False  # a message that quotes another traceback
            in_frames = True
            found.append([])
        elif found and in_frames and line.strip() and not line[0].isspace():
            in_frames = False
            found[-1].append(line)
        elif found and not in_frames:
            found[-1].append(line)
    return ["\n".join(part) for part in found if part], direct
