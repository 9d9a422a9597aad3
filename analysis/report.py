"""`python -m analysis.report RUN`: one run as one self-contained page, RUN/report.html."""

import sys
from collections.abc import Sequence

from trainables.base.commandline import OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = OneLineParser(
        prog="python -m analysis.report",
        description="Write RUN/report.html, one self-contained page that opens offline, and print "
        "its path. Works on finished, running and interrupted runs.",
        epilog="exit status: 0 written, 2 the folder is not a run or cannot be read",
    )
    parser.add_argument(
        "run", metavar="RUN", help="folder of a run, such as runs/mnist5k-…, or its s3:// URI"
    )
    try:
        options = parser.parse_args(arguments)
        from analysis.run_page import write_report  # pandas and matplotlib: a mistake need not wait

        target = write_report(options.run)
    except InvalidInput as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        return 2
    sys.stdout.write(f"{target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
