"""Finds the images in class folders and skips what systems and programs leave there."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Lower-case endings of the file names that torchvision's `ImageFolder` reads."""

LITTER = frozenset(
    ["__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "lost+found", "Thumbs.db", "desktop.ini"]
)
"""Names that systems write beside a user's files, besides all that begin with a dot."""

NAMED = 3
"""How many of the things left out are named; the rest are counted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """What lies in a folder of class folders; paths are relative to it and begin with its name."""

    files: dict[str, list[str]]
    """Class -> its images, in torchvision's order; classes in the order of their names."""

    hidden: tuple[str, ...]
    """Folders and files to ignore: names that begin with a dot, and LITTER."""

    strays: tuple[str, ...]
    """Files outside the class folders, and files without an image's ending."""

    loops: tuple[str, ...]
    """Links to a folder that contains them."""


def class_folders(folder: Path) -> ClassFolders:
    """Look through `folder`. Raises OSError where a folder in it cannot be read."""
    hidden: list[str] = []
    strays: list[str] = []
    loops: list[str] = []
    files: dict[str, list[str]] = {}
    for name in sorted(path.name for path in folder.iterdir()):
        path = f"{folder.name}/{name}"
        if is_litter(name):
            hidden.append(path)
        elif _leads_back(folder / name):
            loops.append(path)
        elif (folder / name).is_dir():
            files[name] = []
            for inner in _walked(folder.parent, path, hidden, loops):
                files[name] += [one for one in inner if one.lower().endswith(IMAGE_ENDINGS)]
                strays += [one for one in inner if not one.lower().endswith(IMAGE_ENDINGS)]
        else:
            strays.append(path)
    return ClassFolders(files=files, hidden=tuple(hidden), strays=tuple(strays), loops=tuple(loops))


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name belongs to a system, not to the user's data."""
    return name.startswith(".") or name in LITTER


def _walked(home: Path, below: str, hidden: list[str], loops: list[str]) -> Iterator[list[str]]:
    """The files of each folder in and under `home`/`below`; what is left out joins the lists."""
    walked = os.walk(home / below, onerror=_raise, followlinks=True)
    found = []
    for root, folders, names in walked:
        at = os.path.relpath(root, home)
        hidden += [f"{at}/{name}" for name in sorted([*folders, *names]) if is_litter(name)]
        looping = [name for name in folders if _leads_back(Path(root, name))]
        loops += [f"{at}/{name}" for name in sorted(looping) if not is_litter(name)]
        folders[:] = [name for name in folders if name not in looping and not is_litter(name)]
        found.append((root, [f"{at}/{name}" for name in sorted(names) if not is_litter(name)]))
    for _, inner in sorted(found):
        yield inner


def _leads_back(link: Path) -> bool:
    return link.is_symlink() and link.parent.resolve().is_relative_to(link.resolve())


def _raise(error: OSError) -> None:
    raise error


def left_out(parts: Sequence[ClassFolders], folder: Path) -> tuple[str, ...]:
    """One sentence for each kind of thing in `folder` that does not belong to the data."""
    kinds = {
        "hidden folders or files": [name for part in parts for name in part.hidden],
        "files that lack an image's ending or lie outside the class folders": [
            name for part in parts for name in part.strays
        ],
        "links that lead back": [name for part in parts for name in part.loops],
        "class folders without images": sorted(
            {name for part in parts for name, files in part.files.items() if not files}
        ),
    }
    return tuple(
        f"Left out of {folder}: {kind}: {len(names):,} ({in_words(names)})"
        for kind, names in kinds.items()
        if names
    )


def in_words(names: Sequence[str]) -> str:
    """The first few names.

    >>> in_words(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
