"""Each next token: cross-entropy over the tokens that are to be learned, scored by perplexity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from danlu.learning.batching import NO_TARGET, Batch, Examples
from danlu.learning.objectives.base import Facts, Objective, Outcome, Rows, device_of, forward, to_device
from danlu.learning.objectives.config import CausalObjective
from danlu.learning.text import encode_documents, encode_whole


def make(config: CausalObjective, facts: Facts) -> Objective:
    """The objective of a language model."""

    def lengths(rows: Rows) -> list[int]:
        return [len(row) for row in encode_whole(facts.tokenizer, rows["text"])]

    def examples(rows: Rows, max_length: int) -> Examples:
        return documents(encode_documents(facts.tokenizer, rows["text"]), max_length)

    return Objective(
        lengths=lengths,
        examples=examples,
        weight=lambda batch: float(np.count_nonzero(batch.targets != NO_TARGET)),
        outcome=outcome,
        score=perplexity,
        metric="perplexity",
        higher_is_better=False,
    )


def documents(tokens: list[list[int]], max_length: int) -> Examples:
    """Each document as examples of at most `max_length` tokens; a longer one goes on in further examples.

    A continuation starts with the last token of the piece before, so that every token is a target exactly once and
    no example holds two documents.
    """
    pieces, origin = [], []
    for row, document in enumerate(tokens):
        for start in range(0, max(1, len(document) - 1), max_length - 1):
            pieces.append(document[start : start + max_length])
            origin.append(row)
    return Examples.from_rows(pieces, origin=np.array(origin, dtype=np.int64))


def outcome(model: Any, batch: Batch) -> Outcome:
    """Cross-entropy of each next token that is a target: the mean over the batch's targets."""
    logits = forward(model, batch, use_cache=False).logits
    # The targets are shifted rather than the logits, which are far larger and would be copied.
    targets = to_device(batch.targets, device_of(model))
    loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NO_TARGET)
    weight = float(np.count_nonzero(batch.targets != NO_TARGET))
    return Outcome(loss=loss, weight=weight, predicted=torch.empty(0, dtype=torch.int64))


def perplexity(loss: float, truth: np.ndarray, predicted: np.ndarray) -> float:
    """exp(mean negative log-likelihood of a token), the end of a document counted as one."""
    del truth, predicted
    return math.exp(min(loss, 700.0))
