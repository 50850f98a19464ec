"""The step by other methods, with and without checkpointing, as it runs on an accelerator: for the table of options."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from accelerate.state import AcceleratorState
from torch import nn

from danlu.core.errors import DanluError
from danlu.learning.adapters.base import linear_layers, parts_of
from danlu.learning.adapters.config import check_start
from danlu.learning.batching import Batch
from danlu.plan.config import TrainConfig
from danlu.plan.trace import Request, prepared, traced_step

#: The methods that are traced; what 4-bit weights save is worked out from those of LoRA.
METHODS = ("full", "freeze", "lora")


def trace_variants(request: Request, alone: Batch) -> list[dict[str, Any]]:
    """Peaks and work of the step for each method, with and without checkpointing; `alone`: a batch of one example.

    Products are in bfloat16. What a method or a model cannot do is left out. `AcceleratorState` is that of the last.
    """
    found = []
    for method in METHODS:
        for checkpointing in (False, True):
            train = _with(request.train, method, checkpointing=checkpointing)
            try:
                check_start(train.method, has_base=request.base is not None)
                found.append(_one(dataclasses.replace(request, train=train, precision="bfloat16"), alone))
            except (DanluError, ValueError):
                continue
    return found


def _with(train: TrainConfig, method: str, *, checkpointing: bool) -> TrainConfig:
    """`train` with another method; the recipe's own keeps its settings. An optimizer for GPUs alone has no fake."""
    told = train.model_dump(mode="json")
    if told["method"]["kind"] != method:
        told["method"] = {"kind": method}
    if told["optimizer"]["kind"] == "adamw8bit":
        told["optimizer"] = {"kind": "adamw"}
    return TrainConfig.model_validate(told | {"checkpointing": checkpointing, "micro_batch": None})


def _one(request: Request, alone: Batch) -> dict[str, Any]:
    AcceleratorState._reset_state(reset_partial_state=True)
    objective, model, _ = prepared(request, change=_as_on_an_accelerator)
    shown = _facts(model)
    many, one, update = traced_step(request, objective, model, [request.pieces[0], alone], short=False)
    return {
        "method": request.train.method.kind,
        "checkpointing": request.train.checkpointing,
        "many": many | shown,
        "one": one | shown,
        "update": update,
    }


def _as_on_an_accelerator(model: nn.Module) -> None:
    """No dropout of attention: there the kernel draws it without keeping a matrix, on a CPU it would be kept."""
    for module in model.modules():
        if type(module).__name__.endswith("SelfAttention") and isinstance(getattr(module, "dropout", None), nn.Dropout):
            module.dropout = nn.Dropout(0.0)
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # type: ignore[assignment]


def _facts(model: Any) -> dict[str, Any]:
    """What the table's arithmetic needs of a model: trained numbers, layers, and bytes that 4 bits would shrink."""
    blocks: Sequence[str] = parts_of(model).blocks
    linear = [module.weight for _, module in linear_layers(model, list(blocks))]
    return {
        "trainable": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        "layers": len(blocks),
        "linear_bytes": sum(4 * weight.numel() for weight in linear if not weight.requires_grad),
    }
