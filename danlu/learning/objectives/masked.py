"""Hidden words, from those around them: BERT's first task (Devlin et al. 2018, arXiv:1810.04805, section 3.1).

B texts in a batch, T tokens of the longest one, M targets.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn import functional as F

from danlu.core.errors import ModelError
from danlu.core.lazy import need
from danlu.learning.batching import Batch, Examples
from danlu.learning.hidden import MASK_NAMES, mask_token, special_ids
from danlu.learning.objectives.base import Facts, Objective, Outcome, Rows, device_of, to_device
from danlu.learning.objectives.config import MaskedObjective
from danlu.learning.text import encode_whole, end_id, start_id

#: Of the tokens to be foreseen so many are hidden, and so many more replaced by another token; the rest stays.
HIDDEN, REPLACED = 0.8, 0.1

WORDS = "words"

#: Where BERT and RoBERTa, and who is built like them, keep the head that turns vectors into logits, one by one.
_HEADS = ("cls", "lm_head")

#: Validation hides the same tokens of a batch each time, so that scores can be compared.
_VALIDATION_SEED = 1


def make(config: MaskedObjective, facts: Facts) -> Objective:
    """The objective of an encoder that reads plain texts."""
    tokens = _Tokens(facts.tokenizer)

    def lengths(rows: Rows) -> list[int]:
        return [len(row) for row in encode_whole(facts.tokenizer, rows["text"])]

    def outcome(model: Any, batch: Batch) -> Outcome:
        """Cross-entropy of the tokens that were chosen: the mean over them."""
        generator = None if model.training else torch.Generator().manual_seed(_VALIDATION_SEED)
        ids, chosen = tokens.hide(batch, targets_of(batch, tokens, config.share), generator)
        device = device_of(model)
        truth = torch.from_numpy(batch.ids)[chosen].to(device)
        logits = foreseen(model, ids.to(device), to_device(batch.mask, device), chosen.to(device))
        loss = F.cross_entropy(logits.float(), truth)
        return Outcome(loss=loss, weight=float(len(truth)), predicted=torch.empty(0, dtype=torch.int64))

    return Objective(
        lengths=lengths,
        examples=lambda rows, max_length: examples(config, tokens, rows, max_length),
        weight=lambda batch: float(targets_of(batch, tokens, config.share).sum()),
        outcome=outcome,
        score=lambda loss, _truth, _predicted: math.exp(min(loss, 700.0)),
        metric="masked_perplexity",
        higher_is_better=False,
    )


def foreseen(model: Any, ids: torch.Tensor, mask: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Logits [M, V] at the places that are `chosen` [B, T] alone: the head, mostly half of the work, sees no others."""
    head = next((getattr(model, name) for name in _HEADS if hasattr(model, name)), None)
    if head is None or getattr(model, "_compiled_call_impl", None) is not None:
        whole: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
        return whole[chosen]
    narrowing = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][chosen], *inputs[1:]))
    try:
        logits: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
    finally:
        narrowing.remove()
    return logits


