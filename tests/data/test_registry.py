"""Every data set in the registry is one that a run can use."""

import numpy as np
import pytest
import torch

from trainables.base.errors import InvalidInput
from trainables.data.images import Images
from trainables.data.registry import DATASETS, load_images
from trainables.data.split import PARTS
from trainables.models.building import build_model
from trainables.models.registry import MODELS


@pytest.mark.parametrize("name", DATASETS)
def test_a_data_set_is_coherent(name) -> None:
    spec = DATASETS[name]
    assert set(spec.fractions) == set(PARTS)
    assert sum(spec.fractions.values()) <= 1 + 1e-12
    assert spec.fractions["members"] == spec.fractions["non_members"] > 0
    assert len(spec.mean) == len(spec.std) == spec.image_shape[0]
    assert all(0 < value < 1 for value in (*spec.mean, *spec.std))
    assert spec.default_model in MODELS


@pytest.mark.parametrize("name", DATASETS)
def test_the_default_model_takes_the_images(name) -> None:
    spec = DATASETS[name]
    model = build_model(
        spec.default_model, n_classes=spec.n_classes, image_shape=spec.image_shape, seed=0
    ).eval()
    with torch.inference_mode():
        assert model(torch.zeros(2, *spec.image_shape)).shape == (2, spec.n_classes)


@pytest.mark.parametrize("name", ["mnist5k", "cifar10", "cifar100"])
def test_images_have_the_announced_shape_and_classes(name, request) -> None:
    fixture = request.getfixturevalue(name if name == "mnist5k" else f"{name}_folder")
    images = fixture if isinstance(fixture, Images) else load_images(name, fixture)
    assert images.pixels.shape[1:] == DATASETS[name].image_shape
    assert np.unique(images.labels).tolist() == list(range(DATASETS[name].n_classes))


def test_mnists_statistics_are_those_of_its_images(mnist5k: Images) -> None:
    scaled = mnist5k.pixels / 255
    assert scaled.mean() == pytest.approx(DATASETS["mnist"].mean[0], abs=0.003)
    assert scaled.std() == pytest.approx(DATASETS["mnist"].std[0], abs=0.003)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("cifar1O", "did you mean cifar10"), ("mnist5", "mnist"), ("zzz", "there are mnist5k")],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, hint) -> None:
    with pytest.raises(InvalidInput, match=hint) as caught:
        load_images(name, None)
    assert "\n" not in str(caught.value)
