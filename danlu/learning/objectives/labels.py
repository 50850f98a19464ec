"""Any number of labels a text: binary cross-entropy for each label by itself, scored by average precision.

B texts in a batch, N in a part, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from danlu.learning.batching import Batch, Examples
from danlu.learning.objectives import questions
from danlu.learning.objectives.base import Facts, HeadLoss, Objective, Outcome, Rows, forward, to_device
from danlu.learning.objectives.config import LabelsObjective

#: A label's rows count at most so many times as much as the others; rarer ones would make single steps too large.
_LARGEST_WEIGHT = 100.0


def make(config: LabelsObjective, facts: Facts) -> Objective:
    """The objective for the labels in `facts.labels`; `facts.targets` are the labels of each training row."""
    head = head_loss(config, facts)

    def lengths(rows: Rows) -> list[int]:
        return questions.lengths(facts, rows)

    def examples(rows: Rows, max_length: int) -> Examples:
        return questions.examples(facts, rows, max_length, head.truth(rows["labels"]))

    def outcome(model: Any, batch: Batch) -> Outcome:
        logits = forward(model, batch).logits.float()
        truth = to_device(batch.columns["labels"], logits.device)
        return head.outcome(logits, truth)

    return Objective(
        lengths=lengths,
        examples=examples,
        weight=lambda batch: float(len(batch)),
        outcome=outcome,
        score=lambda _loss, truth, predicted: head.quality(truth, predicted),
        metric="average_precision",
        higher_is_better=True,
    )


def head_loss(config: LabelsObjective, facts: Facts) -> HeadLoss:
    """What a head learns for the labels in `facts.labels`; `facts.targets` are the labels of each training row."""
    weights = None
    if config.positive_weights == "balanced":
        weights = positive_weights(indicators(facts.targets, facts.labels))

    def loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        scale = None if weights is None else weights.to(logits.device)
        return F.binary_cross_entropy_with_logits(logits, truth, pos_weight=scale)

    return HeadLoss(
        truth=lambda answers: indicators(answers, facts.labels),
        loss=loss,
        predicted=torch.sigmoid,
        quality=average_precision,
    )


def indicators(rows: Sequence[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """1.0 where a row has a label, else 0.0: float32 [N, K]."""
    numbers = {label: place for place, label in enumerate(labels)}
    found = np.zeros((len(rows), len(labels)), dtype=np.float32)
    for row, names in enumerate(rows):
        found[row, [numbers[name] for name in names]] = 1.0
    return found


def positive_weights(truth: np.ndarray) -> torch.Tensor:
    """How much a row that has a label counts beside one that has not: rows without over rows with it [K].

    So both weigh the same in the label's loss; a label that no row has gets 1.
    """
    positive = truth.sum(axis=0, dtype=np.float64)
    weights = np.where(positive > 0, (len(truth) - positive) / np.maximum(positive, 1.0), 1.0)
    return torch.tensor(np.clip(weights, 1.0 / _LARGEST_WEIGHT, _LARGEST_WEIGHT), dtype=torch.float32)


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Mean over the labels that occur of the average precision of the rows ranked by their score [N, K]; 0 for none.

    The sum over thresholds of precision times the recall gained there, as in `danlu.metrics.multilabel`: validation
    and test scores can be compared. It needs no threshold, and those of the labels are chosen after training.
    """
    found = []
    for positive, score in zip(truth.T > 0, scores.T, strict=True):
        if not positive.any():
            continue
        order = np.argsort(-score, kind="stable")
        ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
        hits = np.cumsum(positive[order])[ends]
        found.append(float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1]))
    return float(np.mean(found)) if found else 0.0
