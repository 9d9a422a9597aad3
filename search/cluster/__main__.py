"""`python -m search.cluster`: writes a cluster file for `ray up`, or stops hosts of your own."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from search.cluster.down import down
from search.cluster.google import GoogleCloud, write_google_cloud
from search.cluster.google import add_options as add_google_options
from search.cluster.hosts import FIRST_AUTOSCALER, OnPremises, write_on_premises
from search.cluster.hosts import add_options as add_local_options
from trainables.base.commandline import OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line

OK, BAD_INPUT = 0, 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the three commands `local`, `gcp` and `down`."""
    parser = OneLineParser(
        prog="python -m search.cluster",
        description="Write a cluster file for `ray up`, for your own hosts or for Google Cloud, or "
        "stop a cluster of your own hosts. For AWS, use cluster.yaml from the repository.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser
    )
    add_local_options(
        commands.add_parser(
            "local", help="print a cluster file for your own hosts", allow_abbrev=False
        )
    )
    add_google_options(
        commands.add_parser("gcp", help="print a cluster file for Google Cloud", allow_abbrev=False)
    )
    end = commands.add_parser("down", help="stop Ray on every host of a file that `local` printed")
    end.add_argument(
        "file", type=Path, metavar="FILE", help="the cluster file that `local` printed"
    )
    return parser


def run(words: Sequence[str]) -> int:
    """Run one command and return its exit status; every mistake of the user raises InvalidInput."""
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
        start = f"{FIRST_AUTOSCALER} ray up FILE"
    print(text, end="")
    print(f"start it with: {start}", file=sys.stderr)
    return OK


@as_command
def main(words: Sequence[str]) -> int:
    """Run the program and return its exit status: 0, 1, or 2 after one line about bad input."""
    try:
        return run(words)
    except InvalidInput as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
