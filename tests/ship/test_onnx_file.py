"""ONNX files of our own networks answer as the networks do."""

import sys
from pathlib import Path

import onnx
import pytest
import torch

from trainables.base.errors import InvalidInput
from trainables.models.building import build_model
from trainables.models.onnx import OnnxNetwork
from trainables.ship.onnx_file import onnx_file

SHAPES = {
    "lenet5": (1, 28, 28),
    "cnn4": (3, 32, 32),
    "resnet18": (3, 32, 32),
    "mobilenetv2": (3, 32, 32),
    "vgg16": (3, 32, 32),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_file_answers_as_the_network(tmp_path: Path, name: str) -> None:
    shape, generator = SHAPES[name], torch.Generator().manual_seed(0)
    network = build_model(name, n_classes=10, image_shape=shape, seed=0)
    images = torch.randn(8, *shape, generator=generator)
    with torch.no_grad():
        network(images)  # batch norms have seen something
        wanted = network.eval()(images[:7])
    said = {"mean": "0.5"}
    (tmp_path / "m.onnx").write_bytes(onnx_file(network, images[:2], said))
    found = OnnxNetwork(tmp_path / "m.onnx", 10, shape)(images[:7])
    assert (found.argmax(1) == wanted.argmax(1)).all()
    assert (found - wanted).abs().max() < 1e-4
    model = onnx.load(tmp_path / "m.onnx")
    assert {prop.key: prop.value for prop in model.metadata_props}["mean"] == "0.5"
    assert [one.name for one in model.graph.input] == ["input"]


def test_without_the_extra_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InvalidInput, match=r"pip install 'prune-privacy\[onnx\]'"):
        onnx_file(torch.nn.Linear(2, 2), torch.zeros(2, 2), {})


class Undecided(torch.nn.Module):
    """Takes another way for every image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if float(images.sum()) > 0 else -images


def test_a_network_that_cannot_be_exported_is_one_line() -> None:
    with pytest.raises(InvalidInput, match="cannot write this network as ONNX") as caught:
        onnx_file(Undecided(), torch.zeros(2, 2), {})
    assert "\n" not in str(caught.value)
