"""Networks by name, and the layers of each that are pruned."""

from trainables.models.imagenet import PUBLISHED, published_weights
from trainables.models.registry import (
    MODELS,
    ModelSpec,
    build_model,
    layer_macs,
    layer_sizes,
    prunable_layers,
)

__all__ = [
    "MODELS",
    "PUBLISHED",
    "ModelSpec",
    "build_model",
    "layer_macs",
    "layer_sizes",
    "prunable_layers",
    "published_weights",
]
