"""The modules beside a user's file that it imports: found, sent along, and imported from text.

They belong to the file as its own text does: every machine runs the same, and none is looked up on
a worker's disk.
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
"""(path relative to the folder of the plugin, with /; text), sorted by path."""

OURS = ("analysis", "search", "trainables")

MOST_FILES = 1000
MOST_CHARACTERS = 2**24
"""The most modules beside a plugin: beyond them it lies beside more than it means to send."""

RULE = (
    "it may import what is installed on every machine and, by import statements, Python files "
    "beside it"
)


def files_beside(plugin: Path, text: str) -> Files:
    """The modules beside `plugin` that its text imports, and that these import in turn.

    Of a package all Python files are taken, since it may import any of them by itself.
    Raises InvalidInput for a file that cannot be read, for one whose name an installed module has
    too, for one that imports the plugin, and for too many.
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
    """Top-level names of all import statements; none where the text is no Python."""
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
    """The files of module `name` beside the plugin; none where it is absent or one of ours."""
    files = _candidates(plugin.parent, name)
    if not files:
        return []
    if name in OURS and (plugin.parent / "trainables" / Path(__file__).name).is_file():
        return []  # the plugin lies in a checkout of this project
    elsewhere = _is_elsewhere(plugin.parent, name)
    bare = not any(file in files for file in _entrances(plugin.parent, name))
    if elsewhere and (files == [plugin] or bare):
        return []  # the plugin's own name, or a folder, to which Python prefers a package
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
    """As Python looks: a package before a module before a folder of modules."""
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
    """What makes a package of a folder, and what a module is."""
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
        """folder: where the files lay on the machine of the driver; for tracebacks only."""
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
        """The module's, when it is one of these; nothing beside them is looked for on a disk."""
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

        Raises InvalidInput when a module of one of the names is loaded already: pickle and the
        import system know one of each name in a process.
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
        """Forget the modules, as after one of them that could not be run."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name in self._sources.keys() & sys.modules.keys():
            del sys.modules[name]
