"""Weights written and read: the same bits, each tensor once, whatever their names and precision."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_model

from tests import networks
from trainables.models.weights import (
    as_arrays,
    as_tensors,
    load_weights,
    read_weights,
    save_weights,
)


def built(name: str, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)  # noqa: TID251 - two different networks
    return networks.SOUND[name](networks.CLASSES, networks.SHAPE)


@pytest.mark.parametrize("name", ["tied", "bfloat16", "float16", "float64", "batch_norm", "lstm"])
def test_a_network_comes_back_bit_for_bit_by_way_of_disk_and_object_store(name, tmp_path) -> None:
    network, other = built(name), built(name, seed=1)
    save_weights(network, tmp_path / "w.safetensors")
    load_weights(other, as_tensors(as_arrays(read_weights(tmp_path / "w.safetensors"))))
    wanted, found = network.state_dict(), other.state_dict()
    assert all(torch.equal(wanted[key], found[key]) for key in wanted)
    assert {v.dtype for v in wanted.values()} == {v.dtype for v in found.values()}


def test_tied_weights_are_in_the_file_once_and_stay_tied(tmp_path) -> None:
    network, file = built("tied"), tmp_path / "w.safetensors"
    save_weights(network, file)
    with safe_open(file, "pt") as stored:
        assert sorted(stored.keys()) == ["a.bias", "a.weight", "b.bias", "f.bias", "f.weight"]
    parameters = sum(p.numel() for p in network.parameters())
    assert 4 * parameters < file.stat().st_size < 4 * parameters + 1024
    other = built("tied", seed=1)
    load_weights(other, read_weights(file))
    assert other.a.weight is other.b.weight
    theirs = built("tied", seed=2)
    load_model(theirs, file)  # as a user of the file would
    assert torch.equal(theirs.b.weight, network.a.weight)


def test_channels_last_weights_are_written_in_torchs_order(tmp_path) -> None:
    network = built("view_after_conv").to(memory_format=torch.channels_last)
    save_weights(network, tmp_path / "w.safetensors")
    read = read_weights(tmp_path / "w.safetensors")["c.weight"]
    assert read.is_contiguous()
    assert torch.equal(read, network.c.weight)


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_weights_of_another_network_are_refused(change) -> None:
    network = built("two_layers")
    weights = dict(network.state_dict())
    if change == "missing":
        del weights["a.weight"]
    else:
        weights["b.weight"] = weights["a.weight"]
    with pytest.raises(ValueError, match=rf"{change} \['[ab].weight'\]"):
        load_weights(network, weights)
