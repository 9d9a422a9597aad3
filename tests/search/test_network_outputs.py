"""`--dense`: a network by its weights and the list of its members, to figures and a page."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from search import measure, measured
from tests.models import test_onnx
from trainables.data.device import DeviceImages
from trainables.data.registry import DATASETS, load_images
from trainables.models.building import build_model
from trainables.models.weights import save_weights

MEMBERS = np.arange(0, 5000, 25)


def lenet5(seed: int = 0) -> torch.nn.Module:
    return build_model("lenet5", n_classes=10, image_shape=(1, 28, 28), seed=seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LeNet-5 that learned 200 images by heart, as a file, and the list of them."""
    made = tmp_path_factory.mktemp("trained")
    spec = DATASETS["mnist5k"]
    images = DeviceImages.of(load_images("mnist5k", None), spec)
    network, chosen = lenet5(), torch.from_numpy(MEMBERS)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = functional.cross_entropy(network(images.batch(chosen)), images.labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_weights(network, made / "net.safetensors")
    torch.save({f"module.{k}": v for k, v in network.state_dict().items()}, made / "net.pt")
    (made / "members.txt").write_text("\n".join(map(str, MEMBERS)))
    (made / "others.txt").write_text("\n".join(map(str, MEMBERS + 1)))
    return made


def words(folder: Path, *more: str, weights: str = "net.pt") -> list[str]:
    given = ["--dense", str(folder / weights), "--dataset", "mnist5k", "--model", "lenet5"]
    return [*given, "--members", str(folder / "members.txt"), *more]


@pytest.mark.slow
def test_a_network_is_measured_on_many_more_non_members_than_members(
    folder: Path, tmp_path: Path, capsys
) -> None:
    assert measure.main(words(folder, "--out", str(tmp_path / "out"))) == 0
    said = capsys.readouterr().out
    assert "tell members from non-members" in said
    assert "200 members and 4,800 non-members" in said
    figures = json.loads((tmp_path / "out" / measured.RESULT).read_text())
    assert figures["on_members"]["accuracy"] > figures["on_non_members"]["accuracy"] + 0.05
    assert figures["doubts"] == []
    assert "net.pt" in (tmp_path / "out" / measured.PAGE).read_text()


@pytest.mark.slow
def test_both_formats_and_listed_non_members(folder: Path, capsys) -> None:
    outputs = []
    for weights in ("net.pt", "net.safetensors"):
        some = ("--non-members", str(folder / "others.txt"))
        assert measure.main(words(folder, *some, weights=weights)) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert "200 members and 200 non-members" in outputs[0]


@pytest.mark.slow
def test_a_quantised_onnx_network_is_measured(folder: Path, tmp_path: Path, capsys) -> None:
    """Least squares on 200 images of 784 pixels learns each of them by heart."""
    spec = DATASETS["mnist5k"]
    images = DeviceImages.of(load_images("mnist5k", None), spec)
    chosen = torch.from_numpy(MEMBERS)
    pixels = images.batch(chosen).flatten(1).double().numpy()
    answers = np.eye(10)[images.labels[chosen].numpy()]
    weights = 20 * np.linalg.lstsq(pixels, answers, rcond=None)[0]
    path, _ = test_onnx.written(tmp_path, shape=spec.image_shape, quantised=True, weights=weights)
    given = ["--dense", str(path), *words(folder)[2:4], *words(folder)[6:]]
    assert measure.main([*given, "--non-members", str(folder / "others.txt")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("The outputs tell members from non-members")
    assert "200 members and 200 non-members" in said


@pytest.mark.slow
def test_an_untrained_network_is_doubted_first(folder: Path, tmp_path: Path, capsys) -> None:
    save_weights(lenet5(seed=1), tmp_path / "new.safetensors")
    given = words(folder)
    given[1] = str(tmp_path / "new.safetensors")
    assert measure.main([*given, "--non-members", str(folder / "others.txt")]) == 0
    assert capsys.readouterr().out.startswith("The members do not look trained on: ")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"--dataset": "mnist6k"}, "--dataset 'mnist6k' is unknown: did you mean mnist5k?"),
        ({"--model": "lenet"}, "--model 'lenet' is unknown: did you mean lenet5?"),
        ({"--model": "cnn4"}, "conv1.weight has the shape (6, 1, 5, 5), not (64, 1, 5, 5), and 8"),
        ({"--dense": "none.pt"}, "No such file"),
        ({"--members": "none.txt"}, "No such file"),
        ({"--members": None}, "--dense needs --members"),
        ({"--non-members": "members.txt"}, "200 images are members and non-members"),
        ({"--non-members": "few.txt"}, "200 members and 3 non-members are too few"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    folder: Path, tmp_path: Path, capsys, changed, says
) -> None:
    (folder / "few.txt").write_text("1\n2\n3\n")
    given = words(folder)
    pairs = dict(zip(given[::2], given[1::2], strict=True)) | changed
    for name, value in changed.items():
        if value is None:
            del pairs[name]
        elif value.endswith((".txt", ".pt")):
            pairs[name] = str(folder / value)
    out = tmp_path / "out"
    flat = [word for pair in pairs.items() for word in pair]
    assert measure.main([*flat, "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert not out.exists()
