"""One step of training: the real one, which the plan may trace too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

from danlu.core.machine import Machine
from danlu.learning.batching import Batch
from danlu.learning.objectives.base import Objective

#: Where bfloat16 products run in hardware they are used for matrix products; weights and sums stay float32.
MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16"}


def make_accelerator(precision: str) -> Accelerator:
    """An Accelerator, for precision and wrapping only; `precision` is float32 or bfloat16."""
    return Accelerator(mixed_precision=MIXED_PRECISION[precision])


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """`loss`: the batch's mean; `weight`: targets it is the mean of; `norm`: the gradient's, before clipping; `rate`:
    the learning rate; `samples`: the batch's size.
    """

    loss: float
    weight: float
    norm: float
    rate: float
    samples: int

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.norm)


def train_step(
    accelerator: Accelerator,
    model: Any,
    optimizer: Any,
    objective: Objective,
    batches: Sequence[Batch],
    *,
    rate: float,
    clip: float,
) -> StepResult:
    """Forward and backward for each of `batches`, then clip and update once, as if they were one batch.

    Each batch counts by its targets, so that 8 batches of one give the gradient of one batch of 8. Weights are left
    as they were when loss or gradient are not finite.
    """
    weights = [objective.weight(batch) for batch in batches]
    total = sum(weights)
    loss = 0.0
    for batch, weight in zip(batches, weights, strict=True):
        outcome = objective.outcome(model, batch)
        share = weight / total if total else 0.0
        accelerator.backward(outcome.loss if share == 1.0 else outcome.loss * share)
        loss += outcome.loss.item() * share
    norm = accelerator.clip_grad_norm_(model.parameters(), clip)
    result = StepResult(
        loss=loss, weight=total, norm=float(norm), rate=rate, samples=sum(len(batch) for batch in batches)
    )
    if result.finite:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return result


def choose_precision(wanted: str, machine: Machine) -> str:
    """`train.precision` as float32 or bfloat16: auto takes bfloat16 where products in it run in hardware."""
    if wanted != "auto":
        return wanted
    hardware = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else machine.has_bf16
    return "bfloat16" if hardware else "float32"
