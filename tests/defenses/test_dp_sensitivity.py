"""One image adds at most the clipping norm, for every network that DP-SGD accepts; others are
refused in one line before anything is trained.
"""

import warnings
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from trainables.base.errors import InvalidInput
from trainables.defenses.dp import PrivateTraining
from trainables.defenses.sensitivity import require_bounded
from trainables.defenses.unmixed import without_batch_norm
from trainables.models.building import build_model

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")

CLASSES, CLIP = 5, 0.7


def tokens(images: Tensor) -> Tensor:
    """(n, 1, 8, 8) -> (n, 4, 16): four patches of an image."""
    return images.unfold(2, 4, 4).unfold(3, 4, 4).reshape(len(images), 4, 16)


class Net(nn.Module):
    """Modules by name, and a forward that uses them."""

    def __init__(self, forward: Callable[..., Tensor], **parts: object) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.steps = [forward]

    def forward(self, images: Tensor) -> Tensor:
        return self.steps[0](self, images)


class InEvaluation(Net):
    """Keeps its part `kept` in evaluation mode, as fine-tuning does."""

    def train(self, mode: bool = True) -> "InEvaluation":
        super().train(mode)
        self.kept.eval()
        return self


class BatchAttention(nn.Module):
    """Every image looks at the others."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(8, 8)

    def forward(self, sequence: Tensor) -> Tensor:
        scores = torch.einsum("nle,mle->nm", self.query(sequence), sequence)
        return torch.einsum("nm,mle->nle", scores.softmax(1), sequence)


class ClassToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, sequence: Tensor) -> Tensor:
        return torch.cat([self.token.expand(len(sequence), -1, -1), sequence], 1)


class RunningMean(nn.Module):
    """Takes the mean of earlier batches away."""

    def __init__(self, *, buffer: bool) -> None:
        super().__init__()
        if buffer:
            self.register_buffer("mean", torch.zeros(64))
        else:
            self.mean = torch.zeros(64)

    def forward(self, features: Tensor) -> Tensor:
        centred = features - self.mean
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * features.detach().mean(0)
        return centred


def head(size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(size, CLASSES))


def flat(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), *layers, nn.Linear(32, CLASSES))


def convolved(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 8, 3), *layers, head(8 * 36))


def frozen(module: nn.Module) -> nn.Module:
    return module.requires_grad_(False)


def tied() -> nn.Module:
    one, two = nn.Linear(64, 64), nn.Linear(64, 64)
    two.weight = one.weight
    return nn.Sequential(nn.Flatten(), one, nn.ReLU(), two, nn.Linear(64, CLASSES))


def sequence(mixer: nn.Module, use: Callable[..., Tensor] = lambda m, t: m(t)) -> nn.Module:
    return Net(
        lambda net, x: net.last(use(net.mixer, net.first(tokens(x))).mean(1)),
        first=nn.Linear(16, 8),
        mixer=mixer,
        last=nn.Linear(8, CLASSES),
    )


def positions(of: Callable[[Tensor], Tensor], **options: object) -> nn.Module:
    return Net(
        lambda net, x: net.last((net.first(tokens(x)) + net.position(of(x))).mean(1)),
        first=nn.Linear(16, 8),
        position=nn.Embedding(4, 8, **options),
        last=nn.Linear(8, CLASSES),
    )


def two(forward: Callable[..., Tensor], **more: object) -> nn.Module:
    return Net(forward, a=nn.Linear(64, 64), f=nn.Linear(64, CLASSES), **more)


def encoder(**options: object) -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, **options)


def residual(net: nn.Module, images: Tensor) -> Tensor:
    features = net.norm(net.conv(images))
    features += images
    return net.last(functional.relu(features, inplace=True))


ACCEPTED: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: flat(nn.ReLU(inplace=True)),
    "conv1d": lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(1, 4, 5, stride=2), head(4 * 30)),
    "conv2d, groups": lambda: convolved(nn.SiLU(inplace=True), nn.Conv2d(8, 8, 3, 1, 1, groups=4)),
    "conv2d, circular": lambda: nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, padding_mode="circular"), head(512)
    ),
    "conv2d, channels last": lambda: nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, (3, 1), padding=(1, 0)), head(216)
    ).to(memory_format=torch.channels_last),
    "conv3d": lambda: Net(
        lambda net, x: net.f(net.c(x[:, :, None])), c=nn.Conv3d(1, 4, (1, 3, 3)), f=head(4 * 36)
    ),
    "transposed convolution": lambda: nn.Sequential(
        nn.ConvTranspose2d(1, 4, 2, stride=2), nn.ReLU(), head(4 * 256)
    ),
    "group norm": lambda: convolved(nn.GroupNorm(4, 8), nn.ReLU()),
    "layer norm": lambda: flat(nn.LayerNorm(32), nn.ReLU()),
    "layer norm without bias": lambda: flat(nn.LayerNorm(32, bias=False), nn.ReLU()),
    "instance norm": lambda: convolved(nn.InstanceNorm2d(8, affine=True), nn.ReLU()),
    "instance norm with statistics": lambda: convolved(
        nn.InstanceNorm2d(8, affine=True, track_running_stats=True), nn.ReLU()
    ),
    "batch norm, replaced": lambda: convolved(nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
    "batch norm of flat features": lambda: flat(nn.BatchNorm1d(32), nn.ReLU()),
    "batch norm without scale": lambda: convolved(nn.BatchNorm2d(8, affine=False), nn.ReLU()),
    "batch norm, frozen but in training mode": lambda: convolved(frozen(nn.BatchNorm2d(8))),
    "batch norm, frozen and in evaluation mode": lambda: InEvaluation(
        lambda net, x: net.f(net.kept(net.c(x))),
        c=nn.Conv2d(1, 8, 3),
        kept=frozen(nn.BatchNorm2d(8)),
        f=head(8 * 36),
    ),
    "positions": lambda: positions(lambda x: torch.arange(4).expand(len(x), 4)),
    "attention": lambda: sequence(
        nn.MultiheadAttention(8, 2, batch_first=True), lambda m, t: m(t, t, t)[0]
    ),
    "transformer with dropout": lambda: sequence(encoder(batch_first=True)),
    "lstm": lambda: sequence(nn.LSTM(8, 8, batch_first=True), lambda m, t: m(t)[0]),
    "class token": lambda: sequence(ClassToken()),
    "bare parameter": lambda: Net(
        lambda net, x: net.f(torch.cat([net.token.expand(len(x), -1), x.flatten(1)], 1)),
        token=nn.Parameter(torch.randn(1, 3)),
        f=nn.Linear(67, CLASSES),
    ),
    "layer called three times": lambda: two(
        lambda net, x: net.f(net.a(net.a(net.a(x.flatten(1)).relu()).relu()))
    ),
    "parameter of two layers": tied,
    "frozen layer": lambda: nn.Sequential(
        nn.Flatten(), frozen(nn.Linear(64, 32)), nn.ReLU(), nn.Linear(32, CLASSES)
    ),
    "residual, in place": lambda: Net(
        residual, conv=nn.Conv2d(1, 8, 3, padding=1), norm=nn.BatchNorm2d(8), last=head(512)
    ),
    "dropout": lambda: flat(nn.Dropout(0.5)),
    "dropout as a function": lambda: two(
        lambda net, x: net.f(functional.dropout(net.a(x.flatten(1)), 0.5, net.training))
    ),
    "a layer dropped at random": lambda: two(
        lambda net, x: net.f(x.flatten(1) + (net.a(x.flatten(1)) if torch.rand(()) < 0.5 else 0))
    ),
    "an output that nobody uses": lambda: two(
        lambda net, x: (net.aside(x.flatten(1)), net.f(net.a(x.flatten(1))))[1],
        aside=nn.Linear(64, 3),
    ),
    "weight norm": lambda: flat(
        nn.ReLU(), nn.utils.parametrizations.weight_norm(nn.Linear(32, 32)), nn.ReLU()
    ),
    "float64": lambda: Net(
        lambda net, x: net.f(x.flatten(1).double()), f=nn.Linear(64, CLASSES).double()
    ),
}

REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "patches folded into the batch": (
        lambda: Net(
            lambda net, x: (
                net.f(torch.relu(net.a(tokens(x).reshape(-1, 16)))).reshape(len(x), 4, -1).mean(1)
            ),
            a=nn.Linear(16, 32),
            f=nn.Linear(32, CLASSES),
        ),
        r"layer of 'a\.weight' counts one image as 4",
    ),
    "positions without a batch": (lambda: positions(lambda _x: torch.arange(4)), "position"),
    "positions as a batch of one": (
        lambda: positions(lambda _x: torch.arange(4)[None]),
        r"'position\.weight' sees 1 rows where the batch has 3",
    ),
    "sequence first": (
        lambda: Net(
            lambda net, x: net.f(net.a(tokens(x).transpose(0, 1)).mean(0)),
            a=nn.Linear(16, 8),
            f=nn.Linear(8, CLASSES),
        ),
        r"'a\.weight' sees 4 rows where the batch has 3",
    ),
    "a gradient that Opacus takes otherwise": (
        lambda: positions(lambda x: torch.arange(4).expand(len(x), 4), padding_idx=0),
        r"another gradient of 'position\.weight'",
    ),
    "attention over the batch": (
        lambda: sequence(BatchAttention()),
        "'mixer' mixes",
    ),
    "mean of the batch": (
        lambda: two(lambda net, x: net.f(net.a(x.flatten(1)) - net.a(x.flatten(1)).mean(0))),
        "forward mixes the images",
    ),
    "softmax over the batch": (
        lambda: two(lambda net, x: net.f(net.a(x.flatten(1)).softmax(0))),
        "forward mixes the images",
    ),
    "batch norm as a function": (
        lambda: two(
            lambda net, x: net.f(
                functional.batch_norm(net.a(x.flatten(1)), None, None, training=True)
            )
        ),
        "forward mixes the images",
    ),
    "batch norm of another class": (
        lambda: convolved(type("Other", (nn.BatchNorm2d,), {})(8, affine=False)),
        "'1.running_mean' is changed",
    ),
    "images mixed at random": (
        lambda: two(lambda net, x: net.f(net.a((x + x[torch.randperm(len(x))]).flatten(1)))),
        "forward mixes the images",
    ),
    "the size of the batch": (
        lambda: two(lambda net, x: net.f(net.a(x.flatten(1))) / len(x)),
        "how many images are in the batch",
    ),
    "statistics in a buffer": (
        lambda: nn.Sequential(nn.Flatten(), RunningMean(buffer=True), nn.Linear(64, CLASSES)),
        "'1.mean' is changed",
    ),
    "statistics in a tensor": (
        lambda: nn.Sequential(nn.Flatten(), RunningMean(buffer=False), nn.Linear(64, CLASSES)),
        "keeps something of a batch",
    ),
    "parameters changed as images pass": (
        lambda: positions(lambda x: torch.arange(4).expand(len(x), 4), max_norm=0.5),
        r"'position\.weight' is changed",
    ),
    "a weight used as a function": (
        lambda: two(
            lambda net, x: (
                net.f(net.a(x.flatten(1)).relu())
                + functional.linear(x.flatten(1), net.a.weight[:CLASSES])
            )
        ),
        r"another gradient of 'a\.weight'",
    ),
    "a weight used as a function only": (
        lambda: two(lambda net, x: net.f(functional.linear(x.flatten(1), net.a.weight))),
        r"another gradient of 'a\.weight'",
    ),
    "an output used once of twice": (
        lambda: two(lambda net, x: (lambda y: (net.a(y), net.f(y))[1])(net.a(x.flatten(1)))),
        r"'a\.weight' is called more often than its output is used",
    ),
    "an output changed in place": (
        lambda: Net(
            lambda net, x: net.f(net.c(x).add_(x)), c=nn.Conv2d(1, 8, 3, padding=1), f=head(512)
        ),
        "changed in place",
    ),
    "a plain recurrent layer": (
        lambda: sequence(nn.RNN(8, 8, batch_first=True), lambda m, t: m(t)[0]),
        "fails under per-image gradients",
    ),
    "a bare parameter beside dropout": (
        lambda: Net(
            lambda net, x: net.f(net.d(x.flatten(1) * net.scale)),
            scale=nn.Parameter(torch.ones(64)),
            d=nn.Dropout(0.5),
            f=nn.Linear(64, CLASSES),
        ),
        "beside a random layer",
    ),
    "a bare parameter beside a buffer": (
        lambda: Net(
            lambda net, x: net.f(x.flatten(1) * net.scale * net.mask),
            scale=nn.Parameter(torch.ones(64)),
            mask=nn.Buffer(torch.ones(64)),
            f=nn.Linear(64, CLASSES),
        ),
        "the parameter 'scale' and the buffer 'mask'",
    ),
    "spectral norm": (
        lambda: flat(nn.utils.parametrizations.spectral_norm(nn.Linear(32, 32))),
        "is changed by the images",
    ),
    "trained in evaluation mode": (
        lambda: InEvaluation(
            lambda net, x: net.f(net.kept(x.flatten(1))),
            kept=nn.Linear(64, 64),
            f=nn.Linear(64, CLASSES),
        ),
        "'kept': it is kept in evaluation mode",
    ),
    "one image without its batch": (
        lambda: two(lambda net, x: net.f(net.a(x.flatten(1))).squeeze()),
        "size mismatch",
    ),
    "coarse parameters": (
        lambda: Net(
            lambda net, x: net.f(x.flatten(1).bfloat16()).float(),
            f=nn.Linear(64, CLASSES).bfloat16(),
        ),
        "'f.weight' is torch.bfloat16",
    ),
    "an attribute that Opacus keeps": (
        lambda: Net(
            lambda net, x: net.f(x.flatten(1)) * net.scale,
            f=nn.Linear(64, CLASSES),
            scale=nn.Parameter(torch.ones(())),
            activations=nn.ModuleList(),
        ),
        "'activations', which Opacus keeps",
    ),
}


def built(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()


def batch(count: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    return images, torch.randint(CLASSES, (count,), generator=generator)


def private(network: nn.Module) -> PrivateTraining:
    return PrivateTraining(
        network,
        torch.optim.SGD(network.parameters(), lr=1.0),
        noise=1.0,
        clip=CLIP,
        members=20,
        batch_size=4,
        generator=torch.Generator().manual_seed(0),
    )


def clipped_sum(network: nn.Module, images: Tensor, labels: Tensor, scale: float) -> Tensor:
    """What goes to the optimiser before the noise."""
    training = private(network)
    loss = scale * functional.cross_entropy(training.module.train()(images), labels)
    loss.backward()
    training.optimizer.clip_and_accumulate()
    return torch.cat([weight.summed_grad.flatten() for weight in training.optimizer.params])


def without_dropout(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_network_adds_each_image_s_own_gradient_clipped(name: str) -> None:
    network = without_batch_norm(built(ACCEPTED[name]))
    images, labels = batch()
    require_bounded(network, images, labels, clip=CLIP)
    for scale in (1.0, 1e4):
        for image, label in zip(images, labels, strict=True):
            alone = clipped_sum(without_batch_norm(network), image[None], label[None], scale)
            assert float(alone.norm()) <= CLIP * (1 + 1e-5)
    if name in ("dropout as a function", "a layer dropped at random"):
        return  # its gradient differs from pass to pass
    plain = without_dropout(without_batch_norm(network)).train()
    weights = [weight for weight in plain.parameters() if weight.requires_grad]
    expected = torch.zeros(sum(weight.numel() for weight in weights), dtype=weights[0].dtype)
    for image, label in zip(images, labels, strict=True):  # oracle: autograd, one at a time
        loss = functional.cross_entropy(plain(image[None]), label[None])
        gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
        gradient = torch.cat([part.flatten() for part in gradients])
        expected += gradient * min(1.0, CLIP / float(gradient.norm()))
    found = clipped_sum(without_dropout(without_batch_norm(network)), images, labels, 1.0)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_bounded_is_refused_in_one_line_that_names_it(name: str) -> None:
    make, message = REFUSED[name]
    network = without_batch_norm(built(make))
    with pytest.raises(InvalidInput, match=message) as caught:
        require_bounded(network, *batch(), clip=CLIP)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("--defense dp")


@pytest.mark.parametrize("name", ["lenet5", "cnn4"])
def test_our_networks_are_accepted(name: str) -> None:
    network = build_model(name, n_classes=10, image_shape=(1, 28, 28), seed=0)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 28, 28, generator=generator)
    require_bounded(without_batch_norm(network), images, torch.arange(4), clip=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2"])
def test_our_larger_networks_are_accepted(name: str) -> None:
    network = build_model(name, n_classes=10, image_shape=(3, 32, 32), seed=0)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, 3, 32, 32, generator=generator)
    require_bounded(without_batch_norm(network), images, torch.arange(3), clip=1.0)


def test_a_folded_batch_takes_no_step() -> None:
    network = built(REFUSED["patches folded into the batch"][0])
    before = [weight.detach().clone() for weight in network.parameters()]
    training = private(network)
    images, labels = batch()
    loss = functional.cross_entropy(training.module(images), labels)
    training.optimizer.zero_grad()
    loss.backward()
    with pytest.raises(InvalidInput, match="counts one image as 4"):
        training.optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert training.steps == 0


def test_two_passes_before_a_step_are_refused() -> None:
    network = built(ACCEPTED["layer norm"])
    training = private(network)
    images, labels = batch()
    for _ in range(2):
        functional.cross_entropy(training.module(images), labels).backward()
    with pytest.raises(InvalidInput, match="gradients of 2 passes"):
        training.optimizer.step()


def test_an_output_unused_in_one_step_adds_nothing_to_the_next() -> None:
    used = [False, True]
    network = built(
        lambda: two(
            lambda net, x: (
                net.f(x.flatten(1))
                + (net.b(x.flatten(1)) if used[0] else 0 * net.b(x.flatten(1)).detach())
            ),
            b=nn.Linear(64, CLASSES),
        )
    )
    training = private(network)
    images, labels = batch(2)
    functional.cross_entropy(training.module(images), labels).backward()
    assert not training.optimizer.rows()["b.weight"].any()
    training.optimizer.zero_grad()
    used[0] = True
    functional.cross_entropy(training.module(images), labels).backward()
    rows = training.optimizer.rows()
    assert torch.allclose(rows["b.weight"], rows["f.weight"])
    assert rows["b.weight"].any()


PIECES: dict[str, Callable[[int], nn.Module]] = {
    "linear": lambda width: nn.Linear(width, width),
    "relu": lambda _width: nn.ReLU(inplace=True),
    "tanh": lambda _width: nn.Tanh(),
    "layer norm": lambda width: nn.LayerNorm(width),
    "group norm": lambda width: nn.GroupNorm(2, width),
    "batch norm": lambda width: nn.BatchNorm1d(width),
    "dropout": lambda _width: nn.Dropout(0.3),
    "frozen": lambda width: frozen(nn.Linear(width, width)),
}

POISONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "mean": lambda x: x - 0.1 * x.mean(0),
    "largest": lambda x: x / (1 + x.abs().amax(0)),
    "neighbour": lambda x: x + 0.1 * x.roll(1, 0),
    "size": lambda x: x + torch.linspace(0, 1, 8) / len(x),
    "sorted": lambda x: x.sort(0).values,
}


@given(
    pieces=st.lists(st.sampled_from(sorted(PIECES)), max_size=5),
    poison=st.sampled_from(sorted(POISONS)),
    place=st.integers(0, 5),
    seed=st.integers(0, 100),
)
@settings(max_examples=20)
def test_a_network_is_accepted_exactly_where_its_images_stay_apart(
    pieces: list[str], poison: str, place: int, seed: int
) -> None:
    def make() -> nn.Module:
        layers = [nn.Flatten(), nn.Linear(64, 8), *(PIECES[piece](8) for piece in pieces)]
        layers.insert(min(2 + place, len(layers)), Net(lambda _net, x: POISONS[poison](x)))
        return nn.Sequential(*layers, nn.Linear(8, CLASSES))

    network = without_batch_norm(built(make, seed))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            require_bounded(network, *batch(), clip=CLIP)
        accepted = True
    except InvalidInput:
        accepted = False
    assert accepted == (poison == "none")
    if accepted:
        image, label = (part[:1] for part in batch())
        alone = clipped_sum(network, image, label, 1e4)
        assert float(alone.norm()) <= CLIP * (1 + 1e-5)
