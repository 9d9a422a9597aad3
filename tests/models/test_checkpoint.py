"""Weights of other tools: names mapped, another network refused by name, pickles never run."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from tests import networks
from trainables.base.errors import InvalidInput
from trainables.models.building import build_model
from trainables.models.checkpoint import read_checkpoint
from trainables.models.weights import load_weights, save_weights


def lenet5(classes: int = 10, seed: int = 0) -> nn.Module:
    return build_model("lenet5", n_classes=classes, image_shape=(1, 28, 28), seed=seed)


def written(folder: Path, contents: object, name: str = "w.pt") -> Path:
    torch.save(contents, folder / name)
    return folder / name


def refused(path: Path, network: nn.Module | None = None) -> str:
    with pytest.raises(InvalidInput) as error:
        read_checkpoint(path, network or lenet5())
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def same(network: nn.Module, path: Path, other: nn.Module) -> bool:
    load_weights(other, read_checkpoint(path, other))
    wanted, found = network.state_dict(), other.state_dict()
    return all(torch.equal(wanted[name], found[name]) for name in wanted)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("kind", ["pt", "safetensors", "nested"])
def test_weights_come_back_whatever_wrapped_the_network(tmp_path, prefix, kind) -> None:
    network = lenet5()
    state = {f"{prefix}{name}": value for name, value in network.state_dict().items()}
    path = tmp_path / f"w.{kind}"
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state if kind == "pt" else {"state_dict": state, "epoch": 3}, path)
    assert same(network, path, lenet5(seed=1))


def test_a_compiled_network_and_a_wrapping_network_are_matched(tmp_path) -> None:
    class Wrapping(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

    network = lenet5()
    path = written(tmp_path, torch.compile(network).state_dict())
    assert same(Wrapping(network), path, Wrapping(lenet5(seed=1)))


def test_tied_half_precision_and_masked_weights_are_read(tmp_path) -> None:
    tied = networks.SOUND["tied"](networks.CLASSES, networks.SHAPE)
    save_weights(tied, tmp_path / "tied.safetensors")
    other = networks.SOUND["tied"](networks.CLASSES, networks.SHAPE)
    assert same(tied, tmp_path / "tied.safetensors", other)

    network = lenet5()
    half = written(tmp_path, {k: v.half() for k, v in network.state_dict().items()})
    assert read_checkpoint(half, network)["fc1.weight"].dtype == torch.float32

    prune.l1_unstructured(network.fc1, "weight", amount=0.9)
    masked = written(tmp_path, network.state_dict())
    prune.remove(network.fc1, "weight")
    assert same(network, masked, lenet5(seed=1))


def test_batch_norms_without_counters_are_read(tmp_path) -> None:
    network = networks.SOUND["batch_norm"](networks.CLASSES, networks.SHAPE)
    state = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    found = read_checkpoint(written(tmp_path, state), network)
    load_weights(network, found)
    assert found.keys() == network.state_dict().keys() > state.keys()


def test_another_network_is_refused_with_what_is_missing_and_unexpected(tmp_path) -> None:
    state = lenet5().state_dict()
    state["head.weight"] = state.pop("fc1.weight")
    said = refused(written(tmp_path, state))
    assert "missing fc1.weight; unexpected head.weight" in said
    wide = {**lenet5().state_dict(), "conv1.weight": torch.zeros(7, 1, 5, 5)}
    assert "conv1.weight has the shape (7, 1, 5, 5), not (6, 1, 5, 5)" in refused(
        written(tmp_path, wide)
    )
    state = lenet5().state_dict()
    assert "holds fc1.weight twice" in refused(
        written(tmp_path, {**state, "module.fc1.weight": state["fc1.weight"]})
    )


def test_other_classes_are_named_as_such(tmp_path) -> None:
    said = refused(written(tmp_path, lenet5(classes=100).state_dict()))
    assert "tells 100 classes apart, the data set has 10" in said


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (torch.full((84,), torch.nan), "84 of 84 values of fc2.bias are not finite"),
        (torch.zeros(84, dtype=torch.int8), "fc2.bias is int8, where the network has float32"),
        (torch.zeros(84).to_sparse(), "holds no state dict of tensors"),
        ([0.0] * 84, "holds no state dict of tensors (fc2.bias)"),
    ],
)
def test_values_that_no_network_has_are_refused(tmp_path, changed, says) -> None:
    assert says in refused(written(tmp_path, {**lenet5().state_dict(), "fc2.bias": changed}))


class Bomb:
    """Unpickled, it would leave a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_a_pickle_is_never_run(tmp_path) -> None:
    trace = tmp_path / "trace"
    path = tmp_path / "w.pt"
    for contents in (pickle.dumps(Bomb(trace)), None):
        if contents is None:
            torch.save({"state_dict": Bomb(trace)}, path)
        else:
            path.write_bytes(contents)
        assert "could run code and is not loaded" in refused(path)
        assert not trace.exists()


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_a_whole_network_torchscript_and_damaged_files_are_refused(tmp_path) -> None:
    assert "not loaded" in refused(written(tmp_path, lenet5()))
    torch.jit.trace(lenet5(), torch.zeros(1, 1, 28, 28)).save(tmp_path / "script.pt")
    assert "not loaded" in refused(tmp_path / "script.pt")
    good = written(tmp_path, lenet5().state_dict()).read_bytes()
    for contents in (good[: len(good) // 2], b"weights", b"PK\x03\x04", bytes(8) + b"{"):
        (tmp_path / "bad.pt").write_bytes(contents)
        assert "not loaded" in refused(tmp_path / "bad.pt")
    (tmp_path / "empty.pt").touch()
    assert "is empty" in refused(tmp_path / "empty.pt")
    assert "No such file" in refused(tmp_path / "none.pt")
    assert "Is a directory" in refused(tmp_path)


def test_several_or_no_state_dicts_in_a_file_are_refused(tmp_path) -> None:
    state = lenet5().state_dict()
    several = written(tmp_path, {"model": state, "state_dict": state})
    assert "several state dicts, state_dict and model" in refused(several)
    assert "holds list, not a state dict" in refused(written(tmp_path, [1]))
    assert "it is empty" in refused(written(tmp_path, {}))
