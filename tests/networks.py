"""Small networks for 1 x 8 x 8 images, of every kind that users bring: sound ones and others."""

import copy
import dataclasses
from collections import namedtuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

SHAPE = (1, 8, 8)
CLASSES = 10


class Built(nn.Module):
    """Parts by name, and a forward pass as a function of the module and its images."""

    def __init__(self, forward, **parts: nn.Module) -> None:
        super().__init__()
        self._forward_of = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, images: Tensor):
        return self._forward_of(self, images)


def flat(images: Tensor) -> Tensor:
    return images.flatten(1)


def two_layers(k, _shape) -> nn.Module:
    return Built(
        lambda m, x: m.f(torch.relu(m.a(flat(x)))), a=nn.Linear(64, 16), f=nn.Linear(16, k)
    )


def view_after_conv(k, _shape) -> nn.Module:
    return Built(
        lambda m, x: m.f(torch.relu(m.c(x)).view(x.size(0), -1)),
        c=nn.Conv2d(1, 4, 3, padding=1),
        f=nn.Linear(256, k),
    )


def view_between_convs(k, _shape) -> nn.Module:
    def forward(m, x):
        h = m.c(x)
        h = m.d(h.view(-1, 2, 2, 8, 8).transpose(1, 2).reshape(-1, 4, 8, 8))
        return m.f(h.view(len(x), -1))

    return Built(forward, c=nn.Conv2d(1, 4, 3, padding=1), d=nn.Conv2d(4, 2, 3), f=nn.Linear(72, k))


def rates_by_item(k, _shape) -> nn.Module:
    rates = [rate.item() for rate in torch.linspace(0, 0.1, 3)]
    blocks = [nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(rate)) for rate in rates]
    return nn.Sequential(nn.Flatten(), *blocks, nn.Linear(64, k))


def frozen_layer(k, shape) -> nn.Module:
    network = two_layers(k, shape)
    network.a.requires_grad_(False)
    return network


def batch_norm(k, _shape) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, k)
    )


def frozen_batch_norm(k, _shape) -> nn.Module:
    class Net(nn.Sequential):
        def train(self, mode=True):
            super().train(mode)
            self[2].eval()
            return self

    network = Net(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, k))
    network[2].running_mean.copy_(torch.linspace(-1, 1, 16))
    network[2].running_var.fill_(4.0)
    return network


def weight_normed(k, _shape) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        parametrizations.weight_norm(nn.Linear(64, 16)),
        nn.ReLU(),
        nn.Linear(16, k),
    )


def spectral(k, _shape) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        parametrizations.spectral_norm(nn.Linear(64, 16)),
        nn.ReLU(),
        nn.Linear(16, k),
    )


def tied(k, _shape) -> nn.Module:
    network = Built(
        lambda m, x: m.f(torch.relu(m.b(torch.relu(m.a(flat(x)))))),
        a=nn.Linear(64, 64),
        b=nn.Linear(64, 64),
        f=nn.Linear(64, k),
    )
    network.b.weight = network.a.weight
    return network


def one_module_under_two_names(k, _shape) -> nn.Module:
    shared = nn.Linear(64, 64)
    return Built(
        lambda m, x: m.f(torch.relu(m.again(torch.relu(m.a(flat(x)))))),
        a=shared,
        again=shared,
        f=nn.Linear(64, k),
    )


def bfloat16(k, _shape) -> nn.Module:
    network = Built(
        lambda m, x: m.f(torch.relu(m.a(flat(x).to(torch.bfloat16)))).float(),
        a=nn.Linear(64, 16),
        f=nn.Linear(16, k),
    )
    return network.to(torch.bfloat16)


def plain_bfloat16(k, shape) -> nn.Module:
    return two_layers(k, shape).to(torch.bfloat16)


def float16(k, shape) -> nn.Module:
    return two_layers(k, shape).half()


def float64(k, shape) -> nn.Module:
    return two_layers(k, shape).double()


