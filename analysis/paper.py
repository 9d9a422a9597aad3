"""`python -m analysis.paper RUN…`: the paper's tables and figures with our runs beside them."""

import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.folder import config_of
from trainables.base.commandline import OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line


def build_parser() -> OneLineParser:
    """The parser of the command."""
    parser = OneLineParser(
        prog="python -m analysis.paper",
        description="Write Tables 1 to 6 and Figures 2 and 3 of Wang et al. 2021 with our runs "
        "beside the printed figures, and every defence at matched accuracy. Without runs the page "
        "holds the printed figures and the commands.",
        epilog="exit status: 0 written, 2 a folder is not a run or the page cannot be written",
    )
    parser.add_argument("runs", metavar="RUN", nargs="*", help="folders of runs")
    parser.add_argument(
        "--out",
        metavar="F",
        type=Path,
        default=Path("paper.html"),
        help="where to write the page [%(default)s]",
    )
    return parser


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    try:
        options = build_parser().parse_args(arguments)
        for run in options.runs:
            config_of(run)
        from analysis import pages  # pandas and matplotlib: a mistake need not wait
        from analysis.paper_page import paper

        pages.refuse_foreign(options.out)
        text, page = paper(options.runs)
        pages.write(options.out, page)
    except InvalidInput as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        return 2
    sys.stdout.write(f"{text}\n{options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
