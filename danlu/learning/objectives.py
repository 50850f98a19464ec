"""What training aims at, per task, as plain values: how rows become examples, what the loss is, what the score is.

Shapes: B examples in a batch, T tokens of the longest one, K classes, V tokens in the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn import functional as F

from danlu.learning.batching import Batch, Examples
from danlu.learning.text import encode, encode_documents

#: The number that cross-entropy leaves out.
_NO_TARGET = -100


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a model made of one batch. `loss`: mean over `weight` targets, a float32 scalar that carries gradients.

    `predicted`: class numbers [B] for classify, empty for generate.
    """

    loss: torch.Tensor
    weight: float
    predicted: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a model made of a whole part: mean loss, and the score that picks the best checkpoint."""

    loss: float
    score: float


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One task as training sees it.

    `examples(tokenizer, texts, labels, max_length)`: rows as token rows.
    `outcome(model, batch, class_weights)`: one forward pass.
    `score(loss, truth, predicted, classes)`: the task's quality over a whole part.
    `metric` names it; `higher_is_better` says which way it goes.
    """

    examples: Callable[[Tokenizer, Sequence[str], np.ndarray | None, int], Examples]
    outcome: Callable[[Any, Batch, torch.Tensor | None], Outcome]
    score: Callable[[float, np.ndarray, np.ndarray, int], float]
    metric: str
    higher_is_better: bool

    def better(self, score: float, than: float | None) -> bool:
        """Whether `score` beats `than`; anything beats None."""
        return than is None or (score > than if self.higher_is_better else score < than)


def _labelled(tokenizer: Tokenizer, texts: Sequence[str], labels: np.ndarray | None, max_length: int) -> Examples:
    """One example a text, cut to `max_length` tokens."""
    return Examples.from_rows(encode(tokenizer, texts, max_length), labels=labels)


def _documents(tokenizer: Tokenizer, texts: Sequence[str], labels: np.ndarray | None, max_length: int) -> Examples:
    """Each text with its end token; a longer one goes on in further examples.

    A continuation starts with the last token of the piece before, so that every token is a target exactly once and
    no example holds two documents.
    """
    del labels
    pieces, origin = [], []
    for row, document in enumerate(encode_documents(tokenizer, texts)):
        for start in range(0, max(1, len(document) - 1), max_length - 1):
            pieces.append(document[start : start + max_length])
            origin.append(row)
    return Examples.from_rows(pieces, origin=np.array(origin, dtype=np.int64))


def _to_device(batch: Batch, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)
    return ids.to(device, non_blocking=True), mask.to(device, non_blocking=True)


def _classify(model: Any, batch: Batch, class_weights: torch.Tensor | None) -> Outcome:
    """Cross-entropy of the class, each example times the weight [K] of its class.

    The mean is over examples, not over weights as in torch's `weight=`: there the only row of a rare class would
    count no more in its batch than the other rows in theirs. Balanced weights are 1 on average over the training
    rows, so the batches' gradients add up to that of the weighted mean over all rows.
    """
    device = next(model.parameters()).device
    ids, mask = _to_device(batch, device)
    logits = model(input_ids=ids, attention_mask=mask).logits.float()
    labels = torch.from_numpy(batch.labels).to(device)
    losses = F.cross_entropy(logits, labels, reduction="none")
    if class_weights is not None:
        losses = losses * class_weights[labels]
    return Outcome(loss=losses.mean(), weight=float(len(batch)), predicted=logits.argmax(dim=-1))


def _generate(model: Any, batch: Batch, class_weights: torch.Tensor | None) -> Outcome:
    """Cross-entropy of each next token, padding left out: the mean over the batch's real targets."""
    del class_weights
    device = next(model.parameters()).device
    ids, mask = _to_device(batch, device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    # The targets are shifted rather than the logits, which are far larger and would be copied.
    targets = torch.full_like(ids, _NO_TARGET)
    targets[:, :-1] = ids[:, 1:].masked_fill(mask[:, 1:] == 0, _NO_TARGET)
    loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=_NO_TARGET)
    return Outcome(loss=loss, weight=float(batch.mask[:, 1:].sum()), predicted=ids.new_empty(0))


def macro_f1(loss: float, truth: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Mean of 2 TP / (2 TP + FP + FN) over the classes that occur in `truth`, which has at least one row.

    The same as in `danlu.metrics.scores`, so that validation and test scores can be compared.
    """
    del loss
    hits = np.bincount(truth[truth == predicted], minlength=classes)
    support = np.bincount(truth, minlength=classes)
    claims = support + np.bincount(predicted, minlength=classes)
    occurs = support > 0
    return float(np.mean(2 * hits[occurs] / claims[occurs]))


def perplexity(loss: float, truth: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """exp(mean negative log-likelihood of a token), the end of a document counted as one."""
    del truth, predicted, classes
    return math.exp(min(loss, 700.0))


OBJECTIVES: dict[str, Objective] = {
    "classify": Objective(
        examples=_labelled, outcome=_classify, score=macro_f1, metric="macro_f1", higher_is_better=True
    ),
    "generate": Objective(
        examples=_documents, outcome=_generate, score=perplexity, metric="perplexity", higher_is_better=False
    ),
}


def balanced_weights(labels: np.ndarray, classes: int) -> torch.Tensor:
    """N / (K N_k) for each class k [K] (King and Zeng 2001, as in scikit-learn); a class without rows gets 0."""
    counts = np.bincount(labels, minlength=classes)
    weights = np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 0.0)
    return torch.tensor(weights, dtype=torch.float32)
