"""Texts that belong together lie near one another: multiple negatives (Henderson et al. 2017, arXiv:1705.00652).

B pairs in a batch: B questions, then their B answers; T tokens of the longest text, D units of a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from danlu.core.errors import DataError
from danlu.learning.batching import Batch, Examples
from danlu.learning.objectives.base import Facts, Objective, Outcome, Rows, device_of, forward, to_device
from danlu.learning.objectives.config import ContrastiveObjective
from danlu.learning.objectives.turns import turns_of
from danlu.learning.text import encode, encode_whole


def make(config: ContrastiveObjective, facts: Facts) -> Objective:
    """The objective of an encoder whose vectors are compared. A batch may not be taken in pieces."""

    def lengths(rows: Rows) -> list[int]:
        tokens = encode_whole(facts.tokenizer, [text for _, pair in pairs(rows) for text in pair])
        return [max(len(first), len(second)) for first, second in zip(tokens[::2], tokens[1::2], strict=True)]

    def examples(rows: Rows, max_length: int) -> Examples:
        found = pairs(rows)
        texts = [text for _, pair in found for text in pair]
        origin = np.array([row for row, _ in found], dtype=np.int64)
        return Examples.from_rows(encode(facts.tokenizer, texts, max_length), origin=origin, group=2)

    def outcome(model: Any, batch: Batch) -> Outcome:
        hidden = forward(model, batch).last_hidden_state.float()
        found = F.normalize(POOLINGS[config.pooling](hidden, to_device(batch.mask, hidden.device)), dim=-1)
        questions, answers = found[: len(batch)], found[len(batch) :]
        same = to_device(same_texts(batch), device_of(model))
        scores = (questions @ answers.T / config.temperature).masked_fill(same[1], -torch.inf)
        own = torch.arange(len(batch), device=scores.device)
        loss = F.cross_entropy(scores, own)
        if config.both_ways:
            back = (answers @ questions.T / config.temperature).masked_fill(same[0], -torch.inf)
            loss = (loss + F.cross_entropy(back, own)) / 2
        return Outcome(loss=loss, weight=float(len(batch)), predicted=(scores.argmax(dim=1) == own).long())

    return Objective(
        lengths=lengths,
        examples=examples,
        weight=lambda batch: float(len(batch)),
        outcome=outcome,
        score=lambda _loss, _truth, predicted: float(predicted.mean()),
        metric="found_in_batch",
        higher_is_better=True,
        separable=False,
    )


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the tokens [B, T, D] that are no padding (Reimers and Gurevych 2019, arXiv:1908.10084)."""
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


#: How the tokens' vectors [B, T, D] and their mask [B, T] become the text's [B, D].
POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mean": _mean,
    "first": lambda hidden, _mask: hidden[:, 0],
}


def same_texts(batch: Batch) -> np.ndarray:
    """[2, B, B] of bool: which questions, and which answers, are equal to one another, each text to itself apart.

    An answer that is right for two questions of a batch is no wrong one for either.
    """
    _, numbers = np.unique(batch.ids, axis=0, return_inverse=True)
    sides = numbers.reshape(2, len(batch))
    equal: np.ndarray = (sides[:, :, None] == sides[:, None, :]) & ~np.eye(len(batch), dtype=bool)
    return equal


def pairs(rows: Rows) -> list[tuple[int, tuple[str, str]]]:
    """The row's number and two texts that belong together: its `pair`, or a question and its answer of its turns.

    Each answer that is learned makes a pair with the user's turn right before it. Raises `DataError` where there are
    none.
    """
    given = rows.get("pair") or [None] * len(rows["text"])
    found = []
    for number, (pair, turns) in enumerate(zip(given, turns_of(rows), strict=True)):
        if pair is not None:
            found.append((number, (pair[0], pair[1])))
            continue
        for before, turn in zip(turns or [], (turns or [])[1:], strict=False):
            if turn.learn and before.role == "user":
                found.append((number, (before.text, turn.text)))
    if not found:
        raise DataError(
            "No row holds two texts that belong together. train.objective.kind contrastive learns from conversations "
            "(a question and its answer) or from a column pair."
        )
    return found
