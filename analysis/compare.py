"""`python -m analysis.compare RUN RUN…`: several runs side by side, as text and as one page.

With one folder, that of a comparison of defences, it writes that comparison's page again.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.folder import begun_runs, config_of, is_comparison
from trainables.base.commandline import OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line


def build_parser() -> OneLineParser:
    """The parser of the command."""
    parser = OneLineParser(
        prog="python -m analysis.compare",
        description="Compare runs on one data set: confirmed excess gain, test accuracy, "
        "compression, share of feasible trials, time. Prints a table and writes a page.",
        epilog="exit status: 0 compared, 2 a folder is not a run or the runs cannot be compared",
    )
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="folders of runs, or of one comparison of defences"
    )
    parser.add_argument(
        "--out",
        metavar="F",
        type=Path,
        help="where to write the page [compare.html, or comparison.html in the folder of a "
        "comparison]",
    )
    parser.add_argument(
        "--format",
        choices=("text", "markdown", "json"),
        default="text",
        help="of what is printed; of a comparison of defences the latter two print its runs, and "
        "the page is compare.html [text]",
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
        from analysis.comparison_page import compare
        from analysis.defense_page import write_comparison

        if options.out is not None:
            pages.refuse_foreign(options.out)
        together = len(options.runs) == 1 and is_comparison(options.runs[0])
        if together and options.format == "text":
            out, text = write_comparison(options.runs[0], to=options.out)
        else:
            out = options.out or Path("compare.html")
            pages.refuse_foreign(out)
            runs = begun_runs(options.runs[0])[0] if together else options.runs
            text, page = compare(runs, options.format)
            pages.write(out, page)
    except InvalidInput as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        return 2
    sys.stdout.write(f"{text}\n")
    page_of_it = sys.stdout if options.format == "text" else sys.stderr  # the rest is for a program
    page_of_it.write(f"{out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
