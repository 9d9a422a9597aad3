"""A finished network as a torch.export program: torch alone runs it, without its classes."""

import io
import warnings

import torch
from torch import Tensor, nn

from trainables.base.errors import InvalidInput, one_line


def torch_file(network: nn.Module, example: Tensor) -> bytes:
    """The network in evaluation mode, with its weights.

    example: (b, ...) what it takes, b at least 2; the program takes any b.  Raises InvalidInput for
    a network that torch cannot export.
    """
    content = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of its own parts
            batch = torch.export.Dim("batch")
            program = torch.export.export(
                network.eval(), (example,), dynamic_shapes=({0: batch},), strict=False
            )
            torch.export.save(program, content)
    except Exception as error:  # torch has no common type
        raise InvalidInput(f"torch cannot export this network: {one_line(error)[:200]}") from error
    return content.getvalue()


def read_torch_file(content: bytes) -> nn.Module:
    """The network that `torch_file` wrote; it only answers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = torch.export.load(io.BytesIO(content)).module()
    return module
