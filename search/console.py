"""The console script `prune-privacy`: each command of this project by its name."""

import argparse
import dataclasses
import importlib
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from trainables.base.commandline import (
    BAD_INPUT,
    PROGRAM,
    OneLineParser,
    as_command,
    called_as,
    version,
)
from trainables.base.errors import InvalidInput, one_line
from trainables.base.names import known


class CommandModule(Protocol):
    """What the module of a command has."""

    def build_parser(self) -> argparse.ArgumentParser:
        """The parser of its words, which shell completion reads."""

    def main(self, arguments: Sequence[str]) -> int:
        """Run the command; returns its exit status."""


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """One command; its module is imported only when it is called."""

    module: str
    help: str

    def load(self) -> CommandModule:
        """Import the module."""
        return cast("CommandModule", importlib.import_module(self.module))


COMMANDS = {
    "run": Command("search.run", "search the sparsity that leaks least, and confirm it"),
    "report": Command("analysis.report", "write the page of a run again"),
    "compare": Command("analysis.compare", "set runs side by side"),
    "paper": Command("analysis.paper", "the tables and figures of the paper with our runs"),
    "measure": Command("search.measure", "attack a trained network, or its outputs"),
    "dashboard": Command("search.dashboard.__main__", "watch a run in a browser"),
    "export": Command("search.export", "write the winner's files again, or a level's"),
    "cluster": Command("search.cluster.__main__", "write a cluster file for `ray up`"),
    "completion": Command("search.completion", "print the completion of a shell"),
}
"""Every command, in the order of the help."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the first word."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {one.help}" for name, one in COMMANDS.items())
    parser = OneLineParser(
        prog=PROGRAM,
        description="Search the per-layer sparsity of a network that leaks least about membership.",
        epilog=f"commands:\n{listed}\n\n`{PROGRAM} COMMAND --help` explains one. Each is a module "
        "too, as in `python -m search.run`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=version(), help="print the version and leave"
    )
    parser.add_argument("command", metavar="COMMAND", help="one of those below, with its own words")
    return parser


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command with the words behind its name; returns its exit status."""
    first, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        name = known(build_parser().parse_args([first]).command, COMMANDS, "command")
    except InvalidInput as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        return BAD_INPUT
    with called_as(f"{PROGRAM} {name}"):
        return COMMANDS[name].load().main(rest)


if __name__ == "__main__":
    sys.exit(main())
