"""`python -m search.measure`: what attacks gain from one network, without a search."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.base.commandline import BAD_INPUT, OK, OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line
from trainables.base.names import known
from trainables.data.registry import DATASETS
from trainables.models.registry import MODELS

if TYPE_CHECKING:
    import numpy as np

    from trainables.data.split import Indices

OF_A_NETWORK = ("dataset", "model", "plugin", "data_dir", "members", "non_members")
"""Options that say what --dense is and was trained on."""

FILES = ("outputs", "dense", "plugin", "members", "non_members", "references")
"""Arguments that name a file to read."""


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    try:
        given = build_parser().parse_args(arguments)
        _require_sense(given)
        _measure(given)
    except InvalidInput as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        return BAD_INPUT
    return OK


def build_parser() -> OneLineParser:
    """The parser of the command."""
    parser = OneLineParser(
        prog="python -m search.measure",
        description="Attack a classifier on images (or rows) whose membership is known, by its "
        "outputs in FILE or by its weights in --dense, and print what the attacks gain. Nothing is "
        "trained but the attacks.",
        epilog="exit status: 0 measured, 2 what was given cannot be read or audited",
    )
    add = parser.add_argument
    add(
        "outputs",
        metavar="FILE",
        nargs="?",
        type=Path,
        help="a .csv or .parquet with the columns label, is_member (1 or 0, true or false) and, in "
        "their order, one per class, logits or probabilities; or an .npz with the arrays outputs, "
        "labels and is_member",
    )
    add(
        "--dense",
        metavar="FILE",
        type=Path,
        help="in place of outputs, a network: safetensors, a state dict of torch.save, or .onnx "
        "(pip install 'prune-privacy[onnx]'), of images normalised as --dataset says",
    )
    add("--dataset", metavar="NAME", help="its images, as for search.run")
    add("--model", metavar="NAME", help="its network [the data set's own; .onnx needs none]")
    add("--plugin", metavar="FILE", type=Path, help="a file that registers either, as there")
    add("--data-dir", metavar="DIR", type=Path, help="where the images lie [data]")
    add(
        "--members",
        metavar="FILE",
        type=Path,
        help="the images that it was trained on: indices from 0 in the data set's order, or file "
        "names below its folder; one a line, an .npy, or one column of a .csv or .parquet",
    )
    add(
        "--non-members",
        metavar="FILE",
        type=Path,
        help="images of which it has seen nothing, in the same form [all that are no members]",
    )
    add(
        "--references",
        metavar="NPZ",
        type=Path,
        help="outputs (models, images, classes) of models trained alike on other halves of these "
        "images, in their order, and trained_on (models, images) [none: the leak is understated]",
    )
    add("--seed", metavar="N", type=int, default=0, help="of folds and draws [0]")
    add("--out", metavar="DIR", type=Path, help="a new folder for report, card and figures [none]")
    return parser


def _require_sense(given: argparse.Namespace) -> None:
    named = [f"--{name.replace('_', '-')}" for name in OF_A_NETWORK if getattr(given, name)]
    _require(given.seed >= 0, f"--seed must be 0 or more, got {given.seed}")
    _require(
        (given.outputs is None) != (given.dense is None),
        "give either a FILE of outputs or a network with --dense FILE"
        + (", not both" if given.dense else ""),
    )
    if given.dense is None:
        _require(not named, f"{' and '.join(named)} need --dense FILE")
    else:
        absent = [f"--{name}" for name in ("dataset", "members") if not getattr(given, name)]
        _require(not absent, f"--dense needs {' and '.join(absent)}")
    is_new = given.out is None or not given.out.exists()
    _require(is_new, f"--out {given.out} exists: choose a new folder")
    for name in FILES:
        if (file := getattr(given, name)) is not None:
            _require_readable(file)
    if given.plugin is None and given.dense is not None:
        known(given.dataset, DATASETS, "--dataset")
        known(given.model or DATASETS[given.dataset].default_model, MODELS, "--model")


def _require_readable(file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidInput(message)


def _measure(given: argparse.Namespace) -> None:
    # scikit-learn and torch: a mistake need not wait
    import pandas as pd
    import torch

    from search.measured import PAGE, described, write_folder
    from search.outputs import read_references
    from trainables.audit import audit

    outputs, rows, copies, notes, source = _given(given)
    references = None if given.references is None else read_references(given.references)
    labels, is_member = rows["label"], rows["is_member"]
    torch.set_num_threads(1)  # small networks: two threads save little and wait for each other
    found = audit(outputs, labels, is_member, references, copies=copies, seed=given.seed)
    sys.stdout.write(f"{described(found, notes)}\n")
    if given.out is not None:
        write_folder(given.out, found, pd.DataFrame(rows), source, notes)
        sys.stdout.write(f"{given.out / PAGE}\n")


def _given(
    given: argparse.Namespace,
) -> tuple[
    "np.ndarray", dict[str, "np.ndarray"], "Indices | None", tuple[str, ...], dict[str, Any]
]:
    """Outputs; position, label and is_member of each row; copies; notes; what they are of."""
    import numpy as np

    if given.dense is None:
        from search.outputs import read_outputs

        outputs, labels, is_member = read_outputs(given.outputs)
        rows = {"position": np.arange(len(outputs)), "label": labels, "is_member": is_member}
        return outputs, rows, None, (), {"name": given.outputs.name, "seed": given.seed}
    from search.network_outputs import GivenNetwork, answers_of

    network = GivenNetwork(
        weights=given.dense, **{name: getattr(given, name) for name in OF_A_NETWORK}
    )
    found = answers_of(network)
    rows = {"position": found.positions, "label": found.labels, "is_member": found.is_member}
    paths = ("members", "non_members", "plugin")
    source = {"name": given.dense.name, "dataset": given.dataset, "model": given.model or ""}
    source |= {name: str(getattr(given, name) or "") for name in paths}
    return found.outputs, rows, found.copies, found.notes, source | {"seed": given.seed}


if __name__ == "__main__":
    sys.exit(main())
