"""Networks by name, the weights of each that are pruned, and what one image costs."""

from trainables.models.imagenet import PUBLISHED, published_weights
from trainables.models.macs import Macs, count_macs, layer_macs
from trainables.models.prunable import parameter_count, prunable_layers, unpruned_weights
from trainables.models.registry import (
    MODELS,
    ModelSpec,
    Outline,
    build_model,
    layer_sizes,
    memory_format,
    outline,
)

__all__ = [
    "MODELS",
    "PUBLISHED",
    "Macs",
    "ModelSpec",
    "Outline",
    "build_model",
    "count_macs",
    "layer_macs",
    "layer_sizes",
    "memory_format",
    "outline",
    "parameter_count",
    "prunable_layers",
    "published_weights",
    "unpruned_weights",
]
