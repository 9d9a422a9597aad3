"""Networks made fit for DP-SGD: what is replaced, what stays, what stays frozen."""

import threading

import pytest
import torch
from torch import Tensor, nn

from trainables.base.errors import InvalidInput
from trainables.defenses.unmixed import without_batch_norm


def conv_norm(norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 8, 3), norm, nn.ReLU())


def trained_norm(frozen: bool) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(8)
    with torch.no_grad():
        norm.weight.copy_(torch.arange(8.0))
        norm.bias.copy_(-torch.arange(8.0))
        norm.running_mean.fill_(3.0)
    return norm.requires_grad_(not frozen)


class KeptInEvaluation(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 3), norm

    def train(self, mode: bool = True) -> "KeptInEvaluation":
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images))


def test_a_class_that_pickle_does_not_find_is_copied() -> None:
    class Local(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)
            self.act = lambda features: features.relu()

        def forward(self, images: Tensor) -> Tensor:
            return self.act(self.linear(images))

    network = Local()
    copied = without_batch_norm(network)
    assert copied.linear.weight is not network.linear.weight
    assert torch.equal(copied(torch.ones(2, 4)), network(torch.ones(2, 4)))


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", ["lock", "weight norm"])
def test_a_network_that_cannot_be_copied_is_refused_in_one_line(kind: str) -> None:
    network = nn.Sequential(nn.Linear(4, 3))
    if kind == "lock":
        network.lock = threading.Lock()
    else:
        torch.nn.utils.weight_norm(network[0])
        network(torch.ones(1, 4))
    with pytest.raises(InvalidInput, match=r"copy\.deepcopy cannot") as caught:
        without_batch_norm(network)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("affine", [True, False])
def test_a_frozen_batch_norm_becomes_a_frozen_group_norm_with_its_scale(affine: bool) -> None:
    norm = trained_norm(frozen=True) if affine else nn.BatchNorm2d(8, affine=False)
    new = without_batch_norm(conv_norm(norm))[1][0]
    assert type(new) is nn.GroupNorm
    assert not any(weight.requires_grad for weight in new.parameters())
    if affine:
        assert torch.equal(new.weight, norm.weight)
        assert torch.equal(new.bias, norm.bias)


def test_a_batch_norm_frozen_in_part_stays_so() -> None:
    norm = trained_norm(frozen=False)
    norm.bias.requires_grad_(False)
    new = without_batch_norm(conv_norm(norm))[1][0]
    assert new.weight.requires_grad
    assert not new.bias.requires_grad


