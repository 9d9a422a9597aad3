"""A copy of a network in which no layer mixes images: what DP-SGD may train."""

import copy

import torch
from opacus.validators import ModuleValidator
from torch import nn

from trainables.base.errors import InvalidInput, one_line
from trainables.defenses.attention import Attention

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
REWRITTEN = (nn.LSTM, nn.GRU, nn.MultiheadAttention)
"""Layers that are rebuilt from parts whose per-image gradients Opacus knows."""


def _exact(kind: type[nn.Module]) -> type[nn.Module]:
    return type(kind.__name__, (kind,), {"__module__": __name__})


EXACT: dict[type[nn.Module], type[nn.Module]] = {
    kind: _exact(kind) for kind in (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.LayerNorm)
}
"""Layer -> the same under another class: Opacus looks up its gradient formulas by class and falls
back on autograd for classes that it does not find."""


class Fresh(nn.Module):
    """Copies its input, since the hooks of per-image gradients forbid writing into theirs."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Any shape -> the same."""
        return features.clone()


def without_batch_norm(network: nn.Module) -> nn.Module:
    """A copy with group norm in place of batch norm, whose statistics mix images.

    A batch norm that is frozen and that the network keeps in evaluation mode mixes nothing and
    stays. Instance norms lose their running statistics, which would leave the model without noise;
    LSTM, GRU and multi-head attention are rebuilt from plain layers with the same weights.
    What was frozen stays frozen.

    In-place operations are kept off the hooked layers: activations have theirs turned off, and
    residual blocks, which add to a norm's output in place, get a copy of it.

    Raises InvalidInput for a network that cannot be copied, or a layer that cannot be replaced.
    """
    fixed = _copied(network)
    fixed.train()  # only now is it seen which norms the network keeps in evaluation mode
    with torch.random.fork_rng(devices=[]):  # new layers draw weights, which are then replaced
        replaced = {module: new for module in fixed.modules() if (new := _replacement(module))}
    for name, module in list(fixed.named_modules(remove_duplicate=False)):
        if module in replaced:
            fixed.set_submodule(name, replaced[module])
    for module in list(fixed.modules()):
        if type(module) in EXACT and _is_beyond_opacus(module):
            module.__class__ = EXACT[type(module)]
        if isinstance(getattr(module, "inplace", None), bool):
            module.inplace = False  # type: ignore[assignment]  # a plain attribute of activations
        for name, child in list(module.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.Sequential(child, Fresh()))
    return fixed


def _copied(network: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(network)
    except Exception as error:
        cause = f"{type(error).__name__}: {one_line(error)[:300]}"
        raise InvalidInput(
            f"--defense dp must copy the network, which copy.deepcopy cannot ({cause}): keep only "
            "parameters, buffers and modules in it, or choose another --defense"
        ) from error


def _replacement(module: nn.Module) -> nn.Module | None:
    trained = any(weight.requires_grad for weight in module.parameters())
    if type(module) in BATCH_NORMS:
        if not trained and not module.training:
            return None
        new = _group_norm(module)
        if not trained:
            _keep_scale(module, new)
    elif type(module) in INSTANCE_NORMS and module.track_running_stats:
        new = type(module)(module.num_features, eps=module.eps, affine=module.affine)
        _keep_scale(module, new)
    elif type(module) in REWRITTEN and trained:
        new = _rewritten(module)
    else:
        return None
    for name, weight in module.named_parameters(recurse=False):
        if not weight.requires_grad:
            new.get_parameter(name).requires_grad_(False)
    return _placed(new, module)


def _is_beyond_opacus(module: nn.Module) -> bool:
    """Whether the layer has an option that Opacus's own formula of its gradient leaves out."""
    if isinstance(module, nn.LayerNorm):
        return module.bias is None
    return getattr(module, "padding_mode", "zeros") != "zeros"


def _group_norm(norm: nn.Module) -> nn.Module:
    if isinstance(norm, nn.BatchNorm1d):
        # of flat features a group of one is always 0 after normalisation
        return nn.GroupNorm(1, norm.num_features, affine=norm.affine)
    new: nn.Module = ModuleValidator.FIXERS[type(norm)](norm)
    return new


def _keep_scale(norm: nn.Module, new: nn.Module) -> None:
    new.load_state_dict({name: weight.detach() for name, weight in norm.named_parameters()})


def _rewritten(module: nn.Module) -> nn.Module:
    kind = type(module).__name__
    if not all(weight.requires_grad for weight in module.parameters()):
        raise InvalidInput(
            f"--defense dp: a layer {kind} is frozen in part, which its private form cannot be: "
            "freeze all of its parameters or none"
        )
    if isinstance(module, nn.MultiheadAttention):
        return _attention(module)
    try:
        new: nn.Module = ModuleValidator.FIXERS[type(module)](module)
    except Exception as error:
        raise InvalidInput(
            f"--defense dp: Opacus has no private form of {one_line(module)[:200]} "
            f"({one_line(error)[:200]}): use its plain options, or choose another --defense"
        ) from error
    return new


def _attention(module: nn.MultiheadAttention) -> nn.Module:
    if not module.batch_first or module.bias_k is not None or module.add_zero_attn:
        raise InvalidInput(
            "--defense dp: a MultiheadAttention must have batch_first=True, so that its layers see "
            "the batch first, and neither add_bias_kv nor add_zero_attn"
        )
    return Attention(module)


def _placed(new: nn.Module, old: nn.Module) -> nn.Module:
    weight = next(old.parameters(), None)
    placed = new if weight is None else new.to(weight.device, weight.dtype)
    return placed.train(old.training)
