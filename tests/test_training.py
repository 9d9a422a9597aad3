"""The training loop: what is decayed, what diverges, and evaluation that changes nothing."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from trainables.base.seeding import torch_generator
from trainables.data.device import DeviceImages
from trainables.data.images import Images
from trainables.data.registry import DATASETS
from trainables.models.building import build_model
from trainables.models.prunable import prunable_layers
from trainables.training import (
    DivergedError,
    Epoch,
    accuracy,
    batch_sizes,
    cosine,
    make_optimizer,
    predict,
    reestimate_batch_norm,
)

SHAPE = (3, 28, 28)


@pytest.fixture
def digits(mnist5k: Images) -> DeviceImages:
    return DeviceImages.of(mnist5k, DATASETS["mnist5k"])


@pytest.fixture
def members(mnist5k: Images) -> torch.Tensor:
    return torch.arange(0, 5000, 20)


def lenet5() -> nn.Module:
    return build_model("lenet5", n_classes=10, image_shape=(1, 28, 28), seed=0)


class Normed(nn.Module):
    """A batch norm straight on the images, so that its exact statistics are known."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, momentum=0.2)
        self.linear = nn.Linear(784, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(self.norm(images).flatten(1))


def epoch(images: DeviceImages, members: torch.Tensor, seed: int = 0, **changes: object) -> Epoch:
    settings = {"batch_size": 32, "augment": False, **changes}
    return Epoch(images, members, generator=torch_generator(seed, "batches"), **settings)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_weight_decay_acts_on_the_prunable_weights_only(name) -> None:
    model = build_model("resnet18", n_classes=10, image_shape=SHAPE, seed=0)
    optimizer = make_optimizer(model, name, 0.1, 0.5)
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    decayed = {key for key, p in model.named_parameters() if not torch.equal(p, before[key])}
    assert decayed == {f"{layer}.weight" for layer in prunable_layers(model)}
    for key in decayed:  # one step of rate 0.1 against 0.5 times the weight; Nesterov adds 0.9
        factor = 0.95 if name == "adam" else 1 - 0.1 * 0.5 * 1.9
        torch.testing.assert_close(model.get_parameter(key), before[key] * factor)


def test_the_cosine_starts_at_the_rate_halves_in_the_middle_and_never_reaches_zero() -> None:
    rates = [cosine(0.2, step, 10) for step in range(10)]
    assert rates[0] == 0.2
    assert rates[5] == pytest.approx(0.1)
    assert all(after < before for before, after in itertools.pairwise(rates))
    assert rates[-1] > 0
    assert cosine(0.2, 10, 10) == pytest.approx(0, abs=1e-12)


def test_the_loss_falls_and_each_member_is_seen_once_an_epoch(digits, members) -> None:
    model = lenet5()
    optimizer = make_optimizer(model, "adam", 1e-3, 0.0)
    one = epoch(digits, members)
    assert one.steps == math.ceil(250 / 32)
    results = [one.train(model, optimizer, learning_rate=lambda _: 2e-3) for _ in range(4)]
    assert results[-1][0] < results[0][0] < 2.5
    assert results[-1][1] > results[0][1]
    seen = torch.cat([labels for _, labels in one._batches()])
    assert torch.equal(seen.sort().values, digits.labels[members].sort().values)


def test_hooks_see_the_gradients_and_then_the_new_weights(digits, members) -> None:
    model, rates, weights = lenet5(), [], [None]
    optimizer = make_optimizer(model, "sgd", 1.0, 0.0)
    weight = model.get_parameter("fc3.weight")

    def before_step() -> None:
        weights[0] = weight.detach().clone()
        rates.append(optimizer.param_groups[0]["lr"])
        weight.grad.zero_()

    def after_step() -> None:
        assert torch.equal(weight, weights[0])  # the hook before zeroed its gradient
        weights[0] = None

    one = epoch(digits, members)
    one.train(
        model,
        optimizer,
        learning_rate=lambda step: 1e-3 * (step + 1),
        before_step=before_step,
        after_step=after_step,
    )
    assert weights == [None]
    assert rates == [1e-3 * (step + 1) for step in range(one.steps)]


@pytest.mark.parametrize("augment", [True, False])
def test_the_generator_decides_order_and_crops(digits, members, augment) -> None:
    def trained(seed: int) -> torch.Tensor:
        model = lenet5()
        optimizer = make_optimizer(model, "adam", 1e-3, 0.0)
        one = epoch(digits, members, seed, augment=augment)
        one.train(model, optimizer, learning_rate=lambda _: 1e-3)
        return model.get_parameter("fc1.weight").detach()

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


def test_a_loss_that_is_no_number_ends_the_epoch_as_diverged(digits, members) -> None:
    model = lenet5()
    with torch.no_grad():
        model.get_parameter("fc3.bias")[0] = math.nan
    with pytest.raises(DivergedError, match="nan"):
        epoch(digits, members).train(
            model, make_optimizer(model, "adam", 1e-3, 0.0), learning_rate=lambda _: 1e-3
        )


def test_prediction_is_in_evaluation_mode_and_leaves_the_statistics_alone(digits, members) -> None:
    model = Normed().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    logits = predict(model, digits, members)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    expected = model.eval()(digits.batch(members))  # running mean 0 and variance 1: no batch norm
    torch.testing.assert_close(logits, expected.detach())
    assert logits.dtype == torch.float32
    assert not logits.requires_grad


def test_the_batches_of_an_evaluation_decide_nothing(digits, members, monkeypatch) -> None:
    model = lenet5()
    whole = predict(model, digits, members)
    monkeypatch.setattr(DeviceImages, "at_once", 7)
    torch.testing.assert_close(predict(model, digits, members), whole)


def test_accuracy_counts_what_is_right(digits) -> None:
    class Always(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return nn.functional.one_hot(torch.full((len(images),), 3), 10).float()

    threes = torch.nonzero(digits.labels == 3).flatten()
    others = torch.nonzero(digits.labels == 5).flatten()
    assert accuracy(Always(), digits, threes) == 1.0
    assert accuracy(Always(), digits, torch.cat([threes[:1], others[:3]])) == 0.25


def test_reestimated_statistics_are_those_of_the_images(digits, members) -> None:
    model = Normed()
    with torch.no_grad():
        model.norm.running_mean.fill_(5)
    reestimate_batch_norm(model, digits, members)
    values = digits.batch(members).numpy().astype(np.float64)
    assert float(model.norm.running_mean) == pytest.approx(values.mean(), rel=1e-4)
    assert float(model.norm.running_var) == pytest.approx(values.var(ddof=1), rel=1e-4)
    assert model.norm.momentum == 0.2


def test_reestimation_weighs_every_image_alike(digits, monkeypatch) -> None:
    monkeypatch.setattr(DeviceImages, "at_once", 100)
    order = torch.argsort(digits.pixels.flatten(1).float().mean(1), stable=True)
    dark, bright = order[:100], order[-2:]  # the second batch holds two images
    chosen = torch.cat([dark, bright])
    model = Normed()
    reestimate_batch_norm(model, digits, chosen)
    assert float(model.norm.running_mean) == pytest.approx(
        float(digits.batch(chosen).double().mean()), rel=1e-3
    )


def test_reestimation_leaves_a_network_without_norms_alone(digits, members) -> None:
    model = lenet5().eval()
    reestimate_batch_norm(model, digits, members)
    assert not model.training


@given(count=st.integers(1, 400), batch_size=st.integers(1, 70))
def test_a_pass_holds_every_image_once_and_never_a_single_one_at_its_end(count, batch_size) -> None:
    sizes = batch_sizes(count, batch_size)
    assert sum(sizes) == count
    assert max(sizes) <= max(batch_size, 3 if batch_size == 2 else 0)
    if batch_size > 1 and count > 1:
        assert min(sizes) > 1
    if (
        count % batch_size != 1 or batch_size == 1
    ):  # as torch.split, which no seed of old runs moves
        assert sizes == [len(part) for part in torch.arange(count).split(batch_size)]


def test_batch_norm_trains_where_one_image_would_be_left(digits, members) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    optimizer = make_optimizer(model, "adam", 1e-3, 0.0)
    epoch(digits, members[:33]).train(model, optimizer, learning_rate=lambda _: 1e-3)


class Kept(Normed):
    """Batch norm that stays in evaluation mode, as in fine-tuning, and a dropout beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.BatchNorm1d(10)
        self.dropout = nn.Dropout(0.9)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.own(self.dropout(super().forward(images)))


def test_statistics_that_the_network_keeps_are_not_reestimated(digits, members) -> None:
    model = Kept()
    with torch.no_grad():
        model.norm.running_mean.fill_(5)
        model.norm.running_var.fill_(400)
    reestimate_batch_norm(model, digits, members)
    assert (float(model.norm.running_mean), float(model.norm.running_var)) == (5, 400)
    with torch.no_grad():
        model.eval()
        features = model.linear(model.norm(digits.batch(members)).flatten(1))
    torch.testing.assert_close(model.own.running_mean, features.mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [1, 101, 201])
def test_reestimation_has_no_last_batch_of_one(digits, members, monkeypatch, count) -> None:
    monkeypatch.setattr(DeviceImages, "at_once", 100)
    model = Normed()
    if count == 1:
        model.norm.eval()
    reestimate_batch_norm(model, digits, members[:count])
    mean = float(digits.batch(members[:count]).double().mean())
    assert float(model.norm.running_mean) == pytest.approx(mean, rel=1e-3)


class Half(nn.Module):
    """Says in which precision it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(784, 10)
        self.seen: set[tuple[bool, torch.dtype]] = set()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.linear(images.flatten(1))
        self.seen.add((self.training, logits.dtype))
        return logits


def test_what_is_measured_is_float32_whatever_the_training_ran_in(
    digits, members, monkeypatch
) -> None:
    def bf16(_device: torch.device) -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16)

    monkeypatch.setattr("trainables.training._precision", bf16)
    model = Half()
    epoch(digits, members).train(
        model, make_optimizer(model, "adam", 1e-3, 0.0), learning_rate=lambda _: 1e-3
    )
    predict(model, digits, members)
    assert model.seen == {(True, torch.bfloat16), (False, torch.float32)}


class Products(TorchDispatchMode):
    """The precision of every matrix product and convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.precisions: list[torch.dtype] = []

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in ("addmm", "mm", "convolution"):
            self.precisions.append(out.dtype)
        return out


class FakeImages:
    """Random pixels on a GPU that need not be there."""

    at_once = 4

    def batches(self, parts: Iterable[torch.Tensor]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for part in parts:
            yield torch.zeros(len(part), 1, 28, 28, device="cuda"), part


@pytest.fixture
def bf16_on_cuda() -> Iterator[None]:
    """`torch.autocast("cuda")` itself does nothing where there is no GPU."""
    before = torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    yield
    torch.set_autocast_enabled("cuda", False)
    torch.set_autocast_dtype("cuda", before)


@pytest.mark.usefixtures("bf16_on_cuda")
def test_on_a_gpu_every_product_of_a_prediction_is_full_float32_under_autocast_too() -> None:
    with FakeTensorMode(), torch.device("cuda"):
        network = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 26 * 26, 10)
        )
        with Products() as training:
            network(torch.zeros(4, 1, 28, 28))
        assert training.precisions == [torch.bfloat16, torch.bfloat16]
        with Products() as measured:
            logits = predict(network, FakeImages(), torch.arange(6))
    assert logits.shape == (6, 10)
    assert logits.device.type == "cuda"
    assert logits.dtype == torch.float32
    assert set(measured.precisions) == {torch.float32}


@pytest.fixture
def tf32() -> Iterator[None]:
    """As a user's file may ask for it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("tf32")
def test_a_users_choice_of_tf32_holds_for_training_alone() -> None:
    products = torch.backends.cuda.matmul
    seen = []

    class Asked(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(products.fp32_precision)
            return images.flatten(1)

    with FakeTensorMode(), torch.device("cuda"):
        predict(Asked(), FakeImages(), torch.arange(3))
    assert seen == ["ieee"]
    assert products.fp32_precision == "tf32"
