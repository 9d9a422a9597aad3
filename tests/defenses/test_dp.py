"""DP-SGD against oracles: clipping image by image, the noise's size, Poisson draws, accounting."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from opacus.accountants import RDPAccountant
from opacus.accountants.analysis import rdp
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from trainables.base.errors import InvalidInput
from trainables.defenses.dp import (
    ORDERS,
    PrivateTraining,
    delta_for,
    noise_multiplier,
    poisson,
)
from trainables.defenses.registry import LEAST_EPSILON
from trainables.defenses.unmixed import without_batch_norm
from trainables.models.building import build_model
from trainables.models.prunable import prunable_layers

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")

MEMBERS, BATCH, CLIP = 200, 20, 2.0


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


def batch(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 5, generator=generator) * torch.linspace(0.1, 4, count)[:, None]
    return images, torch.randint(3, (count,), generator=generator)


def private(
    model: nn.Module, noise: float, *, seed: int = 0, clip: float = CLIP
) -> PrivateTraining:
    return PrivateTraining(
        model,
        torch.optim.SGD(model.parameters(), lr=1.0),
        noise=noise,
        clip=clip,
        members=MEMBERS,
        batch_size=BATCH,
        generator=torch.Generator().manual_seed(seed),
    )


def one_step(training: PrivateTraining, images: Tensor, labels: Tensor) -> None:
    loss = functional.cross_entropy(training.module(images), labels)
    training.optimizer.zero_grad()
    loss.backward()
    training.optimizer.step()


def moved(model: nn.Module, start: nn.Module) -> Tensor:
    """(parameters,) what a step of size 1 took away: the noised mean gradient."""
    pairs = zip(start.parameters(), model.parameters(), strict=True)
    return torch.cat([(a - b).detach().flatten() for a, b in pairs])


@pytest.mark.parametrize("count", [1, 7, BATCH, 33])
def test_every_image_s_gradient_is_clipped_alone_and_the_sum_is_over_the_expected_batch(
    count: int,
) -> None:
    images, labels = batch(count)
    start, model = network(), network()
    total = torch.zeros(sum(weight.numel() for weight in start.parameters()))
    norms = []
    for image, label in zip(images, labels, strict=True):  # oracle: one image at a time
        loss = functional.cross_entropy(start(image[None]), label[None])
        gradient = torch.cat(
            [part.flatten() for part in torch.autograd.grad(loss, list(start.parameters()))]
        )
        norms.append(float(gradient.norm()))
        total += gradient * min(1.0, CLIP / norms[-1])
    if count > 1:
        assert min(norms) < CLIP < max(norms)  # both kinds are there
    one_step(private(model, noise=0.0), images, labels)
    torch.testing.assert_close(moved(model, start), total / BATCH, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("noise", [0.5, 3.0])
def test_the_noise_has_the_stated_standard_deviation(noise: float) -> None:
    model = nn.Sequential(nn.Linear(5, 500), nn.ReLU(), nn.Linear(500, 3))
    start = nn.Sequential(nn.Linear(5, 500), nn.ReLU(), nn.Linear(500, 3))
    start.load_state_dict(model.state_dict())
    exact = nn.Sequential(nn.Linear(5, 500), nn.ReLU(), nn.Linear(500, 3))
    exact.load_state_dict(model.state_dict())
    one_step(private(model, noise), *batch(BATCH))
    one_step(private(exact, 0.0), *batch(BATCH))
    drawn = (moved(model, start) - moved(exact, start)).double().numpy()
    stated = noise * CLIP / BATCH
    square = float(np.square(drawn / stated).sum())
    assert 0.0005 < stats.chi2(len(drawn)).cdf(square) < 0.9995
    assert stats.kstest(drawn / stated, "norm").pvalue > 0.001


def test_the_noise_follows_from_the_generator_and_not_from_the_global_one() -> None:
    models = []
    for seed, global_seed in ((0, 1), (0, 2), (5, 1)):
        model = network()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(global_seed)
            one_step(private(model, 1.0, seed=seed), *batch(BATCH))
        models.append(moved(model, network()))
    assert torch.equal(models[0], models[1])
    assert not torch.equal(models[0], models[2])


def test_each_image_joins_each_step_with_the_stated_probability() -> None:
    generator = torch.Generator().manual_seed(0)
    epochs, steps = 200, -(-MEMBERS // BATCH)
    counts, sizes = np.zeros(MEMBERS), []
    for _ in range(epochs):
        for chosen in poisson(MEMBERS, BATCH, generator):
            assert len(set(chosen.tolist())) == len(chosen)
            counts[chosen.numpy()] += 1
            sizes.append(len(chosen))
    assert len(sizes) == epochs * steps
    rate, draws = BATCH / MEMBERS, epochs * steps
    spread = np.square(counts - draws * rate).sum() / (draws * rate * (1 - rate))
    assert 0.0005 < stats.chi2(MEMBERS).cdf(spread) < 0.9995
    assert np.var(sizes) == pytest.approx(MEMBERS * rate * (1 - rate), rel=0.15)


@pytest.mark.parametrize("epsilon", [LEAST_EPSILON, 0.5, 6.28, 50.0, 5000.0])
def test_the_noise_spends_at_most_the_asked_epsilon_and_most_of_it(epsilon: float) -> None:
    members, batch_size, epochs = 1000, 100, 40
    noise = noise_multiplier(epsilon, members=members, batch_size=batch_size, epochs=epochs)
    curve = rdp.compute_rdp(
        q=batch_size / members,
        noise_multiplier=noise,
        steps=epochs * members // batch_size,
        orders=ORDERS,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        spent, _ = rdp.get_privacy_spent(orders=ORDERS, rdp=curve, delta=delta_for(members))
    assert 0.8 * epsilon <= spent <= epsilon


@pytest.mark.parametrize("epsilon", [0.0, -1.0, 1e-3, math.nan])
def test_an_epsilon_that_no_noise_gives_is_refused_in_one_line(epsilon: float) -> None:
    with pytest.raises(InvalidInput, match="epsilon must be at least") as caught:
        noise_multiplier(epsilon, members=1000, batch_size=100, epochs=40)
    assert "\n" not in str(caught.value)


def test_a_million_members_reach_the_least_epsilon() -> None:
    assert noise_multiplier(LEAST_EPSILON, members=10**6, batch_size=1000, epochs=1) > 0


def test_what_is_spent_is_what_an_accountant_of_its_own_counts() -> None:
    training = private(network(), noise=1.3)
    accountant = RDPAccountant()
    assert training.epsilon == 0.0
    spent = []
    for step in range(12):
        one_step(training, *batch(BATCH, seed=step))
        accountant.step(noise_multiplier=1.3, sample_rate=BATCH / MEMBERS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            expected = accountant.get_epsilon(delta=delta_for(MEMBERS), alphas=ORDERS)
        assert training.epsilon == expected
        spent.append(expected)
    assert all(a < b for a, b in itertools.pairwise(spent))


def test_delta_is_below_one_over_the_members() -> None:
    assert all(0 < delta_for(members) < 1 / members for members in (2, 1000, 10**6))


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "mobilenetv2"])
def test_batch_norm_is_replaced_and_the_network_takes_one_private_step(name: str) -> None:
    built = build_model(name, n_classes=10, image_shape=(3, 32, 32), seed=0)
    sizes = {layer: weight.shape for layer, weight in prunable_layers(built).items()}
    model = without_batch_norm(built)
    kinds = {type(module) for module in model.modules()}
    assert nn.GroupNorm in kinds
    assert not any(issubclass(kind, nn.modules.batchnorm._BatchNorm) for kind in kinds)
    assert {layer: weight.shape for layer, weight in prunable_layers(model).items()} == sizes
    before = [weight.detach().clone() for weight in model.parameters()]
    training = private(model, noise=1.0)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    one_step(training, images, torch.tensor([1, 2]))
    after = list(model.parameters())
    assert all(weight.isfinite().all() for weight in after)
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_original_network_is_left_as_it_is() -> None:
    built = build_model("resnet18", n_classes=10, image_shape=(3, 32, 32), seed=0)
    without_batch_norm(built)
    assert any(isinstance(module, nn.BatchNorm2d) for module in built.modules())
    assert all(module.inplace for module in built.modules() if isinstance(module, nn.ReLU))
