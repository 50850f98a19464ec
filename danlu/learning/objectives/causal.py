"""Each next token: cross-entropy over the tokens that are to be learned, scored by perplexity.

Plain texts are learned whole, conversations where the model speaks (Ouyang et al. 2022, arXiv:2203.02155, train on
the answers of demonstrations). Both may stand in one corpus.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from danlu.learning.batching import NO_TARGET, Batch, Examples
from danlu.learning.chat import Chat, Message, messages_of
from danlu.learning.objectives.base import Facts, Objective, Outcome, Rows, device_of, forward, to_device
from danlu.learning.objectives.config import CausalObjective
from danlu.learning.text import encode_documents, encode_spans


def make(config: CausalObjective, facts: Facts) -> Objective:
    """The objective of a language model."""

    def documents_of(rows: Rows) -> list[_Document]:
        return _read(rows, facts, whole=config.learn == "all")

    def examples(rows: Rows, max_length: int) -> Examples:
        return _cut(documents_of(rows), max_length, facts)

    return Objective(
        lengths=lambda rows: [len(document.tokens) for document in documents_of(rows)],
        examples=examples,
        weight=lambda batch: float(np.count_nonzero(batch.targets != NO_TARGET)),
        outcome=outcome,
        score=perplexity,
        metric="perplexity",
        higher_is_better=False,
    )


@dataclass(frozen=True, kw_only=True)
class _Document:
    """One row in tokens. `learned` says of each whether it is a target; None learns all. `turns` of a conversation."""

    tokens: list[int]
    learned: list[bool] | None = None
    turns: Sequence[Message] = ()


def _read(rows: Rows, facts: Facts, *, whole: bool) -> list[_Document]:
    turns = rows.get("turns") or [None] * len(rows["text"])
    plain = [number for number, said in enumerate(turns) if not said]
    tokens = encode_documents(facts.tokenizer, [rows["text"][number] for number in plain])
    found = {number: _Document(tokens=row) for number, row in zip(plain, tokens, strict=True)}
    for number, said in enumerate(turns):
        if said:
            found[number] = _conversation(said, facts, whole=whole)
    return [found[number] for number in range(len(turns))]


def _conversation(turns: Sequence[Any], facts: Facts, *, whole: bool = False) -> _Document:
    written = _chat(facts).write(messages_of(turns), [turn["learn"] for turn in turns])
    tokens, learned = encode_spans(facts.tokenizer, written.text, written.answers)
    return _Document(tokens=tokens, learned=None if whole else learned, turns=turns)


def _chat(facts: Facts) -> Chat:
    assert facts.chat is not None, "the train stage gives every objective a chat template"
    return facts.chat


def _cut(rows: Sequence[_Document], max_length: int, facts: Facts) -> Examples:
    """Examples of at most `max_length` tokens.

    A longer text goes on in further examples; a continuation starts with the last token of the piece before, so that
    every token is a target exactly once and no example holds two documents. Of a longer conversation the earliest turns
    are left out, but not what the system says; one whose last exchange is longer still loses its end, and is left
    out altogether when no answer is left.
    """
    pieces: list[Sequence[int]] = []
    learned: list[Sequence[bool]] = []
    origin = []
    for number, document in enumerate(rows):
        if document.turns and len(document.tokens) > max_length:
            document = _shortened(document, max_length, facts)
            if document.learned is not None and not any(document.learned[1:]):
                continue
        for start in range(0, max(1, len(document.tokens) - 1), max_length - 1):
            pieces.append(document.tokens[start : start + max_length])
            known = document.learned
            learned.append([True] * len(pieces[-1]) if known is None else known[start : start + max_length])
            origin.append(number)
    whole = all(document.learned is None for document in rows)
    return Examples.from_rows(pieces, learned=None if whole else learned, origin=np.array(origin, dtype=np.int64))


def _shortened(document: _Document, max_length: int, facts: Facts) -> _Document:
    turns = list(document.turns)
    opening = [turn for turn in turns[:1] if turn["role"] == "system"]
    rest = turns[len(opening) :]
    shorter = document
    while len(shorter.tokens) > max_length and len(rest) > 2:
        # Templates expect a user's turn first.
        rest = next((rest[place:] for place in range(1, len(rest)) if rest[place]["role"] == "user"), [])
        if not rest:
            break
        shorter = _conversation([*opening, *rest], facts, whole=document.learned is None)
    known = shorter.learned
    return _Document(
        tokens=shorter.tokens[:max_length], learned=None if known is None else known[:max_length], turns=shorter.turns
    )


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
