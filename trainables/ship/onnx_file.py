"""A finished network as an ONNX file: any number of normalised images in, logits out.

torch's exporter needs onnx and onnxscript, an optional extra: a run writes its other files without.
"""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.base.errors import InvalidInput, one_line

EXTRA = "pip install 'prune-privacy[onnx]'"
"""How to get what writes the file."""

INPUT, OUTPUT = "input", "logits"
"""What the file calls them."""


def onnx_file(network: nn.Module, example: Tensor, said: Mapping[str, str]) -> bytes:
    """The network in evaluation mode, with its weights.

    example: (b, ...) what it takes, b at least 2; the file takes any b.  said: what the file says
    of itself, as its normalisation.  Raises InvalidInput where the extra is missing, and for a
    network that torch cannot export.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter imports it, late and in more words
    except ImportError as error:
        raise InvalidInput(f"an ONNX file needs onnx and onnxscript: {EXTRA}") from error
    network = network.eval()
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                network,
                (example,),
                path,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # torch wraps whatever it meets in types of its own
            raise InvalidInput(
                f"torch cannot write this network as ONNX: {one_line(error)[:200]}"
            ) from error
        model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(said))
    content: bytes = model.SerializeToString()
    return content


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of its own parts, which nobody here can change."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
