"""Steps of DP-SGD are exactly Poisson: an empty draw is a step of noise alone, and is accounted."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from trainables.base.errors import InvalidInput
from trainables.data.device import DeviceImages
from trainables.defenses import dp
from trainables.defenses.dp import PrivateTraining, noise_multiplier, poisson
from trainables.defenses.unmixed import without_batch_norm
from trainables.training import Epoch

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")

MEMBERS, NOISE, CLIP = 40, 1.5, 2.0


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 50), nn.Tanh(), nn.Linear(50, 3))


def private(model: nn.Module, *, noise: float = NOISE, batch_size: int = 1) -> PrivateTraining:
    return PrivateTraining(
        model,
        torch.optim.SGD(model.parameters(), lr=1.0),
        noise=noise,
        clip=CLIP,
        members=MEMBERS,
        batch_size=batch_size,
        generator=torch.Generator().manual_seed(5),
    )


def flat(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(MEMBERS, 1, 2, 2, generator=generator)
    return images, torch.randint(3, (MEMBERS,), generator=generator)


def train(training: PrivateTraining, drawn: Iterator[Tensor]) -> list[int]:
    """Images of each batch that went through the network."""
    images, labels = data()
    sizes = []
    for chosen in drawn:
        loss = functional.cross_entropy(training.module(images[chosen]), labels[chosen])
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        sizes.append(len(chosen))
    return sizes


def test_the_size_of_a_draw_is_binomial_and_may_be_none() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = [len(chosen) for _ in range(100) for chosen in poisson(MEMBERS, 1, generator)]
    assert len(sizes) == 100 * MEMBERS
    counts = np.bincount(np.minimum(sizes, 4), minlength=5)
    expected = stats.binom(MEMBERS, 1 / MEMBERS).pmf(np.arange(4))
    expected = np.append(expected, 1 - expected.sum()) * len(sizes)
    assert stats.chisquare(counts, expected).pvalue > 0.001
    assert counts[0] > 0.3 * len(sizes)


def test_an_image_never_joins_more_often_than_is_accounted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lowest = torch.arange(2**12).float() / 2**24  # all that torch.rand gives below 2^-12
    monkeypatch.setattr(torch, "rand", lambda *_sizes, **_options: lowest)
    rate = 16 / 1_000_003  # no multiple of 2^-24
    joined = len(next(poisson(1_000_003, 16, torch.Generator()))) / 2**24
    assert rate - 2**-24 < joined <= rate


def test_an_empty_draw_moves_the_weights_by_the_noise_alone() -> None:
    model = network()
    before = flat(model)
    training = private(model, batch_size=4)
    training.optimizer.expect(())
    generator = torch.Generator().manual_seed(5)
    noise = [  # in the order of the parameters, of standard deviation noise * clip
        torch.normal(0.0, NOISE * CLIP, weight.shape, generator=generator).flatten()
        for weight in model.parameters()
    ]
    torch.testing.assert_close(before - flat(model), torch.cat(noise) / 4)
    assert training.steps == 1


def test_the_noise_of_empty_draws_has_the_stated_standard_deviation() -> None:
    model = network()
    training = private(model, batch_size=4)
    moves = []
    for _ in range(20):
        before = flat(model)
        training.optimizer.expect(())
        moves.append(before - flat(model))
    drawn = torch.cat(moves).double().numpy() / (NOISE * CLIP / 4)
    assert 0.0005 < stats.chi2(len(drawn)).cdf(np.square(drawn).sum()) < 0.9995
    assert stats.kstest(drawn, "norm").pvalue > 0.001


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), epochs=st.integers(1, 3), at_once=st.integers(1, 3))
def test_every_draw_is_one_accounted_step_whatever_its_size_and_parts(
    seed: int, epochs: int, at_once: int
) -> None:
    training = private(network())
    training._at_once = at_once
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dp, "poisson", lambda *args: _noted(poisson(*args), drawn))
        generator = torch.Generator().manual_seed(seed)
        for _ in range(epochs):
            sizes = train(training, training.draw(MEMBERS, 1, generator))
            assert all(0 < size <= at_once for size in sizes)
    assert 0 in drawn
    assert training.steps == len(drawn) == epochs * MEMBERS
    assert training._accountant.history == [(NOISE, 1 / MEMBERS, epochs * MEMBERS)]


def _noted(draws: Iterator[Tensor], sizes: list[int]) -> Iterator[Tensor]:
    for chosen in draws:
        sizes.append(len(chosen))
        yield chosen


def test_drawing_ahead_gives_the_same_weights_as_drawing_step_by_step() -> None:
    ends = []
    for ahead in (False, True):
        model = network()
        training = private(model)
        drawn = training.draw(MEMBERS, 1, torch.Generator().manual_seed(2))
        train(training, iter(list(drawn)) if ahead else drawn)
        ends.append(flat(model))
    assert torch.equal(*ends)


def test_draws_do_what_an_oracle_does_by_hand() -> None:
    """Poisson by hand, autograd image by image, noise from its own generator."""
    model, mine = network(), network()
    training = private(model, noise=0.05)
    train(training, training.draw(MEMBERS, 1, torch.Generator().manual_seed(2)))
    images, labels = data()
    noise, draws = torch.Generator().manual_seed(5), torch.Generator().manual_seed(2)
    weights = list(mine.parameters())
    for _ in range(MEMBERS):
        total = [torch.zeros_like(weight) for weight in weights]
        for index in (torch.rand(MEMBERS, generator=draws) < 1 / MEMBERS).nonzero()[:, 0]:
            loss = functional.cross_entropy(mine(images[index][None]), labels[index][None])
            gradient = torch.autograd.grad(loss, weights)
            norm = float(torch.cat([part.flatten() for part in gradient]).norm())
            for sum_, part in zip(total, gradient, strict=True):
                sum_ += part * min(1.0, CLIP / norm)
        for weight, sum_ in zip(weights, total, strict=True):
            step = sum_ + torch.normal(0.0, 0.05 * CLIP, weight.shape, generator=noise)
            weight.data -= step  # the expected batch is of one image, the learning rate 1
    torch.testing.assert_close(flat(model), flat(mine), rtol=1e-4, atol=1e-3)


def test_the_training_loop_passes_over_empty_draws() -> None:
    images, labels = data()
    pixels = (images * 40 + 128).clamp(0, 255).to(torch.uint8)
    model = network()
    training = private(model)
    epoch = Epoch(
        DeviceImages(pixels, labels, (0.5,), (0.25,)),
        torch.arange(MEMBERS),
        batch_size=1,
        augment=False,
        generator=torch.Generator().manual_seed(0),
        draw=training.draw,
        mixed_precision=False,
    )
    loss, accuracy = epoch.train(
        training.module, training.optimizer, learning_rate=lambda _step: 1e-3
    )
    assert np.isfinite(loss)
    assert 0 <= accuracy <= 1
    assert training.steps == MEMBERS


def test_another_batch_than_was_drawn_takes_no_step() -> None:
    model = network()
    training = private(model)
    before = flat(model)
    training.optimizer.expect((3,))
    images, labels = data()
    functional.cross_entropy(training.module(images[:2]), labels[:2]).backward()
    with pytest.raises(RuntimeError, match="3 images were drawn for a step that was given 2"):
        training.optimizer.step()
    assert torch.equal(flat(model), before)


@pytest.mark.parametrize(
    ("members", "batch_size", "epochs", "epsilon"),
    [(1000, 100, 20, 8.0), (333, 16, 3, 0.7), (50, 50, 4, 50.0), (1001, 500, 1, 3.0)],
)
def test_what_was_planned_is_what_is_drawn_and_spends_no_more_than_was_asked(
    members: int, batch_size: int, epochs: int, epsilon: float
) -> None:
    noise = noise_multiplier(epsilon, members=members, batch_size=batch_size, epochs=epochs)
    training = PrivateTraining(
        (model := nn.Linear(2, 2)),
        torch.optim.SGD(model.parameters(), lr=1.0),
        noise=noise,
        clip=1.0,
        members=members,
        batch_size=batch_size,
        generator=torch.Generator().manual_seed(0),
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for chosen in training.draw(members, batch_size, generator):
            features = torch.ones(len(chosen), 2)
            training.module(features).sum().backward()
            training.optimizer.step()
            training.optimizer.zero_grad()
    assert training.steps == epochs * -(-members // batch_size)
    assert 0.8 * epsilon < training.epsilon <= epsilon


def test_a_network_without_anything_to_train_is_refused() -> None:
    model = network().requires_grad_(False)
    with pytest.raises(InvalidInput, match="every parameter of the network is frozen"):
        private(model)


def test_frozen_weights_get_neither_gradient_nor_noise() -> None:
    model = without_batch_norm(network())
    model[1].requires_grad_(False)
    before = model[1].weight.clone()
    training = private(model)
    train(training, training.draw(MEMBERS, 1, torch.Generator().manual_seed(2)))
    assert torch.equal(model[1].weight, before)
    assert not torch.equal(model[3].weight, network()[3].weight)
