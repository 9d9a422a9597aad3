"""What the records of a run are called wherever a user reads of them: images, rows, texts, ...

A process works on one run at a time, and its sentences are written in some forty places, most of
which know no data set; so the word is kept here, once, and each place asks for it.
"""

import contextlib
from collections.abc import Iterator

IMAGES = "images"
"""The records of our own data sets, and of every run of a release that knew no others."""

RECORDS = "records"
"""What a data set's records are called when nobody says, and those of runs that differ in it."""

_word = [IMAGES]
"""The word of this process, in all of its threads."""


def many() -> str:
    """The records, as in "5,000 images"."""
    return _word[0]


def one() -> str:
    """One of them, as in "each image".

    >>> with spoken("entries"):
    ...     one()
    'entry'
    """
    stem = many().removesuffix("s")
    return f"{stem.removesuffix('ie')}y" if stem.endswith("ie") else stem


def a() -> str:
    """One of them with its article.

    >>> a()
    'an image'
    """
    return f"{'an' if one().startswith(tuple('aeiou')) else 'a'} {one()}"


def speak_of(word: str) -> None:
    """Call the records `word`, a plural, from now on."""
    _word[0] = word


@contextlib.contextmanager
def spoken(word: str | None = None) -> Iterator[None]:
    """Call the records `word` [as until now] inside the block, and as before after it."""
    before = many()
    if word is not None:
        speak_of(word)
    try:
        yield
    finally:
        speak_of(before)
