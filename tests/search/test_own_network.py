"""--dense, --members and --set training.*: what they ask for, and what is refused in one line."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from search.command import command
from search.inputs import load_inputs
from search.parser import parse
from search.stored_settings import as_before, recorded
from trainables.base.errors import InvalidInput
from trainables.models.building import build_model


@pytest.fixture
def members(tmp_path: Path) -> str:
    path = tmp_path / "members.txt"
    np.savetxt(path, np.arange(0, 3000, 2), fmt="%d")
    return str(path)


@pytest.fixture
def dense(tmp_path: Path) -> str:
    path = tmp_path / "net.pt"
    network = build_model("lenet5", n_classes=10, image_shape=(1, 28, 28), seed=3)
    torch.save(network.state_dict(), path)
    return str(path)


def test_the_members_are_those_of_the_file_and_the_note_says_who_is_attacked(
    members: str, mnist5k_read_once: None
) -> None:
    inputs = load_inputs(*parse(["--members", members]))
    trained_on = np.union1d(inputs.split.members, inputs.split.common)
    assert trained_on.tolist() == list(range(0, 3000, 2))
    assert inputs.trained_on == 1500
    assert len(inputs.split.members) == len(inputs.split.non_members)
    attacked, common = len(inputs.split.members), len(inputs.split.common)
    assert inputs.notes[-1].startswith(f"The members are given: {attacked:,} of 1,500 are attacked")
    assert set(inputs.describe()["split_hashes"]) == set(inputs.describe()["split_sizes"])
    assert ("common" in inputs.describe()["split_sizes"]) == bool(common)


def test_the_network_is_read_into_the_inputs(
    members: str, dense: str, mnist5k_read_once: None
) -> None:
    inputs = load_inputs(*parse(["--members", members, "--dense", dense]))
    network = build_model("lenet5", n_classes=10, image_shape=(1, 28, 28), seed=3)
    for name, value in network.state_dict().items():
        assert np.array_equal(inputs.given[name], value.numpy())


def test_files_that_changed_since_the_run_began_are_refused(
    members: str, dense: str, mnist5k_read_once: None
) -> None:
    asked = parse(["--members", members, "--dense", dense])
    Path(members).write_text("1\n2\n")
    with pytest.raises(InvalidInput, match=r"--members .* has changed since the run began"):
        load_inputs(*asked)


def test_a_resumed_run_finds_the_same_files(members: str, dense: str) -> None:
    _, options = parse(["--members", members, "--dense", dense])
    _, resumed = parse(["--resume", "run"])
    before = json.loads(json.dumps(recorded(options)))
    again = as_before(resumed, before, print)
    assert (again.members, again.dense) == (options.members, options.dense)


def test_the_recorded_command_asks_for_the_same_settings(members: str, dense: str) -> None:
    words = ["--members", members, "--dense", dense, "--set", "training.epochs=7"]
    config, options = parse(words)
    recorded_words = shlex.split(command(config, recorded(options)))
    again, _ = parse(recorded_words[recorded_words.index("search.run") + 1 :])
    assert again == config


def test_the_recipe_is_fitted_only_where_nobody_said_how_the_references_are_trained(
    members: str, dense: str
) -> None:
    own = ["--members", members, "--dense", dense]
    assert parse(own)[0].fit_training
    assert not parse([*own, "--set", "training.epochs=40"])[0].fit_training
    assert not parse([*own, "--preset", "smoke"])[0].fit_training
    assert not parse([*own, "--defense", "early-stopping"])[0].fit_training
    assert not parse(["--members", members])[0].fit_training


def test_every_number_of_the_training_can_be_set() -> None:
    names = ("epochs=5", "batch_size=64", "optimizer=sgd", "learning_rate=0.2", "augment=true")
    words = [word for name in names for word in ("--set", f"training.{name}")]
    training = parse([*words, "--set", "training.weight_decay=0"])[0].training
    assert (training.epochs, training.batch_size, training.optimizer) == (5, 64, "sgd")
    assert (training.learning_rate, training.augment, training.weight_decay) == (0.2, True, 0.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dense", "FILE"], "needs what it was trained on"),
        (["--members", "MISSING"], "cannot be read: No such file"),
        (["--members", "FILE", "--limit", "900"], "leave --limit out"),
        (["--members", "FILE", "--duplicates", "drop"], "use together or keep"),
        (["--members", "FILE", "--dense", "FILE", "--canaries", "0.1"], "leave one of them out"),
        (["--members", "FILE", "--preset", "paper-table2-mnist-lenet5"], "the paper's, which drew"),
        (["--set", "training.epoch=3"], "did you mean epochs"),
        (["--set", "training.epochs=1.5"], "epochs is a whole number"),
        (["--set", "training.epochs=0"], "epochs must be at least 1"),
        (["--set", "training.optimizer=lion"], "must be adam or sgd"),
        (["--set", "training.augment=1"], "true"),
        (["--set", "training.learning_rate=fast"], "learning_rate is a number"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], said: str, members: str) -> None:
    files = {"FILE": members, "MISSING": members + "x"}
    with pytest.raises(InvalidInput, match=said):
        parse([files.get(word, word) for word in words])