def tuple_in_training(k, _shape) -> nn.Module:
    def forward(m, x):
        hidden = torch.relu(m.a(flat(x)))
        return (m.f(hidden), hidden) if m.training else m.f(hidden)

    return Built(forward, a=nn.Linear(64, 16), f=nn.Linear(16, k))


def dictionary(k, _shape) -> nn.Module:
    def forward(m, x):
        hidden = torch.relu(m.a(flat(x)))
        return {"features": hidden, "logits": m.f(hidden)}

    return Built(forward, a=nn.Linear(64, 16), f=nn.Linear(16, k))


Outputs = namedtuple("Outputs", "logits aux")


def auxiliary_head(k, _shape) -> nn.Module:
    def forward(m, x):
        hidden = torch.relu(m.a(flat(x)))
        return Outputs(m.f(hidden), m.aux(hidden)) if m.training else m.f(hidden)

    return Built(forward, a=nn.Linear(64, 16), f=nn.Linear(16, k), aux=nn.Linear(16, k))


@dataclasses.dataclass
class ModelOutput:
    logits: Tensor


def with_attribute(k, _shape) -> nn.Module:
    return Built(lambda m, x: ModelOutput(m.f(flat(x))), f=nn.Linear(64, k))


def called_three_times(k, _shape) -> nn.Module:
    def forward(m, x):
        hidden = flat(x)
        for _ in range(3):
            hidden = torch.relu(m.a(hidden))
        return m.f(hidden)

    return Built(forward, a=nn.Linear(64, 64), f=nn.Linear(64, k))


def patches_in_the_batch(k, _shape) -> nn.Module:
    def forward(m, x):
        patches = x.unfold(2, 4, 4).unfold(3, 4, 4).reshape(len(x) * 4, 16)
        return m.f(torch.relu(m.a(patches))).reshape(len(x), 4, -1).mean(1)

    return Built(forward, a=nn.Linear(16, 32), f=nn.Linear(32, k))


def conv1d(k, _shape) -> nn.Module:
    return Built(
        lambda m, x: m.f(torch.relu(m.c(x.squeeze(1))).mean(2)),
        c=nn.Conv1d(8, 16, 3, padding=1),
        f=nn.Linear(16, k),
    )


def conv3d(k, _shape) -> nn.Module:
    return Built(
        lambda m, x: m.f(torch.relu(m.c(x[:, None])).mean((2, 3, 4))),
        c=nn.Conv3d(1, 8, 3, padding=1),
        f=nn.Linear(8, k),
    )


def transposed(k, _shape) -> nn.Module:
    return Built(
        lambda m, x: m.f(torch.relu(m.c(x)).flatten(1)),
        c=nn.ConvTranspose2d(1, 3, 2, stride=2),
        f=nn.Linear(768, k),
    )


def grouped(k, _shape) -> nn.Module:
    return Built(
        lambda m, x: m.f(torch.relu(m.d(torch.relu(m.c(x)))).mean((2, 3))),
        c=nn.Conv2d(1, 8, 3),
        d=nn.Conv2d(8, 8, 3, groups=4),
        f=nn.Linear(8, k),
    )


def lstm(k, _shape) -> nn.Module:
    return Built(
        lambda m, x: m.f(m.r(x[:, 0])[0][:, -1]),
        r=nn.LSTM(8, 12, num_layers=2, bidirectional=True, batch_first=True),
        f=nn.Linear(24, k),
    )


def gru(k, _shape) -> nn.Module:
    return Built(
        lambda m, x: m.f(m.r(x[:, 0])[0][:, -1]),
        r=nn.GRU(8, 12, batch_first=True),
        f=nn.Linear(12, k),
    )


def recurrent_cell(k, _shape) -> nn.Module:
    def forward(m, x):
        hidden = x.new_zeros(len(x), 12)
        for row in x[:, 0].unbind(1):
            hidden = m.r(row, hidden)
        return m.f(hidden)

    return Built(forward, r=nn.GRUCell(8, 12), f=nn.Linear(12, k))


