"""A user's own file: what it may register, and one clear line for everything that can be wrong."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from search.arguments import parse
from search.context import load_inputs
from tests.test_documentation import read
from trainables import plugin
from trainables.config import InvalidInput, TrainingConfig
from trainables.data.pairs import collected
from trainables.data.registry import DATASETS
from trainables.models import MODELS
from trainables.plugin import Plugin

IMPORTS = """
import torch
from torch import nn
from trainables.config import TrainingConfig
from trainables.plugin import register_dataset, register_model
"""


def example() -> str:
    """The one of the README."""
    (text,) = re.findall(
        r"^```python\n(import torch\n.*?)^```", read("README.md"), re.MULTILINE | re.DOTALL
    )
    return text


@pytest.fixture(autouse=True)
def registries_as_before(monkeypatch):
    """What a test registers is gone after it."""
    saved = {**MODELS}, {**DATASETS}
    monkeypatch.setattr(plugin, "_LOADED", set())
    yield
    for registry, before in zip((MODELS, DATASETS), saved, strict=True):
        registry.clear()
        registry.update(before)


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "my_model.py"
        path.write_text(text)
        return path

    return write


def load(path: Path) -> None:
    Plugin.read(path).load()


def test_the_readmes_example_becomes_a_network_and_a_data_set(written):
    path = written(example())
    config, options = parse(["--plugin", str(path), "--dataset", "mine", "--model", "mine"])
    inputs = load_inputs(config, options)
    assert list(inputs.layers.values()) == [64 * 100, 100 * 10]
    assert inputs.images.pixels.shape == (1797, 1, 8, 8)
    assert inputs.images.pixels.max() == 240
    assert config.plugin == Plugin.read(path).sha256
    assert inputs.plugin == Plugin.read(path)
    assert options.out.name.startswith("mine-mine-")


def test_the_hash_of_the_file_is_part_of_the_runs(written):
    words = ["--dataset", "mine", "--plugin"]
    one, _ = parse([*words, str(written(example()))])
    MODELS.pop("mine")
    DATASETS.pop("mine")
    other, _ = parse([*words, str(written(example() + "\n# another\n"))])
    assert one.key != other.key


def test_a_file_that_changed_since_is_refused(written):
    path = written(example())
    config, options = parse(["--plugin", str(path), "--dataset", "mine"])
    written(example() + "\n# changed\n")
    with pytest.raises(InvalidInput, match="has changed since the run began: restore it"):
        load_inputs(config, options)


def test_one_text_is_run_once_in_a_process(written):
    path = written(example())
    load(path)
    load(path)
    assert {"mine"} <= MODELS.keys() & DATASETS.keys()


def test_a_network_of_ones_own_goes_with_our_data_and_the_other_way_round(written):
    text = IMPORTS + (
        "register_model('flat', lambda k, s: nn.Sequential(nn.Flatten(), nn.Linear(784, k)))\n"
        "register_dataset('own', print, n_classes=3, image_shape=(1, 28, 28),"
        " default_model='lenet5', training=TrainingConfig(epochs=7, batch_size=5))\n"
    )
    path = str(written(text))
    assert parse(["--plugin", path, "--model", "flat"])[0].dataset == "mnist5k"
    config, _ = parse(["--plugin", path, "--dataset", "own"])
    assert (config.model, config.min_compression) == ("lenet5", None)
    assert config.training == TrainingConfig(epochs=7, batch_size=5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        ("raise SystemExit(0)", "cannot be imported: SystemExit"),
        ("x = 1", "registers nothing: call register_model or register_dataset"),
        ("register_model('lenet5', nn.Flatten)", "model 'lenet5' exists already"),
        ("register_model('a', 1); register_model('a', 1)", "model 'a' exists already"),
        ("register_model('A-b', 1)", "a name is small letters, digits and _"),
        (
            "register_dataset('mnist', 1, n_classes=2, image_shape=(1, 8, 8), default_model='a')",
            "data set 'mnist' exists already",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_leaves_nothing_behind(text, says, written):
    before = {*MODELS}, {*DATASETS}
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        load(written(IMPORTS + text))
    assert "\n" not in str(caught.value)
    assert "my_model.py" in str(caught.value)
    assert before == ({*MODELS}, {*DATASETS})


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_an_absent_file_and_one_that_is_no_text_are_one_line(content, tmp_path):
    path = tmp_path / "my_model.py"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"--plugin .*my_model.py cannot be read: "):
        load(path)


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        ("lambda k, s: nn.Flatten()", "has no weight to prune (it has no layers)"),
        ("lambda k, s: 'network'", "is not an nn.Module but str"),
        ("lambda k: nn.Flatten()", "cannot be made: TypeError"),
        ("lambda k, s: nn.Linear(3, k)", "fails on images of (1, 28, 28)"),
        (
            "lambda k, s: nn.Sequential(nn.Flatten(), nn.Linear(784, k + 1))",
            "gives (2, 11) for two images of 10 classes",
        ),
    ],
)
def test_a_network_that_cannot_be_pruned_is_one_line(factory, says, written):
    path = written(f"{IMPORTS}register_model('own', {factory})")
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        parse(["--plugin", str(path), "--model", "own"])
    assert "\n" not in str(caught.value)


PIXELS = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (TensorDataset(PIXELS.float(), LABELS), "item 0: its image must be uint8, 0 to 255, not"),
        (TensorDataset(PIXELS[:, 0], LABELS), "must have the shape (1, 8, 8), not (8, 8)"),
        (TensorDataset(PIXELS, LABELS + 1), "item 2: its label must be a whole number in 0 to 2"),
        (TensorDataset(PIXELS, LABELS.float()), "whole number in 0 to 2, not 0.0"),
        (TensorDataset(PIXELS), "must be a pair (image, label)"),
        ([(PIXELS[0].numpy(), 0)], "must be a uint8 tensor, not ndarray: convert it with"),
        ([], "has no items"),
        (iter([]), "failed: TypeError"),
        ({0: (PIXELS[0], 0), 2: (PIXELS[0], 0)}, "failed at item 1: KeyError"),
    ],
)
def test_a_data_set_that_cannot_be_used_is_one_line_with_the_first_wrong_item(dataset, says):
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        collected("mine", lambda folder: dataset, Path(), 3, (1, 8, 8))
    assert "\n" not in str(caught.value)
    assert "'mine'" in str(caught.value)


@pytest.mark.parametrize("kind", [int, np.int32, torch.tensor])
def test_labels_may_be_any_whole_numbers(kind):
    pairs = [(image, kind(int(label))) for image, label in zip(PIXELS, LABELS, strict=True)]
    images = collected("mine", lambda folder: pairs, Path(), 3, (1, 8, 8))
    assert images.labels.tolist() == [0, 1, 2, 0]
    assert images.labels.dtype == np.int64


def test_the_factory_gets_the_data_folder(tmp_path):
    asked = []

    def make(folder):
        asked.append(folder)
        return TensorDataset(PIXELS, LABELS)

    collected("mine", make, tmp_path, 3, (1, 8, 8))
    assert asked == [tmp_path]


def test_a_plugin_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Plugin(path="a", text="b").text = "c"
