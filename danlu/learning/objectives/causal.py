"""Each next token: cross-entropy over the tokens that are to be learned, scored by perplexity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from danlu.learning import chunked
from danlu.learning.batching import NO_TARGET, Batch, Examples, TokenRow
from danlu.learning.objectives.base import Facts, Objective, Outcome, Rows, device_of, forward, to_device
from danlu.learning.objectives.config import CausalObjective
from danlu.learning.objectives.turns import Cuts, chat_of, fitted, turns_of
from danlu.learning.text import encode_documents, encode_whole


def make(config: CausalObjective, facts: Facts) -> Objective:
    """The objective of a language model."""

    def rows_of(blocks: Iterable[Rows], max_length: int) -> Iterator[TokenRow]:
        return token_rows(facts, blocks, max_length, learn_all=config.learn == "all")

    return Objective(
        lengths=lambda rows: lengths(facts, rows),
        examples=lambda rows, max_length: Examples.gathered(rows_of([rows], max_length)),
        token_rows=rows_of,
        weight=targets,
        outcome=outcome,
        score=perplexity,
        metric="perplexity",
        higher_is_better=False,
    )


def lengths(facts: Facts, rows: Rows) -> list[int]:
    """Tokens of each row as it is written: a conversation by the chat template, a plain text as it is."""
    conversations = turns_of(rows)
    plain = iter(encode_whole(facts.tokenizer, _plain(rows, conversations)))
    return [
        len(next(plain)) if turns is None else chat_of(facts).count(facts.tokenizer, turns) for turns in conversations
    ]


def _plain(rows: Rows, conversations: Sequence[Any]) -> list[str]:
    """The texts of the rows that are no conversation: only these are read as they are."""
    return [text for text, turns in zip(rows["text"], conversations, strict=True) if turns is None]


def token_rows(facts: Facts, blocks: Iterable[Rows], max_length: int, *, learn_all: bool) -> Iterator[TokenRow]:
    """Plain texts whole, of conversations the answers (or, with `learn_all`, every token)."""
    cuts = Cuts()
    kept = before = 0
    for rows in blocks:
        conversations = turns_of(rows)
        documents = iter(encode_documents(facts.tokenizer, _plain(rows, conversations)))
        for row, turns in enumerate(conversations, start=before):
            if turns is None:
                found = [TokenRow(ids=piece, origin=row) for piece in cut(next(documents), max_length)]
            else:
                written = fitted(chat_of(facts), facts.tokenizer, turns, max_length, cuts)
                found = [
                    TokenRow(ids=one.ids, origin=row, learned=None if learn_all else one.learned) for one in written
                ]
            yield from found
            kept += len(found)
        before += len(conversations)
    cuts.tell(facts.warn, max_length, kept=kept)


def cut(document: Sequence[int], max_length: int) -> list[list[int]]:
    """A document in pieces of at most `max_length` tokens.

    A continuation starts with the last token of the piece before, so that every token is a target exactly once and
    no piece holds two documents.
    """
    starts = range(0, max(1, len(document) - 1), max_length - 1)
    return [list(document[start : start + max_length]) for start in starts]


def targets(batch: Batch) -> float:
    """How many tokens of `batch` are to be foreseen."""
    return float(np.count_nonzero(batch.targets != NO_TARGET))


def outcome(model: Any, batch: Batch) -> Outcome:
    """Cross-entropy of each next token that is a target: the mean over the batch's targets."""
    # The targets are shifted rather than the logits, which are far larger and would be copied.
    wanted = to_device(batch.targets, device_of(model))
    if chunked.applies(model, batch, once=True):
        loss = chunked.mean_loss(chunked.states(model, batch), wanted)
    else:
        logits = forward(model, batch, causal=True, use_cache=False).logits
        loss = F.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=NO_TARGET)
    return Outcome(loss=loss, weight=targets(batch), predicted=torch.empty(0, dtype=torch.int64))


def perplexity(loss: float, truth: np.ndarray, predicted: np.ndarray) -> float:
    """exp(mean negative log-likelihood of a token), the end of a document or an answer counted as one."""
    del truth, predicted
    return math.exp(min(loss, 700.0))