def attention(k, _shape) -> nn.Module:
    def forward(m, x):
        tokens = x.view(-1, 8, 8)
        return m.f(m.a(tokens, tokens, tokens)[0].mean(1))

    return Built(forward, a=nn.MultiheadAttention(8, 2, batch_first=True), f=nn.Linear(8, k))


def attention_to_others(k, _shape) -> nn.Module:
    def forward(m, x):
        tokens = flat(x).view(-1, 4, 16)
        keys = flat(x).view(-1, 8, 8)
        return m.f(m.a(tokens, keys, keys)[0].mean(1))

    return Built(
        forward,
        a=nn.MultiheadAttention(16, 2, kdim=8, vdim=8, batch_first=True),
        f=nn.Linear(16, k),
    )


class VisionTransformer(nn.Module):
    """A class token and positions of its own, patches by a strided convolution."""

    def __init__(self, k, _shape) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16) / 4)
        self.positions = nn.Parameter(torch.randn(1, 5, 16) / 4)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(16, k)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.head(self.encoder(tokens + self.positions)[:, 0])


def bilinear(k, _shape) -> nn.Module:
    return Built(
        lambda m, x: m.f(m.b(flat(x)[:, :32], flat(x)[:, 32:])),
        b=nn.Bilinear(32, 32, 6),
        f=nn.Linear(6, k),
    )


def embedded_pixels(k, _shape) -> nn.Module:
    return Built(
        lambda m, x: m.f(m.e((flat(x) > 0).long()).mean(1)),
        e=nn.Embedding(2, 8),
        f=nn.Linear(8, k),
    )


def layer_drop(k, _shape) -> nn.Module:
    def forward(m, x):
        hidden = torch.relu(m.a(flat(x)))
        if not m.training or float(torch.rand(())) < 0.5:
            hidden = hidden + torch.relu(m.b(hidden))
        return m.f(hidden)

    return Built(forward, a=nn.Linear(64, 16), b=nn.Linear(16, 16), f=nn.Linear(16, k))


def experts(k, _shape) -> nn.Module:
    def forward(m, x):
        chosen = int(m.gate(flat(x)).sum(0).argmax()) % 2 if m.training else 0
        return m.f(torch.relu(m.experts[chosen](flat(x))))

    return Built(
        forward,
        gate=nn.Linear(64, 4),
        experts=nn.ModuleList([nn.Linear(64, 16) for _ in range(4)]),
        f=nn.Linear(16, k),
    )


def unused_layer(k, _shape) -> nn.Module:
    return Built(lambda m, x: m.f(flat(x)), f=nn.Linear(64, k), idle=nn.Linear(5, 5))


def functional_weight(k, _shape) -> nn.Module:
    return Built(
        lambda m, x: functional.linear(torch.relu(m.a(flat(x))), m.f.weight, m.f.bias),
        a=nn.Linear(64, 16),
        f=nn.Linear(16, k),
    )


def residual_in_place(k, _shape) -> nn.Module:
    def forward(m, x):
        hidden = m.n(m.c(x))
        hidden += x
        return m.f(functional.relu(hidden, inplace=True).flatten(1))

    return Built(forward, c=nn.Conv2d(1, 4, 3, padding=1), n=nn.BatchNorm2d(4), f=nn.Linear(256, k))


def log_softmax(k, shape) -> nn.Module:
    return nn.Sequential(two_layers(k, shape), nn.LogSoftmax(1))


class IsALayer(nn.Linear):
    """A network that is itself a linear layer."""

    def __init__(self, k, _shape) -> None:
        super().__init__(64, k)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(flat(images))


def input_changed_in_place(k, _shape) -> nn.Module:
    return Built(lambda m, x: m.f(flat(x.mul_(0.5))), f=nn.Linear(64, k))


class GradientInForward(nn.Module):
    """As score networks do: the forward pass itself takes a gradient."""

    def __init__(self, k, _shape) -> None:
        super().__init__()
        self.a, self.f = nn.Linear(64, 16), nn.Linear(64, k)

    def forward(self, images: Tensor) -> Tensor:
        with torch.enable_grad():
            given = flat(images).requires_grad_()
            energy = torch.tanh(self.a(given)).sum()
            (score,) = torch.autograd.grad(energy, given, create_graph=self.training)
        return self.f(score)


