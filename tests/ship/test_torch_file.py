"""Exported programs of our own networks answer as the networks do."""

import pytest
import torch

from tests.ship.test_onnx_file import SHAPES, Undecided
from trainables.base.errors import InvalidInput
from trainables.models.building import build_model
from trainables.ship.torch_file import read_torch_file, torch_file


@pytest.mark.parametrize("name", SHAPES)
def test_the_program_answers_as_the_network(name: str) -> None:
    shape, generator = SHAPES[name], torch.Generator().manual_seed(0)
    network = build_model(name, n_classes=10, image_shape=shape, seed=0)
    images = torch.randn(8, *shape, generator=generator)
    with torch.no_grad():
        network(images)  # batch norms have seen something
        wanted = network.eval()(images[:7])
        found = read_torch_file(torch_file(network, images[:2]))(images[:7])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_network_that_cannot_be_exported_is_one_line() -> None:
    with pytest.raises(InvalidInput, match="torch cannot export this network") as caught:
        torch_file(Undecided(), torch.zeros(2, 2))
    assert "\n" not in str(caught.value)