class _Tokens:
    """The special tokens of an encoder, and what may stand in the place of a word."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        mask, begin, end = mask_token(tokenizer), start_id(tokenizer), end_id(tokenizer)
        if mask is None or begin is None or end is None:
            raise ModelError(
                f"The model's tokenizer has no token to hide words with ({' or '.join(MASK_NAMES)}), or none for the "
                "beginning and end of a text. Masked training needs an encoder, such as BERT or ModernBERT."
            )
        self.mask, self.begin, self.end = mask[1], begin, end
        self.special = special_ids(tokenizer)
        self.ordinary = torch.from_numpy(np.setdiff1d(np.arange(tokenizer.get_vocab_size()), self.special))

    def hide(
        self, batch: Batch, counts: np.ndarray, generator: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`(ids, chosen)` [B, T]: the batch with `counts` [B] tokens of each text chosen and mostly hidden.

        With words (column `WORDS`) whole words are chosen; of the last one perhaps only the first tokens, so that the
        number of targets is known beforehand. Noise comes from `generator`, or torch's own, which the loop seeds.
        """
        ids = torch.from_numpy(batch.ids).clone()
        allowed = torch.from_numpy(may_hide(batch, self))
        draws = torch.rand(ids.shape, generator=generator)
        if WORDS in batch.columns:
            words = torch.from_numpy(batch.columns[WORDS][:, : ids.shape[1]].astype(np.int64)).clamp(min=0)
            draws = draws.gather(1, words)
        # A stable sort keeps the tokens of a word, which have the same draw, together and in their order.
        order = draws.masked_fill(~allowed, 2.0).argsort(dim=1, stable=True)
        ranks = torch.empty_like(order).scatter_(1, order, torch.arange(ids.shape[1]).expand_as(order))
        chosen = ranks < torch.from_numpy(counts)[:, None]
        fate = torch.rand(ids.shape, generator=generator)
        others = self.ordinary[torch.randint(len(self.ordinary), ids.shape, generator=generator)]
        ids[chosen & (fate < HIDDEN)] = self.mask
        replaced = chosen & (fate >= HIDDEN) & (fate < HIDDEN + REPLACED)
        ids[replaced] = others[replaced]
        return ids, chosen


def may_hide(batch: Batch, tokens: _Tokens) -> np.ndarray:
    """Which tokens [B, T] are words, neither padding nor special."""
    allowed: np.ndarray = (batch.mask == 1) & ~np.isin(batch.ids, tokens.special)
    return allowed


def targets_of(batch: Batch, tokens: _Tokens, share: float) -> np.ndarray:
    """How many tokens of each text [B] are to be foreseen: its share, and one at least where it has any."""
    words = may_hide(batch, tokens).sum(axis=1)
    counts: np.ndarray = np.minimum(words, np.maximum(1, np.rint(share * words).astype(np.int64)))
    return counts


def examples(config: MaskedObjective, tokens: _Tokens, rows: Rows, max_length: int) -> Examples:
    """Each text as examples of at most `max_length` tokens, first and last token included; a longer one goes on."""
    pieces, words, origin = [], [], []
    room = max_length - 2
    tokens.tokenizer.no_truncation()
    encodings = tokens.tokenizer.encode_batch(list(rows["text"]), add_special_tokens=False)
    for row, (text, encoding) in enumerate(zip(rows["text"], encodings, strict=True)):
        numbers = word_numbers(text, encoding.offsets) if config.whole_words else [0] * len(encoding.ids)
        for start in range(0, len(encoding.ids), room):
            piece = encoding.ids[start : start + room]
            pieces.append([tokens.begin, *piece, tokens.end])
            # Numbers within a piece, beginning at 1: the first token is none of a word.
            first = numbers[start]
            words.append([0, *(number - first + 1 for number in numbers[start : start + room]), 0])
            origin.append(row)
    found = Examples.from_rows(pieces, origin=np.array(origin, dtype=np.int64))
    if not config.whole_words:
        return found
    table = np.zeros((len(words), int(found.lengths.max(initial=0))), dtype=np.int16)
    for place, numbers in enumerate(words):
        table[place, : len(numbers)] = numbers
    return found.with_columns(**{WORDS: table})


def word_numbers(text: str, offsets: list[tuple[int, int]]) -> list[int]:
    """The number of the word that each token begins in, counted over the words that tokens begin in.

    Whole words of Chinese as in Cui et al. 2019, arXiv:1906.08101.
    """
    jieba: Any = need("rjieba", "chinese")
    ends = np.cumsum([len(word) for word in jieba.cut(text)])
    found = np.searchsorted(ends, [begin for begin, _ in offsets], side="right")
    numbers: list[int] = np.cumsum(np.diff(found, prepend=found[:1]) != 0).tolist()
    return numbers
