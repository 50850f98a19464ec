"""One class a text: cross-entropy, scored by macro F1."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from danlu.learning.batching import Batch, Examples
from danlu.learning.objectives import questions
from danlu.learning.objectives.base import Facts, HeadLoss, Objective, Outcome, Rows, forward, to_device
from danlu.learning.objectives.config import ClassesObjective


def make(config: ClassesObjective, facts: Facts) -> Objective:
    """The objective for the classes in `facts.labels`."""
    head = head_loss(config, facts)

    def lengths(rows: Rows) -> list[int]:
        return questions.lengths(facts, rows)

    def examples(rows: Rows, max_length: int) -> Examples:
        return questions.examples(facts, rows, max_length, head.truth(rows["label"]))

    def outcome(model: Any, batch: Batch) -> Outcome:
        logits = forward(model, batch).logits.float()
        labels = to_device(batch.columns["labels"], logits.device)
        return head.outcome(logits, labels)

    def score(loss: float, truth: np.ndarray, predicted: np.ndarray) -> float:
        del loss
        return head.quality(truth, predicted)

    return Objective(
        lengths=lengths,
        examples=examples,
        weight=lambda batch: float(len(batch)),
        outcome=outcome,
        score=score,
        metric="macro_f1",
        higher_is_better=True,
    )


def head_loss(config: ClassesObjective, facts: Facts) -> HeadLoss:
    """What a head learns for the classes in `facts.labels`."""
    numbers = {label: index for index, label in enumerate(facts.labels)}

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return label_losses(logits, labels, facts.class_weights, config.label_smoothing).mean()

    return HeadLoss(
        truth=lambda answers: np.array([numbers[label] for label in answers], dtype=np.int64),
        loss=loss,
        predicted=lambda logits: logits.argmax(dim=-1),
        quality=lambda truth, predicted: macro_f1(truth, predicted, len(facts.labels)),
    )


def label_losses(
    logits: torch.Tensor, labels: torch.Tensor, class_weights: torch.Tensor | None, smoothing: float = 0.0
) -> torch.Tensor:
    """Cross-entropy [B] of the class, each example times the weight [K] of its class.

    A batch's loss is their mean over examples, not over weights as in torch's `weight=`: there the only row of a rare
    class would count no more in its batch than the other rows in theirs. Balanced weights are 1 on average over the
    training rows, so the batches' gradients add up to that of the weighted mean over all rows.
    """
    losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    return losses if class_weights is None else losses * class_weights.to(logits.device)[labels]


def macro_f1(truth: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Mean of 2 TP / (2 TP + FP + FN) over the classes that occur in `truth`, which has at least one row.

    The same as in `danlu.metrics.scores`, so that validation and test scores can be compared.
    """
    hits = np.bincount(truth[truth == predicted], minlength=classes)
    support = np.bincount(truth, minlength=classes)
    claims = support + np.bincount(predicted, minlength=classes)
    occurs = support > 0
    return float(np.mean(2 * hits[occurs] / claims[occurs]))


def balanced_weights(labels: np.ndarray, classes: int) -> torch.Tensor:
    """N / (K N_k) for each class k [K] (King and Zeng 2001, as in scikit-learn); a class without rows gets 0."""
    counts = np.bincount(labels, minlength=classes)
    weights = np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 0.0)
    return torch.tensor(weights, dtype=torch.float32)
