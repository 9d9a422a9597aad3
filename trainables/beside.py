"""The modules that a user's file imports from its folder: found, sent along, imported from text.

They belong to the file just as its own text does: every machine runs the same ones, and no worker
looks for them on its disk.
"""

import ast
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import ExecutionLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from trainables.base.errors import InvalidInput

Files = tuple[tuple[str, str], ...]
"""Pairs (path relative to the plugin's folder, written with /; text), sorted by path."""

OURS = ("analysis", "search", "trainables")
"""The packages of this project; a plugin imports them but never carries them along."""

MOST_FILES = 1000
MOST_CHARACTERS = 2**24
"""The most files and characters that go along with a plugin; more than that is likely a mistake."""

RULE = (
    "it may import what is installed on every machine and, by import statements, Python files "
    "beside it"
)
"""What a plugin may import, as a message about a failed import says it."""


def files_beside(plugin: Path, text: str) -> Files:
    """The modules beside `plugin` that its text imports, and that these import in turn.

    All Python files of a package are taken, since it may import any of them itself.
    Raises InvalidInput for a file that cannot be read, one that shares its name with an installed
    module, one that imports the plugin, and for too many files.
    """
    found: dict[str, str] = {}
    waiting, seen = [text], set[str]()
    while waiting:
        for name in sorted(_imported(waiting.pop()) - seen):
            seen.add(name)
            for path in _files_of(plugin, name):
                found[path.relative_to(plugin.parent).as_posix()] = source = _read(plugin, path)
                waiting.append(source)
            _require_few(plugin, found)
    return tuple(sorted(found.items()))


def _imported(text: str) -> set[str]:
    """The top-level names in all import statements; none when the text is not valid Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()  # running it says what is wrong
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.partition(".")[0])
    return names


def _files_of(plugin: Path, name: str) -> list[Path]:
    """The files of module `name` beside the plugin; none when it is absent or one of ours."""
    files = _candidates(plugin.parent, name)
    if not files:
        return []
    if name in OURS and (plugin.parent / "trainables" / Path(__file__).name).is_file():
        return []  # the plugin lies in a checkout of this project
    elsewhere = _is_elsewhere(plugin.parent, name)
    bare = not any(file in files for file in _entrances(plugin.parent, name))
    if elsewhere and (files == [plugin] or bare):
        return []  # the plugin's own name, or a bare folder: Python prefers the installed package
    if elsewhere:
        raise InvalidInput(
            f"--plugin {plugin}: {name!r} beside it has the name of an installed module, so that "
            f"`import {name}` could mean either: rename it"
        )
    if files == [plugin]:
        raise InvalidInput(
            f"--plugin {plugin}: a file beside it imports the plugin itself: move what both need "
            "into a third file"
        )
    return files


def _candidates(folder: Path, name: str) -> list[Path]:
    """The files that Python would choose: a package before a module before a bare folder."""
    inside, module = _entrances(folder, name)
    if module.is_file() and not inside.is_file():
        return [module]
    package = inside.parent
    if not package.is_dir():
        return []
    parts = [path.relative_to(package).parts for path in sorted(package.rglob("*.py"))]
    return [
        package.joinpath(*path) for path in parts if not any(part.startswith(".") for part in path)
    ]


def _entrances(folder: Path, name: str) -> tuple[Path, Path]:
    """The file that makes a folder a package, and the file that is a module."""
    return folder / name / "__init__.py", folder / f"{name}.py"


def _is_elsewhere(folder: Path, name: str) -> bool:
    """Whether a module of this name can be imported without the folder."""
    if name in sys.stdlib_module_names or name in OURS:
        return True
    loaded = sys.modules.get(name)
    if loaded is not None and not isinstance(getattr(loaded, "__loader__", None), BesideLoader):
        return True
    entries = [entry for entry in sys.path if Path(entry).resolve() != folder.resolve()]
    spec = PathFinder.find_spec(name, entries)
    return spec is not None and spec.origin is not None


def _require_few(plugin: Path, found: Mapping[str, str]) -> None:
    if len(found) > MOST_FILES or sum(map(len, found.values())) > MOST_CHARACTERS:
        raise InvalidInput(
            f"--plugin {plugin}: what it imports from beside it is more than {MOST_FILES:,} files "
            f"or {MOST_CHARACTERS:,} characters: install it on every machine instead"
        )


def _read(plugin: Path, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not a text in UTF-8"
        raise InvalidInput(
            f"--plugin {plugin} imports {path}, which cannot be read: {cause}"
        ) from error


class BesideLoader(MetaPathFinder, ExecutionLoader):
    """Finds and runs the modules of one plugin from their texts."""

    def __init__(self, folder: Path, files: Files) -> None:
        """folder: where the files were on the driver's machine; only tracebacks show it."""
        self._sources: dict[str, tuple[str, str]] = {}  # module -> (path, text)
        for relative, text in files:
            path = Path(relative)
            is_package = path.name == "__init__.py"
            parts = path.parent.parts if is_package else path.with_suffix("").parts
            self._sources[".".join(parts)] = str(folder / path), text
            for depth in range(1, len(parts)):  # a folder without __init__.py
                package = ".".join(parts[:depth])
                self._sources.setdefault(package, (str(folder / package / "__init__.py"), ""))

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the signature of finders
        target: ModuleType | None = None,  # noqa: ARG002 - the signature of finders
    ) -> ModuleSpec | None:
        """The spec of a module of this plugin, else None; no disk is searched."""
        if fullname not in self._sources:
            return None
        return importlib.util.spec_from_loader(
            fullname, self, origin=self.get_filename(fullname), is_package=self.is_package(fullname)
        )

    def get_filename(self, fullname: str) -> str:
        return self._sources[fullname][0]

    def get_source(self, fullname: str) -> str:
        return self._sources[fullname][1]

    def is_package(self, fullname: str) -> bool:
        return Path(self.get_filename(fullname)).name == "__init__.py"

    def install(self) -> None:
        """Answer imports from now on, before all other finders.

        Raises InvalidInput when a module with one of these names is already loaded: pickle and the
        import system know only one module of each name in a process.
        """
        taken = sorted(self._sources.keys() & sys.modules.keys())
        if taken:
            raise InvalidInput(
                f"{self.get_filename(taken[0])}: another module {taken[0]!r} is in use in this "
                "process: rename it"
            )
        if self._sources:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Forget the modules, for example after one of them failed to run."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name in self._sources.keys() & sys.modules.keys():
            del sys.modules[name]
