"""`python -m search.export RUN --format FORMAT`: a run's winner as a file that others can use."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trainables.base.commandline import BAD_INPUT, OK, OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line
from trainables.base.storage import place

FORMATS = ("onnx", "sparse", "torch")


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    try:
        given = build_parser().parse_args(arguments)
        lines = _export(given)
    except InvalidInput as error:  # what checks a run speaks of a resume, and nothing is resumed
        said = one_line(error).removeprefix("--resume ").removeprefix("--resume: ")
        sys.stderr.write(f"error: {said}\n")
        return BAD_INPUT
    except OSError as error:
        sys.stderr.write(f"error: {given.run} cannot be written: {one_line(error)}\n")
        return BAD_INPUT
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return OK


def build_parser() -> OneLineParser:
    """The parser of the command."""
    parser = OneLineParser(
        prog="python -m search.export",
        description="Write a run's winner, or its winner at another level, as a file beside its "
        "weights; attack the file as it ships, and say what was measured in its card.",
        epilog="exit status: 0 written, 2 there is no such winner, or it has no such form",
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="the folder of a run, or s3://BUCKET/RUN")
    add(
        "--format",
        required=True,
        choices=FORMATS,
        help="onnx: model.onnx, which onnxruntime runs (pip install 'prune-privacy[onnx]'); "
        "sparse: model.sparse.zst, the non-zero weights alone; torch: model.pt2, a torch.export "
        "program, which torch runs without this project",
    )
    add(
        "--level",
        metavar="L",
        type=float,
        help="the allowed accuracy drop whose winner is meant, one of the run's --levels [that of "
        "its bound, RUN/winner]",
    )
    add("--data-dir", metavar="DIR", type=Path, help="where the images lie [as the run had it]")
    return parser


def _export(given: argparse.Namespace) -> list[str]:
    from search.exported import export  # torch and pandas: a mistake need not wait

    return export(place(given.run), given.format, given.level, given.data_dir)


if __name__ == "__main__":
    sys.exit(main())
