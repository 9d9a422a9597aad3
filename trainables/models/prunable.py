"""Which weights of any network are pruned, why others are not, and how many there are.

Pruned are the matrices and kernels of torch's own layers: those that multiply their input.  A
weight that several layers share is one weight; one that is frozen, or computed from others at each
call, keeps its values, since neither ADMM nor a mask could hold it.  Biases and norms are never
pruned: they are few, and a channel dies with its scale.  Nor are tables of embeddings, which are
read and not multiplied, as Sanh et al. 2020 (movement pruning) leave them: a row is all that the
network knows of a token, and the rarest tokens, seen by few members, would lose theirs first.
"""

from torch import Tensor, nn

KERNELS = (
    nn.Linear,
    nn.Bilinear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
"""Layers whose one matrix or kernel is called `weight`."""

PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""Input projections of nn.MultiheadAttention; its output projection is an nn.Linear."""

TABLES = (nn.Embedding, nn.EmbeddingBag)
"""Layers that read rows of a table by their ids."""

RECURRENT = (nn.RNNBase, nn.RNNCellBase)
"""Layers with several matrices, called weight_ih..., weight_hh... and weight_hr..."""


def prunable_layers(model: nn.Module) -> dict[str, nn.Parameter]:
    """Layer name -> the weight that is pruned, in the order of the network, each weight once.

    A layer is called as its module, or as its parameter where a module has several (`attention.
    in_proj_weight`).
    """
    found: dict[str, nn.Parameter] = {}
    known: set[int] = set()
    for prefix, module in model.named_modules():
        for name in weight_names(module):
            weight = dict(module.named_parameters(recurse=False)).get(name)
            if weight is None or id(weight) in known:
                continue
            if not weight.requires_grad or not weight.numel() or weight.is_complex():
                continue
            known.add(id(weight))
            found[_layer(prefix, name)] = weight
    return found


def unpruned_weights(model: nn.Module) -> dict[str, str]:
    """Name -> why it is not pruned, of every other matrix, kernel and table of the network."""
    pruned = {id(weight) for weight in prunable_layers(model).values()}
    owners = dict(model.named_modules())
    reasons: dict[str, str] = {}
    for name, parameter in model.named_parameters():
        prefix, _, own = name.rpartition(".")
        if parameter.dim() > 1 and id(parameter) not in pruned:
            reasons[name] = _reason(parameter, own, prefix, owners[prefix])
    kept = model.state_dict()
    for name, buffer in model.named_buffers():
        if name in kept and buffer.dim() > 1 and buffer.is_floating_point():
            reasons[name] = "it is a buffer"
    return reasons


def _reason(parameter: nn.Parameter, own: str, prefix: str, owner: nn.Module) -> str:
    if not parameter.requires_grad:
        return "it is frozen"
    if parameter.is_complex():
        return "it is complex"
    if isinstance(owner, TABLES):
        return "a table of embeddings is read, not multiplied by its input"
    if prefix.endswith(".parametrizations.weight") or _computed_from(owner, own):
        return "the layer's weight is computed from it at each call"
    return f"{type(owner).__name__} is not a layer whose weights are pruned"


def masked_layers(model: nn.Module) -> list[str]:
    """Layers that torch.nn.utils.prune has masked: their parameter is not their weight."""
    return [
        prefix
        for prefix, module in model.named_modules()
        for name, _ in module.named_buffers(recurse=False)
        if name.endswith("_mask") and hasattr(module, f"{name.removesuffix('_mask')}_orig")
    ]


def parameter_count(model: nn.Module) -> int:
    """All parameters of the network, each counted once however many names it has."""
    return sum(parameter.numel() for parameter in model.parameters())


def weight_names(module: nn.Module) -> tuple[str, ...]:
    """Names of the parameters of this very module that are matrices or kernels to prune."""
    if isinstance(module, KERNELS):
        return ("weight",)
    if isinstance(module, nn.MultiheadAttention):
        return PROJECTIONS
    if isinstance(module, RECURRENT):
        names = (name for name, _ in module.named_parameters(recurse=False))
        return tuple(name for name in names if name.startswith("weight_"))
    return ()


def _layer(prefix: str, name: str) -> str:
    if not prefix:
        return name
    return prefix if name == "weight" else f"{prefix}.{name}"


def _computed_from(module: nn.Module, own: str) -> bool:
    """Whether old-style weight_norm or spectral_norm makes `weight` of this parameter."""
    made = vars(module).get("weight")
    return own.startswith("weight_") and isinstance(made, Tensor)
