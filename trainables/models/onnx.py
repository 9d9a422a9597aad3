"""A network in an ONNX file, quantised or not, as a module that answers with what it releases.

onnxruntime runs it: an optional extra, since nothing else here needs it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.base.errors import InvalidInput, one_line
from trainables.models.registry import Shape

SUFFIX = ".onnx"

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
"""onnxruntime's names of the inputs that normalised images can be given as."""


class OnnxNetwork(nn.Module):
    """Normalised images (b, c, h, w) -> outputs (b, classes) float32; never trained."""

    def __init__(self, path: Path, n_classes: int, image_shape: Shape) -> None:
        """Raises InvalidInput without onnxruntime, and for a file that does not fit the images."""
        super().__init__()
        self._session = _session(path)
        self._path = path
        self._classes = n_classes
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in DTYPES:
            found = ", ".join(f"{one.name} {one.type}" for one in inputs)
            raise InvalidInput(
                f"{path} takes {found or 'nothing'}: export the network with images as its only "
                "input, of floating-point numbers"
            )
        self._input, self._dtype = inputs[0].name, DTYPES[inputs[0].type]
        batch, *shape = inputs[0].shape or [None]
        self._batch = batch if isinstance(batch, int) and batch > 0 else None
        wrong = [
            theirs
            for theirs, ours in zip(shape, image_shape, strict=False)
            if isinstance(theirs, int) and theirs != ours
        ]
        if len(shape) != len(image_shape) or wrong:
            raise InvalidInput(
                f"{path} takes images of {_in_words(shape)}, the data set has "
                f"{_in_words(image_shape)}: give the network of this data set, channels first"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Raises InvalidInput where the network fails or does not answer with the classes."""
        batch = images.contiguous().cpu().numpy().astype(self._dtype)
        outputs = np.concatenate([self._run(part) for part in self._parts(batch)])[: len(batch)]
        return torch.from_numpy(outputs.astype(np.float32))

    def _parts(self, batch: np.ndarray) -> list[np.ndarray]:
        """The batch, or parts of the one size that the file allows; the last is filled up."""
        if self._batch is None:
            return [batch]
        missing = -len(batch) % self._batch
        filled = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
        return np.split(filled, len(filled) // self._batch)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        try:
            outputs: Any = self._session.run(None, {self._input: batch})[0]
        except Exception as error:  # onnxruntime has no common type of its own
            raise InvalidInput(
                f"{self._path} fails on images of this data set: {one_line(error)[:200]}"
            ) from error
        if not isinstance(outputs, np.ndarray) or outputs.shape != (len(batch), self._classes):
            raise InvalidInput(
                f"{self._path} answers with {getattr(outputs, 'shape', type(outputs).__name__)} "
                f"for {len(batch)} images, the data set has {self._classes} classes: let logits "
                "or probabilities be its first output"
            )
        return outputs


def _session(path: Path) -> Any:  # noqa: ANN401 - onnxruntime has no types
    try:
        import onnxruntime
    except ImportError as error:
        raise InvalidInput(
            f"{path} needs onnxruntime: pip install 'prune-privacy[onnx]', or onnxruntime itself"
        ) from error
    if not path.is_file():
        raise InvalidInput(f"{path} cannot be read: it is no file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its warnings would land among our lines
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InvalidInput(
            f"{path} cannot be run by onnxruntime: {one_line(error)[:200]}"
        ) from error


def _in_words(shape: object) -> str:
    return " x ".join(str(size) for size in shape) if isinstance(shape, list | tuple) else "?"
