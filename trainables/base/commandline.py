"""What all commands share: one-line errors, output that stops no work, commands to paste."""

import argparse
import contextlib
import contextvars
import functools
import importlib.metadata
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn, ParamSpec, cast

from trainables.base.errors import InvalidInput, one_line

Words = ParamSpec("Words")

OK, FAULT, BAD_INPUT, NOTHING_FEASIBLE, INTERRUPTED = 0, 1, 2, 3, 130
"""The exit statuses of every command. In order: it is done; the program or the machine is at fault;
the user's input cannot be used; a search has no feasible, confirmed winner; it was interrupted and
can be resumed."""


PROGRAM = "prune-privacy"
"""The name of the distribution, and of its console script."""

_called: contextvars.ContextVar[str | None] = contextvars.ContextVar("called", default=None)


@contextlib.contextmanager
def called_as(name: str) -> Iterator[None]:
    """Parsers made here call their command `name`, where they would say `python -m MODULE`."""
    before = _called.set(name)
    try:
        yield
    finally:
        _called.reset(before)


def version() -> str:
    """What `--version` prints."""
    return f"{PROGRAM} {importlib.metadata.version(PROGRAM)}"


class OneLineParser(argparse.ArgumentParser):
    """A parser that raises InvalidInput where argparse would print its usage and exit."""

    def __init__(self, *arguments: Any, **words: Any) -> None:
        super().__init__(*arguments, **words)
        if (name := _called.get()) is not None:
            self.prog = re.sub(r"^python -m \S+", name, self.prog)

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{message} (see {self.prog} --help)")


def shown(path: object) -> str:
    """The shortest way to write a path: relative if it lies below the working directory.

    A path elsewhere stays as it is, and so does a URI, which is not a path of this machine. Every
    path stays if the working directory is the root, as in a container: few readers are there.

    >>> shown("s3://bucket/run"), shown(Path.cwd() / "runs" / "a")
    ('s3://bucket/run', 'runs/a')
    """
    text, here = str(path), Path.cwd()
    if here == here.parent or not Path(text).is_relative_to(here):
        return text
    return str(Path(text).relative_to(here))


def program(module: str, *words: object) -> str:
    """The shell command that runs a module of this project with this very interpreter.

    Paths below the working directory, including the interpreter's, are relative to it.
    """
    python = shown(sys.executable) if sys.executable else "python"
    return shlex.join([python, "-m", module, *(shown(word) for word in words)])


def resume(run: object) -> str:
    """The shell command that resumes the run in a folder."""
    return program("search.run", "--resume", run)


def as_command(main: Callable[Words, int]) -> Callable[Words, int]:
    """Wrap the `main` of a command so that it can print anything anywhere.

    A character that the terminal's encoding lacks becomes a question mark. When the reader has
    gone, as after `| head -1`, the rest is dropped silently: the work and its exit status stay the
    same. When output is lost for another reason, such as a full disk, status 0 becomes 1 and one
    line on stderr says why.
    """

    @functools.wraps(main)
    def guarded(*arguments: Words.args, **options: Words.kwargs) -> int:
        before = sys.stdout, sys.stderr
        printed, said = map(_Output, before)
        sys.stdout, sys.stderr = cast("tuple[Any, Any]", (printed, said))
        try:
            status = main(*arguments, **options)
            printed.flush()
            if printed.lost is not None:
                said.write(f"fault: the output could not be written: {printed.lost}\n")
                status = status or 1
            return status
        finally:
            for output in (printed, said):
                output.give_back()
            sys.stdout, sys.stderr = before

    return guarded


def refuse_namesakes(folder: str, *packages: str) -> None:
    """End the program with status 2 if a file in `folder` has the name of one of our packages.

    `python -m` would import that file instead of ours, so this is called before our own imports.
    """
    for name in packages:
        for file in (Path(folder, f"{name}.py"), Path(folder, name, "__init__.py")):
            if file.exists():
                sys.stderr.write(
                    f"error: {one_line(file)} has the name of this program's own {name}: rename "
                    "it, or run the program in another folder\n"
                )
                sys.exit(2)


class _Output:
    """A standard stream whose `write` and `flush` never fail and which is otherwise unchanged."""

    def __init__(self, stream: IO[str] | None) -> None:
        """stream: None if the program was started with it closed."""
        self.lost: str | None = None
        self._opened = None if stream is not None else Path(os.devnull).open("w", errors="replace")  # noqa: SIM115 - closed by give_back
        self._stream = cast("IO[str]", stream or self._opened)
        self._errors: str | None = None
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            self._errors = stream.errors
            stream.reconfigure(errors="replace")

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def give_back(self) -> None:
        """Leave the stream as it was found."""
        self.flush()
        if self._errors is not None:
            cast("io.TextIOWrapper", self._stream).reconfigure(errors=self._errors)
        if self._opened is not None:
            self._opened.close()

    def _give_up(self, error: OSError) -> None:
        """Discard the rest of the output and what is still buffered."""
        if not isinstance(error, BrokenPipeError):
            self.lost = error.strerror
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
