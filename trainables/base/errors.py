"""The one exception that a user can cause, and how an exception reads on one line."""

import re
import tokenize
import zipfile
import zlib

UNREADABLE = (
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy, pandas and pyarrow raise, beside OSError, on a file that is damaged or another kind's
(found by reading thousands of such files)."""


class InvalidInput(ValueError):
    """The user gave unusable input; the message is one line that names it and the remedy."""


def one_line(text: object) -> str:
    r"""`text` on one line, with unprintable characters escaped so that no terminal acts on them.

    >>> one_line(chr(27) + "[2J twice \n given")
    '\\x1b[2J twice given'
    """
    words = " ".join(str(text).split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in words)


LONGEST_CAUSE = 500
"""The most characters of a cause to show: the start of a page of missing keys says enough."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BEGINS = re.compile(r"(?:\w+ )*Traceback \(most recent call last\):|.*\bray::\S+ \(pid=")
_GROUP = re.compile(r"^ *(?:\+[-+ ]*\d*[-. ]*(?=$|\w)|\| ?)", re.MULTILINE)
_DIRECT = "The above exception was the direct cause of the following exception:"
_CHAINED = (_DIRECT, "During handling of the above exception, another exception occurred:")


def final_exception(text: object) -> str:
    r"""What a traceback says went wrong: the last exception, with its type and whole message.

    The answer is one terminal line of at most LONGEST_CAUSE characters. If the exception was raised
    from another and does not repeat its words, they follow. A text without a traceback is its own
    cause.
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
    """The exceptions of all tracebacks in order, and whether the last was raised from another.

    Below a traceback's first line its frames are indented. The first line that is not indented
    begins the exception, and everything up to the next traceback belongs to it.
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
