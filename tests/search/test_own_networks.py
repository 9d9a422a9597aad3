"""A user's network at the command line: what is refused, with which status, leaving nothing."""

from pathlib import Path

import pytest

from search import run
from search.parser import parse
from trainables import plugin
from trainables.base.errors import InvalidInput
from trainables.data.registry import DATASETS
from trainables.models.registry import MODELS

HEAD = """
import copy

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from trainables.plugin import register_dataset, register_model


def digits(folder):
    data = load_digits()
    images = torch.tensor(data.images * 15).to(torch.uint8)[:, None]
    return TensorDataset(images, torch.tensor(data.target))


def network(k, shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, k))


register_dataset("mine", digits, n_classes=10, image_shape=(1, 8, 8), default_model="mine")
"""
FRESH = HEAD + "register_model('mine', network)\n"
COPIED = HEAD + (
    "trained = network(10, None)\nregister_model('mine', lambda k, s: copy.deepcopy(trained))\n"
)
MOSTLY_A_TABLE = HEAD + (
    "class Table(nn.Module):\n"
    "    def __init__(self, k, s):\n"
    "        super().__init__()\n"
    "        self.table, self.f = nn.Embedding(256, 64), nn.Linear(64, k)\n"
    "    def forward(self, x):\n"
    "        return self.f(self.table((x.flatten(1) * 9).long() % 256).mean(1))\n"
    "register_model('mine', Table)\n"
)


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
def words(tmp_path: Path):
    def given(text: str, *more: str) -> list[str]:
        (tmp_path / "mine.py").write_text(text)
        path = str(tmp_path / "mine.py")
        return ["--plugin", path, "--dataset", "mine", "--preset", "smoke", *more]

    return given


def test_weights_that_no_seed_moves_need_the_users_word(words) -> None:
    with pytest.raises(InvalidInput, match="say with --pretrained-start that they never did"):
        parse(words(COPIED))


def test_with_that_word_they_are_taken_and_it_is_written_down(words) -> None:
    config, _ = parse(words(COPIED, "--pretrained-start"))
    assert config.pretrained_start
    assert config.to_dict()["pretrained_start"] is True


def test_the_word_is_refused_where_nothing_is_pretrained(words) -> None:
    with pytest.raises(InvalidInput, match="nothing in it is pretrained: leave the option out"):
        parse(words(FRESH, "--pretrained-start"))
    with pytest.raises(InvalidInput, match="lenet5 is ours: leave it out"):
        parse(["--pretrained-start"])


def test_the_word_is_refused_for_a_network_of_ours_on_data_of_ones_own(words) -> None:
    with pytest.raises(InvalidInput, match="lenet5 is ours: leave it out"):
        parse(words(FRESH, "--dataset", "mnist5k", "--model", "lenet5", "--pretrained-start"))


def test_a_bound_that_too_few_prunable_weights_cannot_meet_is_refused(words) -> None:
    with pytest.raises(
        InvalidInput, match=r"3.8% of the 17,034 parameters .* table.weight \(a table"
    ):
        parse(words(MOSTLY_A_TABLE, "--min-compression", "4"))


def test_what_is_refused_ends_with_status_2_in_one_line_and_leaves_no_folder(
    words, tmp_path, capsys
) -> None:
    out = tmp_path / "run"
    assert run.main(words(COPIED, "--out", str(out))) == run.BAD_INPUT
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: model 'mine' starts from the same ")
    assert not out.exists()
