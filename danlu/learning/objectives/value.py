"""A number a text: squared or Huber loss on standardised numbers, scored by the mean absolute error in the user's unit.

B texts in a batch, N in a part.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from danlu.core.artifact import write_json
from danlu.learning.batching import Batch, Examples
from danlu.learning.models import CONFIG, read_config
from danlu.learning.objectives import questions
from danlu.learning.objectives.base import Facts, HeadLoss, Objective, Outcome, Rows, forward, to_device
from danlu.learning.objectives.config import ValueObjective
from danlu.learning.scale import Scale


def make(config: ValueObjective, facts: Facts) -> Objective:
    """The objective for numbers that are standardised as the training rows' are: `facts.targets`."""
    head = head_loss(config, facts)
    scale = head.scale
    assert scale is not None

    def lengths(rows: Rows) -> list[int]:
        return questions.lengths(facts, rows)

    def examples(rows: Rows, max_length: int) -> Examples:
        return questions.examples(facts, rows, max_length, head.truth(rows["value"]))

    def outcome(model: Any, batch: Batch) -> Outcome:
        logits = forward(model, batch).logits.float()
        return head.outcome(logits, to_device(batch.columns["labels"], logits.device))

    def score(loss: float, truth: np.ndarray, predicted: np.ndarray) -> float:
        del loss
        return scale.std * float(np.abs(predicted.astype(np.float64) - truth).mean())

    def publish(folder: Path, model: Any, max_length: int) -> dict[str, Any]:
        del model, max_length
        # In config.json too, so that whoever has the model's folder alone can tell its unit.
        write_json(folder / CONFIG, read_config(folder) | {"target_mean": scale.mean, "target_std": scale.std})
        return {"scale": asdict(scale)}

    return Objective(
        lengths=lengths,
        examples=examples,
        weight=lambda batch: float(len(batch)),
        outcome=outcome,
        score=score,
        metric="mae",
        higher_is_better=False,
        publish=publish,
    )


def head_loss(config: ValueObjective, facts: Facts) -> HeadLoss:
    """What a head learns for numbers that are standardised as the training rows' are: `facts.targets`.

    Its quality is 1 less the mean absolute error in standard deviations of the training rows: 1 where every number is
    right, near 0 for answers that are a standard deviation off, and below for worse ones.
    """
    scale = Scale.of(facts.targets)

    return HeadLoss(
        truth=scale.standardised,
        loss=lambda logits, truth: _loss(config, logits[:, 0], truth),
        predicted=lambda logits: logits[:, 0],
        quality=lambda truth, predicted: 1.0 - float(np.abs(predicted.astype(np.float64) - truth).mean()),
        scale=scale,
    )


def _loss(config: ValueObjective, answers: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean over the texts [B], a scalar: (a - t)^2, or Huber's (1964, doi:10.1214/aoms/1177703732) over delta.

    Huber's loss is half the square up to delta and a line beyond; over delta its slope out there is 1 for any delta.
    """
    if config.loss == "squared":
        return F.mse_loss(answers, truth)
    return F.huber_loss(answers, truth, delta=config.delta) / config.delta
