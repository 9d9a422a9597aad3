"""Published weights: found where they lie, checked, and one clear line where they are not."""

import shutil

import pytest
import torch
from torchvision import models

from trainables.base.errors import InvalidInput
from trainables.models.building import build_model
from trainables.models.imagenet import published_weights
from trainables.models.registry import PUBLISHED

FILES = {name: url.rpartition("/")[2] for name, url in PUBLISHED.items()}
EVERY = pytest.mark.parametrize("name", PUBLISHED)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    for variable in ("http_proxy", "https_proxy"):  # no network, also where there is one
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@EVERY
def test_the_weights_are_those_of_the_papers_baseline(name):
    weights, printed = {  # Table 3, in per cent
        "resnet18": (models.ResNet18_Weights.IMAGENET1K_V1, 69.76),
        "mobilenetv2": (models.MobileNet_V2_Weights.IMAGENET1K_V1, 71.88),
    }[name]
    assert weights.url == PUBLISHED[name]
    metrics = weights.meta["_metrics"]["ImageNet-1K"]
    assert metrics["acc@1"] == pytest.approx(printed, abs=0.005)


@EVERY
@pytest.mark.parametrize("cached", [False, True])
def test_a_file_is_read_from_the_data_folder_or_from_torchs_cache(
    name, cached, imagenet_folder, empty_cache
):
    if cached:
        empty_cache.mkdir(parents=True)
        shutil.copy(imagenet_folder / FILES[name], empty_cache)
    found = published_weights(name, None if cached else imagenet_folder)
    network = build_model(name, n_classes=1000, image_shape=(3, 224, 224), seed=0)
    network.load_state_dict(found)
    expected = build_model(name, n_classes=1000, image_shape=(3, 224, 224), seed=7).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())


@EVERY
def test_without_file_and_network_one_line_says_what_to_fetch_and_where_to_put_it(name, tmp_path):
    with pytest.raises(InvalidInput) as caught:
        published_weights(name, tmp_path)
    line = str(caught.value)
    assert "\n" not in line
    assert PUBLISHED[name] in line
    assert str(tmp_path / FILES[name]) in line


def test_a_file_of_another_network_is_refused(imagenet_folder, tmp_path):
    shutil.copy(imagenet_folder / FILES["resnet18"], tmp_path / FILES["mobilenetv2"])
    with pytest.raises(InvalidInput, match="does not hold weights of mobilenetv2"):
        published_weights("mobilenetv2", tmp_path)


@pytest.mark.parametrize("content", [b"", b"junk" * 9])
def test_a_damaged_file_is_refused(content, tmp_path):
    (tmp_path / FILES["resnet18"]).write_bytes(content)
    with pytest.raises(InvalidInput, match="cannot be read"):
        published_weights("resnet18", tmp_path)


def test_weights_without_the_published_checksum_are_said_to_be_your_own(imagenet_folder, caplog):
    published_weights("resnet18", imagenet_folder)
    assert "does not have the published checksum" in caplog.text
