"""`python -m search.completion SHELL`: the words that Tab offers after `prune-privacy`.

The script is made once from the parsers of all commands; no Python runs when Tab is pressed.
"""

import argparse
import sys
from collections.abc import Sequence

import shtab

from search.console import COMMANDS
from search.machine_options import all_options
from trainables.base.commandline import BAD_INPUT, OK, PROGRAM, OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line
from trainables.base.names import known

PATHS = {
    **dict.fromkeys(("FILE", "F", "NPZ"), shtab.FILE),
    **dict.fromkeys(("DIR", "RUN"), shtab.DIRECTORY),
}
"""The placeholder of a value in the help -> what completes it."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the shell's name."""
    parser = OneLineParser(
        prog="python -m search.completion",
        description=f"Print the script with which a shell completes `{PROGRAM}`: its commands, "
        "their options and the names and files that these take.",
        epilog=f"for bash: {PROGRAM} completion bash > "
        f"~/.local/share/bash-completion/completions/{PROGRAM}",
    )
    parser.add_argument("shell", metavar="SHELL", help=" | ".join(shtab.SUPPORTED_SHELLS))
    return parser


def whole_parser() -> argparse.ArgumentParser:
    """One parser of all commands, whose options know the names and paths that they take."""
    names = {one.flag: one.choices for one in all_options() if one.choices}
    parser = argparse.ArgumentParser(prog=PROGRAM)
    commands = parser.add_subparsers()
    for name, command in COMMANDS.items():
        own = command.load().build_parser()
        for action in own._actions:  # noqa: SLF001 - argparse lists them nowhere else
            flag = next(iter(action.option_strings), None)
            action.choices = action.choices or names.get(flag or "")
            if (path := PATHS.get(str(action.metavar))) is not None:
                action.complete = path  # type: ignore[attr-defined]  # where shtab looks
        commands.add_parser(name, parents=[own], add_help=False, help=command.help)
    return parser


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    try:
        shell = build_parser().parse_args(arguments).shell
        known(shell, shtab.SUPPORTED_SHELLS, "shell")
    except InvalidInput as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        return BAD_INPUT
    sys.stdout.write(f"{shtab.complete(whole_parser(), shell=shell)}\n")
    return OK


if __name__ == "__main__":
    sys.exit(main())
