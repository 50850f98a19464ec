"""Texts that belong together lie near one another: multiple negatives (Henderson et al. 2017, arXiv:1705.00652).

B pairs in a batch: B queries, then the B texts that belong to them; T tokens of the longest text, D units of a vector,
N pairs in a part.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from danlu.learning.batching import Batch, Examples
from danlu.learning.objectives.base import Facts, Objective, Outcome, Rows, device_of, forward, to_device
from danlu.learning.objectives.config import ContrastiveObjective
from danlu.learning.pooling import pooled, write_modules
from danlu.learning.text import encode, encode_whole

#: The texts found first that count for the score.
_FIRST = 10

#: Queries whose cosines with all texts are held in memory at once.
_QUERIES_AT_ONCE = 512


def make(config: ContrastiveObjective, facts: Facts) -> Objective:
    """The objective of an encoder whose vectors are compared. A batch may not be taken in pieces."""

    def lengths(rows: Rows) -> list[int]:
        tokens = encode_whole(facts.tokenizer, _sides(rows))
        return [max(len(first), len(second)) for first, second in zip(tokens[::2], tokens[1::2], strict=True)]

    def examples(rows: Rows, max_length: int) -> Examples:
        tokens = encode(facts.tokenizer, _sides(rows), max_length)
        return Examples.from_rows(tokens, group=2, columns={"labels": text_numbers(tokens)})

    def outcome(model: Any, batch: Batch) -> Outcome:
        hidden = forward(model, batch).last_hidden_state
        found = pooled(hidden, to_device(batch.mask, hidden.device), config.pooling)
        queries, matches = found[: len(batch)], found[len(batch) :]
        same = to_device(np.logical_or(*same_texts(batch)), device_of(model))
        own = torch.arange(len(batch), device=found.device)
        cosines = queries @ matches.T / config.temperature
        loss = F.cross_entropy(cosines.masked_fill(same, -torch.inf), own)
        if config.both_ways:
            loss = (loss + F.cross_entropy(cosines.T.masked_fill(same, -torch.inf), own)) / 2
        # Validation compares each query with the texts of the whole part, once all vectors are there.
        vectors = torch.empty(0) if model.training else torch.stack([queries, matches], dim=1)
        return Outcome(loss=loss, weight=float(len(batch)), predicted=vectors)

    def publish(folder: Path, model: Any, max_length: int) -> dict[str, Any]:
        dimensions = int(model.config.hidden_size)
        write_modules(folder, config.pooling, dimensions, max_length)
        return {"pooling": config.pooling, "dimensions": dimensions}

    return Objective(
        lengths=lengths,
        examples=examples,
        weight=lambda batch: float(len(batch)),
        outcome=outcome,
        score=lambda _loss, truth, predicted: mrr_at_10(truth, predicted),
        metric="mrr_at_10",
        higher_is_better=True,
        separable=False,
        publish=publish,
    )


def _sides(rows: Rows) -> list[str]:
    return list(itertools.chain.from_iterable(zip(rows["text"], rows["pair"], strict=True)))


def text_numbers(tokens: list[list[int]]) -> np.ndarray:
    """For each pair the numbers [N, 2] of its two texts: equal ones, as far as they were not cut, have one number."""
    known: dict[tuple[int, ...], int] = {}
    numbers = [known.setdefault(tuple(row), len(known)) for row in tokens]
    return np.array(numbers, dtype=np.int64).reshape(-1, 2)


def same_texts(batch: Batch) -> np.ndarray:
    """[2, B, B] of bool: which queries, and which of their texts, are equal to one another, each to itself apart.

    A text that is right for two queries of a batch is no wrong one for either, and of two texts that are right for one
    query neither is.
    """
    sides = batch.columns["labels"].T
    equal: np.ndarray = (sides[:, :, None] == sides[:, None, :]) & ~np.eye(len(batch), dtype=bool)
    return equal


def mrr_at_10(numbers: np.ndarray, vectors: np.ndarray) -> float:
    """Mean over the queries of 1 / rank of the first text that belongs to it, 0 where the first ten have none.

    Each query is compared with all different texts of the part, by `numbers` [N, 2] and `vectors` [N, 2, D] of pairs.
    Of equal cosines the text that came first is first. The same as in `danlu.metrics.retrieval`, so that validation
    and test scores can be compared, pools of one size given.
    """
    queries, query_of = np.unique(numbers[:, 0], return_index=True)[1], numbers[:, 0]
    pool = np.sort(np.unique(numbers[:, 1], return_index=True)[1])
    right = np.searchsorted(np.sort(numbers[pool, 1]), numbers[:, 1])
    right = np.argsort(numbers[pool, 1])[right]
    total = 0.0
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        chosen = queries[start : start + _QUERIES_AT_ONCE]
        cosines = vectors[chosen, 0] @ vectors[pool, 1].T
        for row, query in enumerate(chosen.tolist()):
            own = right[query_of == query_of[query]]
            ranks = [
                1
                + int((cosines[row] > cosines[row, place]).sum())
                + int((cosines[row, :place] == cosines[row, place]).sum())
                for place in own.tolist()
            ]
            total += 1.0 / min(ranks) if min(ranks) <= _FIRST else 0.0
    return total / len(queries)
