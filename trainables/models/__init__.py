"""Networks by name, and the layers of each that are pruned."""

from trainables.models.registry import (
    MODELS,
    ModelSpec,
    build_model,
    layer_macs,
    layer_sizes,
    prunable_layers,
)

__all__ = ["MODELS", "ModelSpec", "build_model", "layer_macs", "layer_sizes", "prunable_layers"]
