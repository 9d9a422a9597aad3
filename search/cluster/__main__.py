"""`python -m search.cluster`: files for `ray up` on own hosts or Google Cloud, and their end."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from search.cluster.down import down
from search.cluster.google import GoogleCloud, write_google_cloud
from search.cluster.google import add_options as add_google_options
from search.cluster.hosts import V1, OnPremises, write_on_premises
from search.cluster.hosts import add_options as add_local_options
from trainables.base.commandline import OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line

OK, BAD_INPUT = 0, 2


def build_parser() -> argparse.ArgumentParser:
    """The three commands."""
    parser = OneLineParser(
        prog="python -m search.cluster",
        description="Write a file for `ray up` on hosts of your own or on Google Cloud, or end a "
        "cluster of your own hosts. For AWS there is cluster.yaml in the repository.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser
    )
    add_local_options(
        commands.add_parser("local", help="print a file for hosts of your own", allow_abbrev=False)
    )
    add_google_options(
        commands.add_parser("gcp", help="print a file for Google Cloud", allow_abbrev=False)
    )
    end = commands.add_parser("down", help="stop Ray on all hosts of a `local` file")
    end.add_argument("file", type=Path, metavar="FILE", help="what `local` wrote")
    return parser


def run(words: Sequence[str]) -> int:
    """One command; raises InvalidInput for everything that a user can get wrong."""
    given = vars(build_parser().parse_args(words))
    command = given.pop("command")
    if command == "down":
        return down(given["file"])
    if command == "gcp":
        text = write_google_cloud(GoogleCloud(**given))
        start = "ray up FILE"
    else:
        workers = tuple(given.pop("workers").split(","))
        user = given.pop("user") or getpass.getuser()
        text = write_on_premises(OnPremises(workers=workers, user=user, **given))
        start = f"{V1} ray up FILE"
    print(text, end="")
    print(f"start it with: {start}", file=sys.stderr)
    return OK


@as_command
def main(words: Sequence[str]) -> int:
    """Run the program; exit status 0, 1 or, with one line, 2."""
    try:
        return run(words)
    except InvalidInput as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
