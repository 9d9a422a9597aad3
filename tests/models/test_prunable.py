"""Which weights of any network are pruned, each once, and why others are not."""

import pytest
import torch
from torch import nn

from tests import networks
from trainables.measure import size
from trainables.models.fitting import fit_of, fitted
from trainables.models.prunable import parameter_count, prunable_layers, unpruned_weights


def built(name: str) -> nn.Module:
    torch.manual_seed(0)  # noqa: TID251 - any weights do
    return networks.SOUND[name](networks.CLASSES, networks.SHAPE)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("two_layers", {"a": 1024, "f": 160}),
        ("conv1d", {"c": 8 * 16 * 3, "f": 160}),
        ("conv3d", {"c": 8 * 27, "f": 80}),
        ("transposed", {"c": 12, "f": 7680}),
        ("bilinear", {"b": 6144, "f": 60}),
        ("gru", {"r.weight_ih_l0": 288, "r.weight_hh_l0": 432, "f": 120}),
        ("recurrent_cell", {"r.weight_ih": 288, "r.weight_hh": 432, "f": 120}),
        ("attention", {"a.in_proj_weight": 192, "a.out_proj": 64, "f": 80}),
        (
            "attention_to_others",
            {
                "a.q_proj_weight": 256,
                "a.k_proj_weight": 128,
                "a.v_proj_weight": 128,
                "a.out_proj": 256,
                "f": 160,
            },
        ),
        ("tied", {"a": 4096, "f": 640}),
        ("one_module_under_two_names", {"a": 4096, "f": 640}),
        ("frozen_layer", {"f": 160}),
        ("weight_normed", {"3": 160}),
        ("own_projection", {"f": 160}),
        ("embedded_pixels", {"f": 80}),
        ("IsALayer", {"weight": 640}),
    ],
)
def test_each_prunable_weight_is_there_once(name, sizes) -> None:
    assert {k: w.numel() for k, w in prunable_layers(built(name)).items()} == sizes


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("two_layers", {}),
        ("tied", {}),
        ("frozen_layer", {"a.weight": "it is frozen"}),
        (
            "embedded_pixels",
            {"e.weight": "a table of embeddings is read, not multiplied by its input"},
        ),
        ("own_projection", {"matrix": "Net is not a layer whose weights are pruned"}),
        (
            "weight_normed",
            {
                f"1.parametrizations.weight.original{i}": "the layer's weight is computed from it "
                "at each call"
                for i in (0, 1)
            },
        ),
    ],
)
def test_what_is_not_pruned_is_named_with_its_reason(name, left) -> None:
    assert unpruned_weights(built(name)) == left


def test_old_weight_norm_is_computed_too() -> None:
    with pytest.warns(FutureWarning):
        network = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 3)), nn.Linear(3, 2))
    assert list(prunable_layers(network)) == ["1"]
    assert set(unpruned_weights(network)) == {"0.weight_g", "0.weight_v"}


@pytest.mark.parametrize("name", networks.SOUND)
def test_every_parameter_is_counted_once_and_every_zero_found(name) -> None:
    network = fitted(built(name), fit_of(networks.SOUND[name], networks.CLASSES, networks.SHAPE))
    own = {id(p): p.numel() for p in network.parameters()}
    assert parameter_count(network) == sum(own.values())
    with torch.no_grad():
        for weight in prunable_layers(network).values():
            weight.fill_(1)
            weight[(0,) * weight.dim()] = 0
    found, layers = size(network, networks.SHAPE, "none"), prunable_layers(network)
    assert found["weights"] == sum(weight.numel() for weight in layers.values())
    assert found["nonzero"] == found["weights"] - len(layers)
    assert found["parameters"] == sum(own.values())
