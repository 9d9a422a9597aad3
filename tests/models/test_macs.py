"""Multiply-accumulates: torch's own counter on dense networks; by hand where weights are zero."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests import networks
from trainables.measure import size
from trainables.models.macs import count_macs, layer_macs
from trainables.models.prunable import prunable_layers

CONVOLUTIONAL = (
    "two_layers",
    "view_after_conv",
    "batch_norm",
    "tied",
    "one_module_under_two_names",
    "called_three_times",
    "patches_in_the_batch",
    "conv1d",
    "conv3d",
    "transposed",
    "grouped",
    "functional_weight",
    "unused_layer",
    "IsALayer",
    "frozen_layer",
    "weight_normed",
    "own_projection",
    "gru",
    "recurrent_cell",
    "attention",
    "attention_to_others",
    "VisionTransformer",
)


def built(name: str) -> nn.Module:
    torch.manual_seed(0)  # noqa: TID251 - any weights do
    return networks.SOUND[name](networks.CLASSES, networks.SHAPE)


def torchs_own_count(network: nn.Module) -> int:
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not know whole fused layers
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network.eval()(torch.zeros(1, *networks.SHAPE))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_the_total_is_that_of_torchs_own_counter(name) -> None:
    network = built(name)
    assert count_macs(network, networks.SHAPE).total == torchs_own_count(network) > 0


def test_a_layer_that_is_called_three_times_counts_three_times() -> None:
    macs = layer_macs(built("called_three_times"), networks.SHAPE)
    assert macs == {"a": 3 * 64 * 64, "f": 64 * 10}


def test_patches_in_the_batch_count_each() -> None:
    macs = layer_macs(built("patches_in_the_batch"), networks.SHAPE)
    assert macs == {"a": 4 * 16 * 32, "f": 4 * 32 * 10}


def test_a_tied_weight_counts_once_with_the_work_of_both_layers() -> None:
    macs = layer_macs(built("tied"), networks.SHAPE)
    assert macs == {"a": 2 * 64 * 64, "f": 64 * 10}


def test_a_layer_that_is_not_used_costs_nothing() -> None:
    assert layer_macs(built("unused_layer"), networks.SHAPE) == {"f": 640, "idle": 0}


def test_recurrent_matrices_count_each_step_of_the_sequence() -> None:
    macs = layer_macs(built("lstm"), networks.SHAPE)
    sizes = {name: w.numel() for name, w in prunable_layers(built("lstm")).items()}
    assert macs == {name: 8 * n if name != "f" else n for name, n in sizes.items()}


def test_a_bilinear_layer_multiplies_every_pair() -> None:
    assert layer_macs(built("bilinear"), networks.SHAPE)["b"] == 32 * 32 * 6


def test_a_frozen_layer_counts_though_it_is_not_pruned() -> None:
    macs = count_macs(built("frozen_layer"), networks.SHAPE)
    assert (macs.layers, macs.elsewhere) == ({"f": 160}, 64 * 16)


@pytest.mark.parametrize("name", ["called_three_times", "patches_in_the_batch"])
def test_the_ratio_is_that_of_products_with_weights_that_are_left(name) -> None:
    network = built(name)
    whole = layer_macs(network, networks.SHAPE)
    with torch.no_grad():
        weight = prunable_layers(network)["a"]
        weight.flatten()[: weight.numel() * 3 // 4] = 0
    expected = (whole["a"] / 4 + whole["f"]) / sum(whole.values())
    assert size(network, networks.SHAPE, "none")["flops_ratio"] == pytest.approx(
        expected, rel=1e-12
    )
