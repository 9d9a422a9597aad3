"""The kinds of search space by name, and which is the default; imports nothing heavy."""

KINDS = ("layer", "cluster", "global")
"""The kinds of space: a keep ratio per layer, per group of layers, or for all layers."""

RECIPE = "recipe+"
"""What stands before the kind where the numbers of the pruning recipe are searched too."""

SPACES = (*KINDS, *(RECIPE + kind for kind in KINDS))
"""What --space takes."""

MOST_LAYERS_ALONE = 8
"""The most layers that get a parameter each; with more, few numbers beat many at our budgets."""


def default_kind(n_layers: int) -> str:
    """The space to use when none is asked for: `layer` up to 8 layers, else `cluster`."""
    return "layer" if n_layers <= MOST_LAYERS_ALONE else "cluster"
