"""What a method leaves behind, and where the parts of a transformer are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from danlu.core.errors import ModelError


class Adapter(Protocol):
    """What was added to a model, and can be kept apart from it."""

    def save(self, folder: Path, base: str | None) -> None:
        """Write it as peft reads it, with the name of its base."""
        ...

    def restore(self) -> None:
        """Bring the weights below it to the precision that they are merged in."""
        ...

    def merge(self) -> None:
        """Add it to the weights, after which the model is a plain one again; not to be undone."""
        ...


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """A model of which a part is trained. `trainable` and `total` are parameters, the latter of the plain model.

    `adapter` is what was added, or None where some of the model's own weights are trained.
    """

    trainable: int
    total: int
    adapter: Adapter | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A transformer from the text to the answer, as names of modules.

    `before`: embeddings and what is beside them; `blocks`: the layers; `behind`: norms, pooler, classifier.
    """

    before: list[str]
    blocks: list[str]
    behind: list[str]


def parts_of(model: Any) -> Parts:
    """The parts of a model of transformers: what it registers before its list of layers, that, and what comes later.

    Raises `ModelError` for a model without such a list (layers that share weights, or no transformer).
    """
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = (
        name
        for name, module in model.named_modules()
        if name and isinstance(module, nn.ModuleList) and len(module) == depth
    )
    path = next(lists, None)
    if path is None:
        raise ModelError(
            f"{type(model).__name__} has no list of {depth} layers, so its embeddings, layers and head cannot be told "
            "apart. Set train.method to {kind: full}."
        )
    before: list[str] = []
    behind: list[str] = []
    module, prefix = model, ""
    for step in path.split("."):
        passed = False
        for name, child in module.named_children():
            passed = passed or name == step
            if name != step and next(child.parameters(), None) is not None:
                (behind if passed else before).append(prefix + name)
        module, prefix = getattr(module, step), f"{prefix}{step}."
    return Parts(before=before, blocks=[f"{path}.{number}" for number in range(len(module))], behind=behind)


def linear_layers(model: Any, modules: list[str]) -> Iterator[tuple[str, Any]]:
    """Name and module of every linear layer inside the named modules."""
    from transformers.pytorch_utils import Conv1D

    for parent in modules:
        for name, module in model.get_submodule(parent).named_modules():
            if isinstance(module, nn.Linear | Conv1D):
                yield (f"{parent}.{name}" if name else parent), module


def count(parameters: Iterator[Any], *, trainable: bool = False) -> int:
    """How many numbers `parameters` are; with `trainable` only those that get a gradient."""
    return sum(int(value.numel()) for value in parameters if value.requires_grad or not trainable)
