"""`python -m analysis.report RUN`: one run as one self-contained page, RUN/report.html."""

import sys
from collections.abc import Sequence

from analysis.folder import config_of
from trainables.base.commandline import OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line


def build_parser() -> OneLineParser:
    """The parser of the command."""
    parser = OneLineParser(
        prog="python -m analysis.report",
        description="Write RUN/report.html, one self-contained page that opens offline, and print "
        "its path. Works on finished, running and interrupted runs.",
        epilog="exit status: 0 written, 2 the folder is not a run or cannot be read",
    )
    parser.add_argument(
        "run", metavar="RUN", help="folder of a run, such as runs/mnist5k-…, or its s3:// URI"
    )
    return parser


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    try:
        options = build_parser().parse_args(arguments)
        config_of(options.run)
        from analysis.run_page import write_report  # pandas and matplotlib: a mistake need not wait

        target = write_report(options.run)
    except InvalidInput as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        return 2
    sys.stdout.write(f"{target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
