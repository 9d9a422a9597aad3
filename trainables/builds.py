"""What two builds of a user's network must and must not share, checked before a run.

A trial builds the network anew in a process of its own and loads a state dict into it.  So two
builds must share no memory, follow from their seeds, and be determined by their state dicts.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.config import TrialConfig
from trainables.data.registry import DATASETS, DatasetSpec
from trainables.foreign_code import answers, random_images, said
from trainables.models.building import build_model
from trainables.models.registry import MODELS
from trainables.models.weights import load_weights

ASKED = 8
"""The number of random images on which two networks are compared."""


def require_sound_builds(config: TrialConfig, *, pretrained_start: bool) -> nn.Module:
    """A build of the network in `config`. Raises InvalidInput, one line, when it is not sound.

    pretrained_start: whether the user says that weights which no seed changes never saw the data.
    Our own networks are only checked for proper logits.
    """
    spec = DATASETS[config.dataset]
    first = _built(config, seed=0)
    _require_logits(config, first, spec)
    if MODELS[config.model].foreign:
        second = _built(config, seed=1)
        _require_two_builds(config.model, first, second)
        _require_own_memory(config.model, first, second)
        _require_fresh_starts(config, (first, second), pretrained_start=pretrained_start)
        _require_determined(config.model, first, second, random_images(spec, ASKED))
    return first


def _built(config: TrialConfig, *, seed: int) -> nn.Module:
    spec = DATASETS[config.dataset]
    return build_model(
        config.model,
        n_classes=spec.n_classes,
        image_shape=spec.image_shape,
        n_tokens=spec.n_tokens,
        seed=seed,
    )


def _require_logits(config: TrialConfig, network: nn.Module, spec: DatasetSpec) -> None:
    name, classes = config.model, spec.n_classes
    before = _copied(network.state_dict())
    with said(f"model {name!r} fails on {noun.many()} of {spec.image_shape}"), torch.no_grad():
        network.eval()
        logits = network(random_images(spec, 2))
    after = network.state_dict()
    changed = [key for key in {*before, *after} if not _alike(before.get(key), after.get(key))]
    if changed:
        raise InvalidInput(
            f"model {name!r}: a forward pass in evaluation mode changes {changed[0]!r}: make it in "
            "__init__, and change it only if self.training"
        )
    if tuple(logits.shape) != (2, classes):
        raise InvalidInput(
            f"model {name!r} gives {tuple(logits.shape)} for two {noun.many()} of {classes} "
            f"classes: it must give logits (2, {classes})"
        )
    if not torch.isfinite(logits).all():
        raise InvalidInput(
            f"model {name!r} gives logits that are not finite before any training: mend its "
            "initialisation"
        )
    sums = logits.double().sum(1)
    if bool((logits >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        raise InvalidInput(
            f"model {name!r} gives probabilities (its outputs sum to 1): leave the softmax out, "
            "the loss has its own"
        )


def _require_two_builds(name: str, first: nn.Module, second: nn.Module) -> None:
    """Refuse one module returned twice, builds that differ, and state that a build cannot hold."""
    if first is second:
        raise InvalidInput(
            f"model {name!r} is the same module every time it is asked for, so that one trial's "
            "weights would pass into the next: build a new one at each call"
        )
    strange = [key for key, v in first.state_dict().items() if not isinstance(v, Tensor)]
    if strange:
        raise InvalidInput(
            f"model {name!r}: {strange[0]!r} of its state dict is not a tensor and cannot be "
            "written to safetensors: keep it in a buffer, or out of the state dict"
        )
    shapes = [[(key, v.shape) for key, v in m.state_dict().items()] for m in (first, second)]
    if shapes[0] != shapes[1]:
        raise InvalidInput(
            f"model {name!r} is another network each time it is built: let its layers follow from "
            "the classes and the shape alone"
        )
    outside = _kept_outside(first)
    if outside is not None:
        raise InvalidInput(
            f"model {name!r}: {outside!r} holds layers or parameters in a list or dictionary, so "
            "that they are no part of the network: use nn.ModuleList, nn.ModuleDict or "
            "nn.ParameterList"
        )


def _require_own_memory(name: str, first: nn.Module, second: nn.Module) -> None:
    """Refuse tensors that share memory with others, within one network or across two."""
    places: dict[int, str] = {}
    for key, tensor in _tensors(first):
        if tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size():
            raise InvalidInput(
                f"model {name!r}: {key!r} is a part or a view of another tensor: clone() it"
            )
        other = places.setdefault(tensor.untyped_storage().data_ptr(), key)
        if other != key:
            raise InvalidInput(
                f"model {name!r}: {other!r} and {key!r} are two tensors in the same memory: give "
                "both layers the one nn.Parameter, or clone() it"
            )
    for key, tensor in _tensors(second):
        if tensor.untyped_storage().data_ptr() in places:
            raise InvalidInput(
                f"model {name!r}: two networks share the memory of {key!r}, so that one trial "
                "would change another: make it anew, or clone() it, at each call"
            )


def _kept_outside(network: nn.Module) -> str | None:
    """The attribute that holds modules or parameters unknown to the network; None without one."""
    known = {id(part) for part in (*network.modules(), *network.parameters())}
    for prefix, module in network.named_modules():
        for key, value in vars(module).items():
            if key.startswith("_"):
                continue
            parts = value.values() if isinstance(value, dict) else value
            if isinstance(parts, list | tuple | set | type({}.values())) and any(
                isinstance(part, nn.Module | nn.Parameter) and id(part) not in known
                for part in parts
            ):
                return f"{prefix}.{key}".lstrip(".")
    return None


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """All non-empty parameters and buffers by name, each once."""
    for key, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.numel():
            yield key, tensor


def _require_fresh_starts(
    config: TrialConfig, builds: tuple[nn.Module, nn.Module], *, pretrained_start: bool
) -> None:
    name = config.model
    first, second = (dict(network.named_parameters()) for network in builds)
    again = _built(config, seed=0).state_dict()
    moved = [k for k, v in builds[0].state_dict().items() if not torch.equal(v, again[k])]
    if moved:
        raise InvalidInput(
            f"model {name!r}: {moved[0]!r} differs between two builds from the same seed: draw "
            "initial values from torch's, NumPy's or Python's global generator, which are seeded"
        )
    drawn = [key for key, value in first.items() if _is_drawn(value)]
    fixed = [key for key in drawn if torch.equal(first[key], second[key])]
    if fixed and not pretrained_start:
        raise InvalidInput(
            f"model {name!r} starts from the same {fixed[0]!r} whatever the seed ({len(fixed)} of "
            f"{len(drawn)} initialised parameters): a checkpoint, a generator of its own, or a "
            "formula (a fixed table belongs in a buffer). Had such weights seen this data, "
            "members and non-members alike, no figure of the run would be true: say with "
            "--pretrained-start that they never did, or start from scratch"
        )
    if pretrained_start and not fixed:
        raise InvalidInput(
            f"--pretrained-start: all parameters of model {name!r} follow from the seed, so "
            "nothing in it is pretrained: leave the option out"
        )


def _is_drawn(value: Tensor) -> bool:
    """Whether the values look drawn at random: floating point, more than two distinct ones."""
    return value.is_floating_point() and len(torch.unique(value.detach())) > 2


def _require_determined(name: str, first: nn.Module, second: nn.Module, images: Tensor) -> None:
    """Refuse a network that answers differently from another with the same state dict.

    A trial may be measured in another process than the one that trained it, and the state dict is
    all that this process gets.
    """
    loose, others = _loose(first), _loose(second)
    unlike = [key for key, value in loose.items() if not _alike(value, others.get(key))]
    if not torch.equal(answers(first, images), answers(first, images, seed=1)):
        raise InvalidInput(
            f"model {name!r} answers differently when it is asked twice in evaluation mode: turn "
            "off what is random there (functional dropout needs training=self.training)"
        )
    whole, half = answers(first, images), answers(first, images[: ASKED // 2])
    scale = float(whole.abs().max())
    if not torch.allclose(whole[: ASKED // 2], half, rtol=1e-3, atol=1e-3 * scale):
        raise InvalidInput(
            f"model {name!r}: in evaluation mode its answer to {noun.a()} depends on the others "
            "of the batch, so that no accuracy or leak is its own: use running statistics, or "
            f"norms of single {noun.many()}"
        )
    with said(f"model {name!r}: its state dict cannot be loaded into a new build"):
        load_weights(second, first.state_dict())
    if not torch.equal(answers(first, images), answers(second, images)):
        what = f" ({unlike[0]!r} is not in the state dict)" if unlike else ""
        raise InvalidInput(
            f"model {name!r} is not determined by its state dict{what}: a build that loads it "
            "answers differently; keep every tensor in an nn.Parameter or with register_buffer"
        )


def _loose(network: nn.Module) -> dict[str, Tensor]:
    """The modules' tensors that the state dict does not hold, by name."""
    held = set(network.state_dict())
    found = {key: value for key, value in network.named_buffers() if key not in held}
    for prefix, module in network.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor):
                found[f"{prefix}.{key}".lstrip(".")] = value
    return found


def _copied(state: Mapping[str, object]) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in state.items() if isinstance(value, Tensor)}


def _alike(one: object, other: object) -> bool:
    """Whether both are tensors with the same values; values of other types are not compared."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return isinstance(one, Tensor) == isinstance(other, Tensor)
    return one.shape == other.shape and bool(torch.equal(one.nan_to_num(), other.nan_to_num()))
