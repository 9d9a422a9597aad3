"""Dead channels go, outputs stay: on every default network, and where borders or sums forbid it."""

import pytest
import torch
from torch import nn

from tests.ship.test_onnx_file import SHAPES
from trainables.models.building import build_model
from trainables.models.prunable import parameter_count, prunable_layers
from trainables.ship.chains import chains
from trainables.ship.dead_channels import without_dead_channels


def images(shape: tuple[int, ...], count: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def with_dead(name: str) -> nn.Module:
    """A network each of whose layers has lost all weights into its first channels, biases apart."""
    shape = SHAPES[name]
    network = build_model(name, n_classes=10, image_shape=shape, seed=0)
    with torch.no_grad():
        network(images(shape, 8))  # batch norms have seen something
        for weight in prunable_layers(network).values():
            weight[: max(1, len(weight) // 4)] = 0
    return network.eval()


@pytest.mark.parametrize("name", SHAPES)
def test_outputs_are_equal_and_the_network_is_smaller(name: str) -> None:
    network, shape = with_dead(name), SHAPES[name]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    smaller, taken = without_dead_channels(network, images(shape, 2))
    assert taken
    assert parameter_count(smaller) < parameter_count(network)
    with torch.no_grad():
        wanted, found = network(images(shape, 16, seed=2)), smaller(images(shape, 16, seed=2))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", SHAPES)
def test_a_network_without_dead_channels_stays_as_it_is(name: str) -> None:
    network = build_model(name, n_classes=10, image_shape=SHAPES[name], seed=0)
    same, taken = without_dead_channels(network, images(SHAPES[name], 2))
    assert taken == {}
    assert parameter_count(same) == parameter_count(network)


class Two(nn.Module):
    """Two layers; only these tests know what lies between."""

    def __init__(self, first: nn.Module, between: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.between, self.second = first, between, second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.second(self.between(self.first(x)))
        return hidden.flatten(1)


def test_units_that_nothing_reads_go_exactly() -> None:
    network = Two(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    with torch.no_grad():
        network.second.weight[:, [1, 4]] = 0
    smaller, taken = without_dead_channels(network, images((5,), 2))
    assert taken == {"first": 2}
    assert smaller.first.weight.shape == (4, 5)
    assert smaller.second.weight.shape == (3, 4)
    torch.testing.assert_close(smaller(images((5,), 9)), network(images((5,), 9)))


def test_what_a_constant_unit_says_is_folded_into_the_next_bias() -> None:
    network = Two(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3, bias=False))
    with torch.no_grad():
        network.first.weight[2] = 0
        network.first.bias[2] = 1.0
    smaller, taken = without_dead_channels(network, images((5,), 2))
    assert taken == {"first": 1}
    added = torch.tanh(torch.tensor(1.0)) * network.second.weight[:, 2]
    torch.testing.assert_close(smaller.second.bias, nn.Parameter(added))


@pytest.mark.parametrize(("bias", "goes"), [(1.0, False), (-1.0, True), (0.0, True)])
def test_zero_padding_keeps_a_constant_channel_that_is_not_zero(bias: float, goes: bool) -> None:
    convolutions = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)
    network = Two(convolutions[0], nn.ReLU(), convolutions[1])
    with torch.no_grad():
        network.first.weight[3] = 0
        network.first.bias[3] = bias
    smaller, taken = without_dead_channels(network, images((1, 6, 6), 2))
    assert taken == ({"first": 1} if goes else {})
    torch.testing.assert_close(smaller(images((1, 6, 6), 4)), network(images((1, 6, 6), 4)))


class Sum(Two):
    """What the first layer says is read twice."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        total: torch.Tensor = self.second(hidden) + hidden
        return total


class Unruly(Two):
    """No graph: the way depends on the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if float(x.sum()) > 0 else -x)


@pytest.mark.parametrize("kind", [Sum, Unruly])
def test_what_cannot_be_followed_stays(kind: type[Two]) -> None:
    network = kind(nn.Linear(5, 5), nn.Identity(), nn.Linear(5, 5))
    with torch.no_grad():
        network.second.weight[:] = 0
    assert chains(network) == []
    assert without_dead_channels(network, images((5,), 2))[1] == {}


def test_a_layer_that_is_all_dead_keeps_one_unit() -> None:
    network = Two(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        network.first.weight[:] = 0
    smaller, taken = without_dead_channels(network, images((5,), 2))
    assert taken == {"first": 5}
    torch.testing.assert_close(smaller(images((5,), 4)), network(images((5,), 4)))


def odd_networks() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """Networks of users whose layers have other shapes than a chain of ours."""
    normed = nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(28, 40)), nn.ReLU()
    )
    kept_maps = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(2), nn.Linear(169, 5))
    tokens = nn.Sequential(nn.Linear(28, 40), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(40, 5))
    return {
        "weight norm": (nn.Sequential(normed, nn.Linear(40, 10)), torch.randn(2, 28)),
        "flattened maps": (kept_maps, torch.randn(2, 1, 15, 15)),
        "norm over tokens": (tokens, torch.randn(2, 20, 28)),
    }


@pytest.mark.parametrize("name", odd_networks())
def test_an_odd_network_stays_whole_and_nothing_is_raised(name: str) -> None:
    network, example = odd_networks()[name]
    last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.weight[:, ::3] = 0
        smaller, taken = without_dead_channels(network, example)
        answers = network.eval()(example)
        assert torch.allclose(smaller(example), answers, atol=1e-5)
    assert taken == {} or parameter_count(smaller) < parameter_count(network)