class Versioned(Built):
    """As torchvision's MNASNet: loading asks for the version that the weights were saved with."""

    _version = 2

    def _load_from_state_dict(self, state, prefix, metadata, *others):
        if metadata.get("version") not in (1, 2):
            raise ValueError("version should be set to 1 or 2")
        super()._load_from_state_dict(state, prefix, metadata, *others)


def versioned(k, _shape) -> nn.Module:
    return Versioned(
        lambda m, x: m.f(torch.relu(m.a(flat(x)))), a=nn.Linear(64, 16), f=nn.Linear(16, k)
    )


def weights_without_values(k, shape) -> nn.Module:
    network = two_layers(k, shape)
    network.empty = nn.Parameter(torch.zeros(0, 4))
    return network


def complex_parameter(k, _shape) -> nn.Module:
    network = Built(
        lambda m, x: m.f(torch.fft.fft(flat(x)).mul(m.filter[0]).abs()), f=nn.Linear(64, k)
    )
    network.filter = nn.Parameter(torch.randn(1, 64, dtype=torch.complex64))
    return network


def own_projection(k, _shape) -> nn.Module:
    """A bare matrix beside a layer."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.randn(64, 16) / 8)
            self.f = nn.Linear(16, k)

        def forward(self, images: Tensor) -> Tensor:
            return self.f(torch.relu(flat(images) @ self.matrix))

    return Net()


def drawn_by_numpy(k, shape) -> nn.Module:
    network = two_layers(k, shape)
    with torch.no_grad():
        drawn = np.random.standard_normal((16, 64)) / 8  # noqa: NPY002 - as users write it
        network.a.weight.copy_(torch.from_numpy(drawn))
    return network


SOUND = {
    make.__name__: make
    for make in (
        two_layers,
        view_after_conv,
        view_between_convs,
        rates_by_item,
        frozen_layer,
        batch_norm,
        frozen_batch_norm,
        weight_normed,
        spectral,
        tied,
        one_module_under_two_names,
        bfloat16,
        plain_bfloat16,
        float16,
        float64,
        tuple_in_training,
        dictionary,
        auxiliary_head,
        with_attribute,
        called_three_times,
        patches_in_the_batch,
        conv1d,
        conv3d,
        transposed,
        grouped,
        lstm,
        gru,
        recurrent_cell,
        attention,
        attention_to_others,
        VisionTransformer,
        bilinear,
        embedded_pixels,
        layer_drop,
        experts,
        unused_layer,
        functional_weight,
        residual_in_place,
        log_softmax,
        IsALayer,
        input_changed_in_place,
        GradientInForward,
        versioned,
        weights_without_values,
        complex_parameter,
        own_projection,
        drawn_by_numpy,
    )
}
"""Name -> factory of a network that goes through a whole run."""


# --- networks that no run can be true for ---------------------------------------------------------

_ONE = two_layers(CLASSES, SHAPE)
_BACKBONE = nn.Linear(64, 16)
_CHECKPOINT = copy.deepcopy(_ONE.state_dict())
_SEEN = {"mean": torch.zeros(16)}


def same_module(_k, _shape) -> nn.Module:
    return _ONE


def shared_backbone(k, _shape) -> nn.Module:
    return Built(lambda m, x: m.f(torch.relu(m.a(flat(x)))), a=_BACKBONE, f=nn.Linear(16, k))


def shared_buffer(k, shape) -> nn.Module:
    network = two_layers(k, shape)
    network.register_buffer("mean", _SEEN["mean"])
    return network


def copied_checkpoint(_k, _shape) -> nn.Module:
    return copy.deepcopy(_ONE)


def checkpoint_and_new_head(k, shape) -> nn.Module:
    network = two_layers(k, shape)
    network.load_state_dict({**_CHECKPOINT, "f.weight": network.f.weight, "f.bias": network.f.bias})
    return network


def generator_of_its_own(k, shape) -> nn.Module:
    network = two_layers(k, shape)
    nn.init.normal_(network.a.weight, generator=torch.Generator().manual_seed(5))
    return network


def unseeded_generator(k, shape) -> nn.Module:
    network = two_layers(k, shape)
    with torch.no_grad():
        network.a.weight.copy_(torch.from_numpy(np.random.default_rng().normal(size=(16, 64))))
    return network


class _Features(nn.Module):
    def __init__(self, k, register) -> None:
        super().__init__()
        register(self, torch.randn(64, 32) / 4)
        self.f = nn.Linear(32, k)

    def forward(self, images: Tensor) -> Tensor:
        return self.f(torch.cos(flat(images) @ self.features))


def unregistered_tensor(k, _shape) -> nn.Module:
    return _Features(k, lambda module, drawn: setattr(module, "features", drawn))


def unsaved_buffer(k, _shape) -> nn.Module:
    return _Features(k, lambda m, drawn: m.register_buffer("features", drawn, persistent=False))


def tensor_in_a_list(k, _shape) -> nn.Module:
    kept = [torch.randn(64, 16)]
    return Built(lambda m, x: m.f(flat(x) @ kept[0]), f=nn.Linear(16, k))


def step_counter(k, _shape) -> nn.Module:
    def forward(m, x):
        if m.training:
            m.steps = getattr(m, "steps", 0) + 1
        return m.f(torch.relu(m.a(flat(x)))) * (1 + getattr(m, "steps", 0))

    return Built(forward, a=nn.Linear(64, 16), f=nn.Linear(16, k))


def moving_average_outside(k, _shape) -> nn.Module:
    def forward(m, x):
        hidden = torch.relu(m.a(flat(x)))
        if m.training:
            _SEEN["mean"] = 0.9 * _SEEN["mean"] + 0.1 * hidden.detach().mean(0)
        return m.f(hidden - _SEEN["mean"])

    return Built(forward, a=nn.Linear(64, 16), f=nn.Linear(16, k))


def two_parameters_in_one_memory(k, shape) -> nn.Module:
    network = tied(k, shape)
    network.b.weight = nn.Parameter(network.a.weight.data)
    return network


def layer_in_a_list(k, shape) -> nn.Module:
    network = Built(lambda m, x: m.f(torch.relu(m.kept[0](flat(x)))), f=nn.Linear(16, k))
    network.kept = [_BACKBONE]
    return network


def part_of_a_larger_tensor(k, shape) -> nn.Module:
    network = two_layers(k, shape)
    network.a.weight = nn.Parameter(torch.randn(32, 64)[:16])
    return network


def mean_of_the_batch_in_evaluation(k, _shape) -> nn.Module:
    return Built(lambda m, x: m.f(flat(x) - flat(x).mean(0)), f=nn.Linear(64, k))


def norm_without_statistics(k, _shape) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(64, track_running_stats=False), nn.Linear(64, k)
    )


def buffer_made_in_the_forward_pass(k, _shape) -> nn.Module:
    def forward(m, x):
        if not hasattr(m, "table"):
            m.register_buffer("table", torch.ones(64))
        return m.f(flat(x) * m.table)

    return Built(forward, f=nn.Linear(64, k))


def compiled(k, shape) -> nn.Module:
    return torch.compile(two_layers(k, shape), backend="eager")


def nothing_at_all(k, _shape) -> nn.Module:
    return Built(lambda m, x: {}, f=nn.Linear(64, k))


def masked_by_prune(k, shape) -> nn.Module:
    network = two_layers(k, shape)
    prune.l1_unstructured(network.a, "weight", amount=0.5)
    return network


def all_frozen(k, shape) -> nn.Module:
    return two_layers(k, shape).requires_grad_(False)


def only_computed_weights(k, _shape) -> nn.Module:
    return nn.Sequential(nn.Flatten(), parametrizations.weight_norm(nn.Linear(64, k)))


def softmax(k, shape) -> nn.Module:
    return nn.Sequential(two_layers(k, shape), nn.Softmax(1))


def softmax_in_evaluation(k, shape) -> nn.Module:
    return Built(
        lambda m, x: m.net(x) if m.training else m.net(x).softmax(1), net=two_layers(k, shape)
    )


def not_finite(k, shape) -> nn.Module:
    network = two_layers(k, shape)
    nn.init.constant_(network.f.bias, float("nan"))
    return network


def insists_on_float16(k, _shape) -> nn.Module:
    network = Built(
        lambda m, x: m.f(torch.relu(m.a(flat(x).half()))), a=nn.Linear(64, 16), f=nn.Linear(16, k)
    )
    return network.half()


def one_class_too_many(k, shape) -> nn.Module:
    return two_layers(k + 1, shape)


def always_dropping(k, _shape) -> nn.Module:
    return Built(lambda m, x: m.f(functional.dropout(flat(x), 0.5)), f=nn.Linear(64, k))


def fixed_batch_size(k, _shape) -> nn.Module:
    return Built(lambda m, x: m.f(x.view(32, 64)), f=nn.Linear(64, k))


def without_gradient(k, _shape) -> nn.Module:
    return Built(lambda m, x: m.f(flat(x)).detach(), f=nn.Linear(64, k))


def text_instead_of_logits(k, _shape) -> nn.Module:
    return Built(lambda m, x: "logits", f=nn.Linear(64, k))


def state_that_is_no_tensor(k, _shape) -> nn.Module:
    class Net(Built):
        def get_extra_state(self):
            return {"version": 3}

        def set_extra_state(self, state):
            pass

    return Net(lambda m, x: m.f(flat(x)), f=nn.Linear(64, k))


REFUSED = {
    same_module: "is the same module every time",
    shared_backbone: "two networks share the memory of 'a.weight'",
    shared_buffer: "two networks share the memory of 'mean'",
    copied_checkpoint: "starts from the same 'a.weight' whatever the seed",
    checkpoint_and_new_head: "starts from the same 'a.weight' whatever the seed",
    generator_of_its_own: "starts from the same 'a.weight' whatever the seed",
    unseeded_generator: "'a.weight' differs between two builds from the same seed",
    unregistered_tensor: "not determined by its state dict ('features' is not in the state dict)",
    unsaved_buffer: "not determined by its state dict ('features' is not in the state dict)",
    tensor_in_a_list: "not determined by its state dict",
    step_counter: "keeps state that the state dict does not hold",
    moving_average_outside: "keeps state outside of the module",
    two_parameters_in_one_memory: "'a.weight' and 'b.weight' are two tensors in the same memory",
    layer_in_a_list: "'kept' holds layers or parameters in a list or dictionary",
    part_of_a_larger_tensor: "'a.weight' is a part or a view of another tensor",
    mean_of_the_batch_in_evaluation: "its answer to an image depends on the others of the batch",
    norm_without_statistics: "its answer to an image depends on the others of the batch",
    buffer_made_in_the_forward_pass: "a forward pass in evaluation mode changes 'table'",
    compiled: "is made by torch.compile",
    nothing_at_all: "it returns dict, not logits",
    masked_by_prune: "layer 'a' has a mask of torch.nn.utils.prune",
    all_frozen: "has no weight to prune (a.weight: it is frozen",
    only_computed_weights: "the layer's weight is computed from it at each call",
    softmax: "gives probabilities (its outputs sum to 1)",
    softmax_in_evaluation: "gives probabilities (its outputs sum to 1)",
    not_finite: "logits that are not finite",
    insists_on_float16: "give it float32 or bfloat16 parameters",
    one_class_too_many: "gives (2, 11) for two images of 10 classes",
    always_dropping: "answers differently when it is asked twice in evaluation mode",
    fixed_batch_size: "fails on images of (1, 8, 8)",
    without_gradient: "fails while it is trained",
    text_instead_of_logits: "it returns str, not logits",
    state_that_is_no_tensor: "of its state dict is not a tensor",
}
"""Factory -> what the one line says."""
