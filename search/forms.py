"""The forms of a winner, each made of its weights, read back, compared with them and attacked."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from search.winner import Record, Winner
from trainables.as_shipped import Outputs
from trainables.base.errors import InvalidInput
from trainables.data.registry import DatasetSpec
from trainables.models.onnx import OnnxNetwork
from trainables.ship.onnx_file import onnx_file
from trainables.ship.sparse_file import FLOAT16, INT8, PRECISIONS, sparse_file
from trainables.ship.torch_file import read_torch_file, torch_file
from trainables.ship.unpacking import load_sparse

FILES = {"onnx": "model.onnx", "sparse": "model.sparse.zst", "torch": "model.pt2"}
"""Format -> the file that holds it."""

MOST_LOST = 0.001
"""int8 ships unless it costs more validation accuracy than this; then float16 does."""

Form = tuple[bytes, list[Record]]
"""A file, and what was measured of it."""


def as_onnx(winner: Winner) -> Form:
    """model.onnx, which onnxruntime runs. Raises InvalidInput without the extra."""
    spec = winner.spec
    if spec.n_tokens is not None:
        raise InvalidInput(f"{winner.config.dataset} holds tokens, and ONNX files here take images")
    itself = {"dataset": winner.config.dataset, "input": normalised_in_words(spec)}
    network, taken = winner.smaller
    content = onnx_file(network, winner.example, itself)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILES["onnx"]
        path.write_bytes(content)
        form = winner.answers(path.name, OnnxNetwork(path, spec.n_classes, spec.image_shape))
    return content, [winner.record(path.name, winner.precision, len(content), form, taken=taken)]


def as_torch(winner: Winner) -> Form:
    """model.pt2, which torch runs alone."""
    network, taken = winner.smaller
    content = torch_file(network, winner.example)
    file = FILES["torch"]
    form = winner.answers(file, Answering(read_torch_file(content)))
    return content, [winner.record(file, winner.precision, len(content), form, taken=taken)]


class Answering(nn.Module):
    """A program of torch.export, on the CPU it was made on, which knows no evaluation mode."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self._ask = program.forward

    def forward(self, images: Tensor) -> Tensor:
        """As the program answers."""
        with torch.no_grad():
            logits: Tensor = self._ask(images.cpu())
        return logits


def as_sparse(winner: Winner) -> Form:
    """model.sparse.zst as int8, or as float16 where int8 costs accuracy; both are measured."""
    arrays = {
        name: (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        for name, value in winner.weights.items()
    }
    made = {precision: sparse_file(arrays, precision) for precision in PRECISIONS}
    forms = {precision: _answers_of_sparse(winner, content) for precision, content in made.items()}
    accuracies = {
        name: winner.examiner.accuracy(form.validation, "validation")
        for name, form in {**forms, "": winner.original}.items()
    }
    chosen = INT8 if accuracies[INT8] >= accuracies[""] - MOST_LOST else FLOAT16
    return made[chosen], [
        winner.record(
            FILES["sparse"], precision, len(made[precision]), form, ships=precision == chosen
        )
        for precision, form in forms.items()
    ]


def _answers_of_sparse(winner: Winner, content: bytes) -> Outputs:
    """Of the network with the weights that the card's own loader reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILES["sparse"]
        path.write_bytes(content)
        read = {name: torch.from_numpy(value) for name, value in load_sparse(path).items()}
    return winner.answers(path.name, winner.network(read).to(winner.device))


MAKERS: dict[str, Callable[[Winner], Form]] = {
    "onnx": as_onnx,
    "sparse": as_sparse,
    "torch": as_torch,
}
"""Format -> who makes it."""


def normalised_in_words(spec: DatasetSpec) -> str:
    """What a network of this data set takes."""
    shape = " x ".join(map(str, spec.image_shape))
    if spec.as_given:
        return f"rows of {shape}, as they are"
    return (
        f"images of {shape}, channels first: pixels / 255, less {list(spec.mean)}, divided by "
        f"{list(spec.std)}, per channel"
    )
