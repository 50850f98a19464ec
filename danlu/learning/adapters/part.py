"""Methods that add nothing: all weights are trained, or the upper part of them."""

from __future__ import annotations

from typing import Any

from danlu.core.errors import ModelError
from danlu.learning.adapters.base import Adapted, count, parts_of
from danlu.learning.adapters.config import FreezeMethod, FullMethod


def full(model: Any, config: FullMethod) -> Adapted:
    """Every weight is trained."""
    del config
    total = count(model.parameters())
    return Adapted(trainable=total, total=total)


def freeze(model: Any, config: FreezeMethod) -> Adapted:
    """The embeddings and the lowest layers stay as they are; a tied output layer stays with its embedding."""
    parts = parts_of(model)
    depth = len(parts.blocks)
    layers = depth if config.layers == "all" else config.layers
    if layers > depth:
        raise ModelError(
            f"train.method.layers is {layers}, but the model has {depth} layers. Give at most that, or all."
        )
    for name in [*parts.before, *parts.blocks[:layers]]:
        model.get_submodule(name).requires_grad_(False)
    if not any(parameter.requires_grad and parameter.ndim > 1 for parameter in model.parameters()):
        raise ModelError(
            f"With train.method.layers {config.layers} only the last norm of {type(model).__name__} would be trained: "
            f"its output layer is its embedding. Freeze fewer than {depth} layers, or set train.method to "
            "{kind: lora}."
        )
    return Adapted(trainable=count(model.parameters(), trainable=True), total=count(model.parameters()))
