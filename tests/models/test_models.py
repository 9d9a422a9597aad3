"""Networks: published sizes, the layers that are pruned, and initialisation from a seed alone."""

import pytest
import torch
from torch import nn

from trainables.base.errors import InvalidInput
from trainables.models.building import build_model, layer_sizes
from trainables.models.macs import layer_macs
from trainables.models.prunable import prunable_layers
from trainables.models.registry import MODELS

CIFAR, MNIST = (3, 32, 32), (1, 28, 28)
FITTING = [(name, (3, side, side)) for name, spec in MODELS.items() for side in spec.sides]
EVERY = pytest.mark.parametrize("name", MODELS)


def build(name: str, n_classes: int = 10, shape: tuple[int, int, int] = CIFAR) -> nn.Module:
    return build_model(name, n_classes=n_classes, image_shape=shape, seed=0)


@pytest.mark.parametrize(
    ("name", "n_classes", "shape", "count"),
    [
        ("lenet5", 10, MNIST, 61_706),
        ("vgg16", 10, CIFAR, 14_728_266),
        ("resnet18", 10, CIFAR, 11_173_962),
        ("resnet18", 100, CIFAR, 11_220_132),
        ("mobilenetv2", 10, CIFAR, 2_236_682),
        ("cnn4", 10, CIFAR, 1_832_266),
        ("resnet18", 1000, (3, 224, 224), 11_689_512),
        ("mobilenetv2", 1000, (3, 224, 224), 3_504_872),
    ],
)
def test_parameter_counts_are_the_published_ones(name, n_classes, shape, count) -> None:
    assert sum(p.numel() for p in build(name, n_classes, shape).parameters()) == count


@pytest.mark.parametrize(("name", "shape"), FITTING)
@pytest.mark.parametrize("n_classes", [2, 100])
def test_images_in_logits_out(name, shape, n_classes) -> None:
    model = build(name, n_classes, shape).eval()
    with torch.inference_mode():
        logits = model(torch.zeros(2, *shape))
    assert logits.shape == (2, n_classes)
    assert torch.isfinite(logits).all()


@EVERY
def test_prunable_layers_come_in_the_order_in_which_they_run(name) -> None:
    model, order = build(name).eval(), []
    for layer, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, layer=layer: order.append(layer))
    with torch.inference_mode():
        model(torch.zeros(1, *CIFAR))
    assert [layer for layer in order if layer in prunable_layers(model)] == list(
        prunable_layers(model)
    )


@EVERY
def test_every_weight_but_norms_and_biases_is_prunable(name) -> None:
    model = build(name)
    left = {id(p) for p in model.parameters()} - {id(w) for w in prunable_layers(model).values()}
    names = {key for key, p in model.named_parameters() if id(p) in left}
    norms = {key for key, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert all(key.endswith(".bias") or key.rpartition(".")[0] in norms for key in names)
    assert all(weight.dim() in (2, 4) for weight in prunable_layers(model).values())
    assert not norms & set(prunable_layers(model))


def test_the_numbers_of_prunable_layers() -> None:
    counts = {name: len(prunable_layers(build(name))) for name in MODELS}
    assert counts == {"lenet5": 5, "vgg16": 14, "resnet18": 21, "mobilenetv2": 53, "cnn4": 5}


@pytest.mark.parametrize(("name", "shape"), FITTING)
def test_layer_sizes_are_those_of_the_real_network(name, shape) -> None:
    real = {layer: w.numel() for layer, w in prunable_layers(build(name, 7, shape)).items()}
    assert list(layer_sizes(name, 7, shape).items()) == list(real.items())


def test_lenet5s_multiply_accumulates_by_hand() -> None:
    assert layer_macs(build("lenet5", shape=MNIST), MNIST) == {
        "conv1": 28 * 28 * 6 * 25,
        "conv2": 10 * 10 * 16 * 6 * 25,
        "fc1": 400 * 120,
        "fc2": 120 * 84,
        "fc3": 84 * 10,
    }
    assert sum(layer_macs(build("lenet5", shape=MNIST), MNIST).values()) == 416_520


@EVERY
def test_multiply_accumulates_equal_the_formula_of_each_layer(name) -> None:
    model, outputs = build(name).eval(), {}
    for layer in prunable_layers(model):
        model.get_submodule(layer).register_forward_hook(
            lambda _m, _i, output, layer=layer: outputs.update({layer: output.shape})
        )
    with torch.inference_mode():
        model(torch.zeros(1, *CIFAR))
    expected = {}
    for layer, shape in outputs.items():
        module = model.get_submodule(layer)
        if isinstance(module, nn.Conv2d):
            each = module.in_channels // module.groups * module.kernel_size[0] ** 2
            expected[layer] = shape[1] * shape[2] * shape[3] * each
        else:
            expected[layer] = module.in_features * module.out_features
    assert layer_macs(model, CIFAR) == expected


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_network_as_it_was(training) -> None:
    model = build("resnet18").train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    layer_macs(model, CIFAR)
    assert model.training is training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@EVERY
def test_a_seed_fixes_every_weight(name) -> None:
    one, same, other = (
        build_model(name, n_classes=10, image_shape=CIFAR, seed=seed).state_dict()
        for seed in (3, 3, 4)
    )
    assert all(torch.equal(one[key], same[key]) for key in one)
    weights = [key for key, value in one.items() if value.dim() > 1]
    assert not any(torch.equal(one[key], other[key]) for key in weights)


@EVERY
def test_building_leaves_torchs_global_generator_alone(name) -> None:
    before = torch.get_rng_state()
    build(name)
    layer_sizes(name, 10, CIFAR)
    assert torch.equal(torch.get_rng_state(), before)


def test_vgg16_passes_a_signal_of_unit_scale_through_its_layers() -> None:
    model = build("vgg16").train()
    images = torch.randn(32, *CIFAR, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert 0.05 < float(model(images).std()) < 5


@pytest.mark.parametrize(
    ("name", "shape", "hint"),
    [
        ("vgg16", (1, 28, 28), "use lenet5 or resnet18 or mobilenetv2 or cnn4"),
        ("lenet5", (3, 96, 96), "use another data set"),
        ("lenet5", (3, 224, 224), "use resnet18 or mobilenetv2"),
        ("resnet18", (3, 32, 28), "does not take 32 x 28 images: use another data set"),
        ("resnet19", CIFAR, "did you mean resnet18"),
        ("zzz", CIFAR, "there are lenet5"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(name, shape, hint) -> None:
    for use in (lambda: build(name, shape=shape), lambda: layer_sizes(name, 10, shape)):
        with pytest.raises(InvalidInput, match=hint) as caught:
            use()
        assert "\n" not in str(caught.value)