def test_a_frozen_batch_norm_in_evaluation_mode_stays() -> None:
    network = KeptInEvaluation(trained_norm(frozen=True))
    images = torch.randn(3, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    copied = without_batch_norm(network)
    assert type(copied.norm) is nn.BatchNorm2d
    assert torch.equal(copied.train()(images), network.train()(images))
    assert torch.equal(copied.norm.running_mean, torch.full((8,), 3.0))


def test_a_batch_norm_set_to_evaluation_once_is_replaced_since_training_resets_it() -> None:
    norm = trained_norm(frozen=True).eval()
    assert type(without_batch_norm(conv_norm(norm))[1][0]) is nn.GroupNorm


def test_a_norm_under_two_names_is_replaced_under_both() -> None:
    norm = nn.BatchNorm2d(8)
    network = nn.ModuleDict({"one": nn.Sequential(norm), "two": nn.Sequential(norm), "same": norm})
    kinds = {type(module) for module in without_batch_norm(network).modules()}
    assert nn.BatchNorm2d not in kinds


def test_batch_norm_of_flat_features_does_not_become_constant() -> None:
    network = without_batch_norm(nn.Sequential(nn.Linear(4, 32), nn.BatchNorm1d(32)))
    features = network(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    assert float(features.detach().std()) > 0.5


def test_instance_norm_keeps_its_scale_and_loses_its_statistics() -> None:
    norm = nn.InstanceNorm2d(8, affine=True, track_running_stats=True)
    with torch.no_grad():
        norm.weight.fill_(2.0)
    copied = without_batch_norm(conv_norm(norm))
    assert not list(copied.buffers())
    assert torch.equal(copied[1].weight, norm.weight)
    images = torch.randn(3, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(copied.train()(images), copied.eval()(images))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers_answer_as_before(kind: type[nn.Module]) -> None:
    layer = kind(4, 6, batch_first=True)
    copied = without_batch_norm(nn.Sequential(layer))
    features = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    assert type(copied[0]) is not kind
    torch.testing.assert_close(copied(features)[0], layer(features)[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mask", ["none", "bool", "float", "each head", "padding"])
def test_attention_answers_as_before(bias: bool, mask: str) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, bias=bias, kdim=6, vdim=5, batch_first=True)
    query, key, value = (
        torch.randn(3, *size, generator=generator) for size in ((4, 8), (7, 6), (7, 5))
    )
    allowed = torch.rand(4, 7, generator=generator) < 0.3
    allowed[:, 0] = False  # something is always to be seen
    options = {
        "none": {},
        "bool": {"attn_mask": allowed},
        "float": {"attn_mask": torch.randn(4, 7, generator=generator)},
        "each head": {"attn_mask": torch.randn(6, 4, 7, generator=generator)},
        "padding": {"key_padding_mask": allowed[:3]},
    }[mask]
    new = without_batch_norm(nn.ModuleList([layer]))[0]
    assert type(new) is not nn.MultiheadAttention
    for average in (True, False):
        ours = new(query, key, value, average_attn_weights=average, **options)
        theirs = layer(query, key, value, average_attn_weights=average, **options)
        torch.testing.assert_close(ours, theirs)


def test_a_transformer_answers_as_before_in_both_modes() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    network = nn.Sequential(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
    copied = without_batch_norm(network)
    features = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    for training in (True, False):
        expected = network.train(training)(features)
        torch.testing.assert_close(copied.train(training)(features), expected)


def test_frozen_attention_stays_as_it_is() -> None:
    layer = nn.MultiheadAttention(8, 2).requires_grad_(False)
    assert type(without_batch_norm(nn.ModuleList([layer]))[0]) is nn.MultiheadAttention


def test_attention_with_the_batch_second_is_refused() -> None:
    with pytest.raises(InvalidInput, match="batch_first=True"):
        without_batch_norm(nn.ModuleList([nn.MultiheadAttention(8, 2)]))


@pytest.mark.parametrize("kind", ["lstm", "gru", "attention", "norms"])
def test_the_state_loads_back_and_gives_the_same_answers(kind: str) -> None:
    def network() -> nn.Module:
        return {
            "lstm": nn.LSTM(8, 8, batch_first=True),
            "gru": nn.GRU(8, 8, 2, batch_first=True, bidirectional=True),
            "attention": nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            "norms": nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8, bias=False)),
        }[kind]

    one, two = (without_batch_norm(nn.Sequential(network())).eval() for _ in range(2))
    two.load_state_dict(one.state_dict())
    features = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(one(features), two(features))


def test_attention_frozen_in_part_is_refused() -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    layer.in_proj_weight.requires_grad_(False)
    with pytest.raises(InvalidInput, match="frozen in part"):
        without_batch_norm(nn.ModuleList([layer]))


def test_a_form_that_opacus_lacks_is_refused_in_one_line() -> None:
    with pytest.raises(InvalidInput, match="no private form of LSTM") as caught:
        without_batch_norm(nn.Sequential(nn.LSTM(4, 6, proj_size=2)))
    assert "\n" not in str(caught.value)


def test_the_global_generator_is_left_as_it_was() -> None:
    network = nn.ModuleList([nn.MultiheadAttention(8, 2, batch_first=True), nn.LSTM(4, 6)])
    before = torch.random.get_rng_state()
    without_batch_norm(network)
    assert torch.equal(torch.random.get_rng_state(), before)
