"""The forms of a winner: what is written, what is measured of it, what is refused."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

from search.forms import FILES, MAKERS, as_onnx, as_sparse, as_torch
from search.inputs import Inputs, load_inputs
from search.machine_options import Options
from search.parser import parse
from search.record.runfolder import RunFolder
from search.shipped import FORMS_FILE, forms_with, read_forms, ship, write_forms
from search.winner import winner_of
from trainables.attacks.digest import digest_of, save_digest
from trainables.base.errors import InvalidInput
from trainables.models.building import build_model
from trainables.models.prunable import prunable_layers
from trainables.models.weights import save_weights
from trainables.pruning.projection import keep_largest
from trainables.training import accuracy, make_optimizer
from trainables.trial import DIGEST_FILE, MODEL_FILE

CONFIG, _ = parse(["--preset", "smoke"])


@pytest.fixture(scope="module")
def inputs(mnist5k) -> Inputs:
    """Of the smoke run."""
    with pytest.MonkeyPatch.context() as patch:
        from trainables.data.registry import DATASETS

        spec = dataclasses.replace(DATASETS["mnist5k"], load=lambda _folder: mnist5k)
        patch.setitem(DATASETS, "mnist5k", spec)
        return load_inputs(CONFIG, Options(out=Path("run")))


@pytest.fixture(scope="module")
def pruned(mnist5k_cohort) -> torch.nn.Module:
    """A LeNet-5 trained on the members for moments, before and after nine tenths were pruned."""
    images, members = mnist5k_cohort.images, mnist5k_cohort.members
    network = build_model("lenet5", n_classes=10, image_shape=(1, 28, 28), seed=0)
    weights = list(prunable_layers(network).values())
    generator = torch.Generator().manual_seed(0)
    for share in (1, 10):
        masks = [keep_largest(weight, weight.numel() // share) != 0 for weight in weights]
        optimizer = make_optimizer(network, "adam", 3e-3, 0.0)
        orders = [members[torch.randperm(len(members), generator=generator)] for _ in range(3)]
        for part in torch.split(torch.cat(orders), 50):
            optimizer.zero_grad()
            cross_entropy(network(images.batch(part)), images.labels[part]).backward()
            optimizer.step()
            with torch.no_grad():
                for weight, mask in zip(weights, masks, strict=True):
                    weight.mul_(mask)
    assert accuracy(network, images, mnist5k_cohort.validation) > 0.7
    return network


@pytest.fixture
def folder(tmp_path: Path, pruned: torch.nn.Module) -> RunFolder:
    """A run whose winner is that network."""
    found = RunFolder(tmp_path / "run")
    found.winner.mkdir(parents=True)
    save_weights(pruned, found.winner / MODEL_FILE)
    return found


def with_references(
    folder: RunFolder, inputs: Inputs, rank: int, stage: str = "references-0"
) -> None:
    """What the models of a vector leave: those of other ranks and rounds are not its references."""
    audited = np.concatenate([inputs.split.members, inputs.split.non_members])
    generator = np.random.default_rng(0)
    for half in range(1, CONFIG.models):
        trial = folder.tune / stage / f"reference-{rank * CONFIG.models + half:04d}"
        (trial / "checkpoint_000000").mkdir(parents=True)
        logits = generator.normal(size=(len(audited), 10))
        digest = digest_of(logits, inputs.images.labels[audited])
        save_digest(digest, trial / "checkpoint_000000" / DIGEST_FILE)


def test_every_form_is_written_and_attacked_as_it_is(folder: RunFolder, inputs: Inputs) -> None:
    with_references(folder, inputs, rank=3)
    said: list[str] = []
    ship(CONFIG, inputs, folder, folder.winner, "confirm-0003", said.append)
    (once,) = said
    assert once.endswith("are made, and attacked as they ship")
    forms = read_forms(folder.winner)
    assert forms is not None
    assert "pixels / 255, less [0.1307], divided by [0.3081]" in forms["input"]
    own, onnx, *sparse = forms["forms"]
    assert [own["file"], onnx["file"]] == [MODEL_FILE, FILES["onnx"]]
    assert (own["other_classes"], own["largest_difference"]) == (0, 0)
    assert (onnx["other_classes"], onnx["test_images"]) == (0, 1000)
    assert 0 < onnx["largest_difference"] < 1e-4
    assert onnx["excess_gain"] == pytest.approx(own["excess_gain"], abs=1e-3)
    assert {one["stored"] for one in sparse} == {"int8", "float16"}
    assert [one["ships"] for one in sparse].count(True) == 1
    for one in (own, onnx, *sparse):
        assert one["references"] == CONFIG.models - 2
        assert -0.1 < one["excess_gain"] < 0.2
    shipped = next(one for one in sparse if one["ships"])
    assert shipped["bytes"] == len((folder.winner / FILES["sparse"]).read_bytes())
    assert shipped["dense_bytes"] == 4 * 61_706
    assert shipped["dense_bytes"] / shipped["bytes"] >= 1.2 * 10
    assert sparse[0]["excess_gain"] != own["excess_gain"]  # it was attacked on outputs of its own


def test_another_folder_with_the_same_weights_gets_the_same_files(
    folder: RunFolder, inputs: Inputs, pruned: torch.nn.Module
) -> None:
    ship(CONFIG, inputs, folder, folder.winner, "confirm-0000", print)
    level = folder.front / "0.05"
    level.mkdir(parents=True)
    save_weights(pruned, level / MODEL_FILE)
    ship(CONFIG, inputs, folder, level, "confirm-0000", print)
    for name in (FILES["onnx"], FILES["sparse"], "forms.json"):
        assert (level / name).read_bytes() == (folder.winner / name).read_bytes()
    before = (folder.winner / "forms.json").stat().st_mtime_ns
    ship(CONFIG, inputs, folder, folder.winner, "confirm-0000", print)  # a resumed run
    assert (folder.winner / "forms.json").stat().st_mtime_ns == before


def test_what_a_kill_left_without_its_figures_is_measured_anew(
    folder: RunFolder, inputs: Inputs
) -> None:
    ship(CONFIG, inputs, folder, folder.winner, "confirm-0000", print)
    whole = (folder.winner / FORMS_FILE).read_text()
    for left in ("", "{"):
        (folder.winner / FORMS_FILE).write_text(left)
        ship(CONFIG, inputs, folder, folder.winner, "confirm-0000", print)
        assert (folder.winner / FORMS_FILE).read_text() == whole


def test_a_form_that_was_exported_besides_outlives_a_resume(
    folder: RunFolder, inputs: Inputs, pruned: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "onnx", None)
        for target in (folder.winner, folder.front / "0.05"):
            target.mkdir(parents=True, exist_ok=True)
            save_weights(pruned, target / MODEL_FILE)
            ship(CONFIG, inputs, folder, target, "confirm-0000", print)
    winner = winner_of(CONFIG, inputs, folder, folder.winner, "confirm-0000")
    made = {"torch": as_torch(winner)}
    write_forms(folder.winner, made, forms_with(folder.winner, winner, made))
    ship(CONFIG, inputs, folder, folder.winner, "confirm-0000", print)  # now with the extra
    files = {one["file"] for one in (read_forms(folder.winner) or {})["forms"]}
    assert files == {MODEL_FILE, *FILES.values()}


def test_the_references_of_a_published_allocation_that_wins_attack_its_forms(
    folder: RunFolder, inputs: Inputs
) -> None:
    with_references(folder, inputs, rank=5, stage="references-comparators")
    winner = winner_of(CONFIG, inputs, folder, folder.winner, "confirm-0005")
    assert winner.own_record()["references"] == CONFIG.models - 2


def test_whatever_a_form_meets_the_weights_ship(
    folder: RunFolder, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(winner: object) -> None:
        raise ZeroDivisionError("of a user's layer")

    monkeypatch.setitem(MAKERS, "onnx", broken)  # as a user's own network may
    said: list[str] = []
    ship(CONFIG, inputs, folder, folder.winner, "confirm-0000", said.append)
    assert said[-1] == "No model.onnx: of a user's layer"
    assert (folder.winner / FILES["sparse"]).exists()
    (folder.winner / MODEL_FILE).write_bytes(b"torn")
    (folder.winner / FORMS_FILE).unlink()
    ship(CONFIG, inputs, folder, folder.winner, "confirm-0000", said.append)
    assert said[-1].startswith(f"Only {MODEL_FILE} ships: ")
    assert "is damaged" in said[-1]


def test_without_the_extra_the_rest_ships(
    folder: RunFolder, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    said: list[str] = []
    ship(CONFIG, inputs, folder, folder.winner, "confirm-0000", said.append)
    _, left_out = said
    assert left_out.startswith("No model.onnx: ")
    assert "pip install 'prune-privacy[onnx]'" in left_out
    assert not (folder.winner / FILES["onnx"]).exists()
    assert (folder.winner / FILES["sparse"]).exists()
    assert {one["references"] for one in (read_forms(folder.winner) or {})["forms"]} == {0}


def test_where_int8_costs_accuracy_float16_ships(folder: RunFolder, inputs: Inputs) -> None:
    weights = load_file(folder.winner / MODEL_FILE)
    weights["fc1.weight"][0, 0] = 300.0  # a step of int8 is then larger than all others
    weights["fc2.weight"][:, 0] = 0.0  # and it changes no answer
    save_file(weights, folder.winner / MODEL_FILE)
    winner = winner_of(CONFIG, inputs, folder, folder.winner, "confirm-0000")
    content, records = as_sparse(winner)
    by_precision = {record["stored"]: record for record in records}
    assert by_precision["float16"]["ships"]
    assert not by_precision["int8"]["ships"]
    assert len(content) == by_precision["float16"]["bytes"]
    lost = winner.own_record()["test_accuracy"] - by_precision["int8"]["test_accuracy"]
    assert lost > 0.01


def test_dead_channels_are_not_in_the_files_that_hold_the_network(
    folder: RunFolder, inputs: Inputs
) -> None:
    weights = load_file(folder.winner / MODEL_FILE)
    weights["fc1.weight"][:20] = 0.0
    weights["conv2.weight"][:, 3] = 0.0
    save_file(weights, folder.winner / MODEL_FILE)
    winner = winner_of(CONFIG, inputs, folder, folder.winner, "confirm-0000")
    for make in (as_onnx, as_torch):
        content, (record,) = make(winner)
        assert record["taken"]["fc1"] >= 20
        assert record["taken"]["conv1"] >= 1
        assert record["other_classes"] == 0
        assert record["largest_difference"] < 1e-4
        assert len(content) < 0.9 * record["dense_bytes"]


def test_a_network_that_does_not_answer_for_itself_is_no_form(
    folder: RunFolder, inputs: Inputs
) -> None:
    config = dataclasses.replace(CONFIG, defense="memguard")
    with pytest.raises(InvalidInput, match="--defense memguard"):
        winner_of(config, inputs, folder, folder.winner, "confirm-0000")
    said: list[str] = []
    ship(config, inputs, folder, folder.winner, "confirm-0000", said.append)
    assert said[-1].startswith("Only model.safetensors ships")
    assert [file.name for file in folder.winner.iterdir()] == [MODEL_FILE]


def test_weights_of_another_network_are_refused(folder: RunFolder, inputs: Inputs) -> None:
    config = dataclasses.replace(CONFIG, model="cnn4")
    winner = winner_of(config, inputs, folder, folder.winner, "confirm-0000")
    with pytest.raises(InvalidInput, match="is not of cnn4"):
        winner.network()


def test_what_was_measured_is_plain_json(folder: RunFolder, inputs: Inputs) -> None:
    ship(CONFIG, inputs, folder, folder.winner, "confirm-0000", print)
    text = (folder.winner / "forms.json").read_text()
    assert json.loads(text) == read_forms(folder.winner)
