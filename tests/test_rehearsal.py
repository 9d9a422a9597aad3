"""Every kind of network that users bring goes through a whole run or is refused in one line."""

import dataclasses
import re

import pytest

from search.recipes import recipe
from tests import networks
from trainables.base.errors import InvalidInput
from trainables.config import TrialConfig
from trainables.data.registry import DATASETS
from trainables.defenses.registry import DEFENSES
from trainables.models.registry import MODELS
from trainables.plugin import register_dataset, register_model
from trainables.rehearsal import rehearse


@pytest.fixture(autouse=True)
def registries_as_before():
    """What a test registers is gone after it."""
    saved = {**MODELS}, {**DATASETS}
    register_dataset(
        "tiny",
        lambda folder: [],
        n_classes=networks.CLASSES,
        image_shape=networks.SHAPE,
        default_model="mine",
    )
    yield
    for registry, before in zip((MODELS, DATASETS), saved, strict=True):
        registry.clear()
        registry.update(before)


def config(make, defense: str = "pruning", pruner: str = "admm", **changes: object) -> TrialConfig:
    MODELS.pop("mine", None)
    register_model("mine", make)
    settings = recipe("mnist5k", "lenet5")
    numbers = DEFENSES[defense].numbers(settings.training.epochs, settings.training.optimizer)
    made = TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=0,
        dataset="tiny",
        model="mine",
        n=(),
        defense=defense,
        pruner=pruner,
        parameters={name: number.default for name, number in numbers.items()},
        training=settings.training,
        admm=settings.admm,
        attack=settings.attack,
    )
    return dataclasses.replace(made, **changes)


@pytest.mark.parametrize("make", networks.SOUND.values(), ids=networks.SOUND)
def test_a_sound_network_goes_through(make) -> None:
    rehearse(config(make))


@pytest.mark.parametrize("make", networks.REFUSED, ids=lambda make: make.__name__)
def test_an_unsound_network_is_refused_in_one_line(make) -> None:
    says = networks.REFUSED[make]
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        rehearse(config(make))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("defense", [name for name in DEFENSES if name not in ("dp", "pruning")])
@pytest.mark.parametrize("make", [networks.batch_norm, networks.tied, networks.float64])
def test_the_defence_asked_for_is_rehearsed(make, defense) -> None:
    rehearse(config(make, defense))


@pytest.mark.parametrize(
    "make",
    [
        networks.two_layers,
        networks.batch_norm,
        networks.view_after_conv,
        networks.VisionTransformer,
        networks.called_three_times,
        networks.conv3d,
        networks.tuple_in_training,
    ],
    ids=lambda make: make.__name__,
)
def test_differential_privacy_is_rehearsed(make) -> None:
    rehearse(config(make, "dp"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (networks.patches_in_the_batch, "the layer of 'a.weight' counts one image as 4"),
        (networks.functional_weight, "f"),
        (networks.bfloat16, "--defense dp"),
        (networks.spectral, "--defense dp"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_network_whose_images_cannot_be_clipped_one_by_one_is_refused(make, says) -> None:
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        rehearse(config(make, "dp"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pruner", ["magnitude", "lottery"])
def test_the_pruner_asked_for_is_rehearsed(pruner) -> None:
    rehearse(config(networks.VisionTransformer, pruner=pruner))
