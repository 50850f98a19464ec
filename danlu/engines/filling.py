"""Words that are hidden in a text: what an encoder puts in their place, and how well it foresees them.

Shapes: T tokens of a text, M hidden ones, V tokens in the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from danlu.core.errors import ModelError
from danlu.engines.sampling import log_softmax, softmax
from danlu.learning.hidden import mask_token, special_ids
from danlu.learning.text import end_id, start_id

#: Share of a text's tokens that is hidden to score a model, all of them behind the token for hidden words: BERT's
#: share (Devlin et al. 2018, arXiv:1810.04805), without the tenth that training leaves as they are, which are seen.
HIDDEN_SHARE = 0.15

#: How many tokens are told for each hidden word.
_TOLD = 5

_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A text with its hidden words filled in. `masks`: for each hidden word the most probable tokens, best first.

    A token that goes on from the word before it is told as the vocabulary writes it ("##ing"), and joined in `text`.
    """

    text: str
    masks: tuple[tuple[tuple[str, float], ...], ...]

    def told(self) -> dict[str, Any]:
        """As JSON: `filled`, and for each hidden word a list of `{"token", "probability"}`."""
        return {
            "filled": self.text,
            "masks": [[{"token": token, "probability": chance} for token, chance in one] for one in self.masks],
        }


@dataclass(frozen=True, kw_only=True)
class HiddenScore:
    """How well a model foresees the hidden tokens of one text: `ids` [M], the natural logarithms of the probability
    that it gives each, float64 [M], and whether it holds each for the most probable, bool [M].
    """

    ids: np.ndarray
    log_likelihood: np.ndarray
    right: np.ndarray


class Special:
    """The special tokens of an encoder. Raises `ModelError` where it has none to hide words with."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        found, begin, end = mask_token(tokenizer), start_id(tokenizer), end_id(tokenizer)
        if found is None or begin is None or end is None:
            raise ModelError(
                "The model's tokenizer has no token to hide words with ([MASK] or <mask>), or none for the beginning "
                "and end of a text, so there is nothing to fill in. Export the model again with `danlu run`."
            )
        self.name, self.mask = found
        self.begin, self.end = begin, end
        self._tokenizer = tokenizer
        self._none = special_ids(tokenizer)
        #: What vocabularies of pieces, such as BERT's, write before one that goes on from the piece before it.
        self._goes_on: str = getattr(tokenizer.model, "continuing_subword_prefix", None) or ""

    def fill(self, text: str, logits: np.ndarray) -> Filled:
        """`text` with the most probable tokens in its gaps, from logits [M, V] for each of them, in their order."""
        masks = tuple(self._best(row) for row in logits)
        # Not by looking for the next gap: one that nothing was found for, or that lies beyond the longest text, stays.
        before, *others = text.split(self.name)
        for place, after in enumerate(others):
            best = masks[place] if place < len(masks) else ()
            before = (self._joined(before, best[0][0].strip()) if best else before + self.name) + after
        return Filled(text=before, masks=masks)

    def _joined(self, before: str, token: str) -> str:
        """`token` behind what is before it: a piece of a word without its mark, and with no blank between."""
        if not self._goes_on or not token.startswith(self._goes_on) or token == self._goes_on:
            return before + token
        return before.rstrip() + token.removeprefix(self._goes_on)

    def _best(self, logits: np.ndarray) -> tuple[tuple[str, float], ...]:
        """The most probable tokens that spell something by themselves: a byte of a character does not."""
        chances = softmax(logits)
        chances[self._none] = 0.0
        found: list[tuple[str, float]] = []
        for number in np.argsort(-chances, kind="stable").tolist():
            token = self._tokenizer.decode([number])
            if token.strip() and _NO_CHARACTER not in token:
                found.append((token, float(chances[number])))
            if len(found) == _TOLD:
                break
        return tuple(found)


def hidden_score(ids: np.ndarray, logits: np.ndarray) -> HiddenScore:
    """How well logits [M, V] foresee `ids` [M]."""
    logs = log_softmax(logits.astype(np.float64))
    return HiddenScore(
        ids=ids, log_likelihood=logs[np.arange(len(ids)), ids], right=np.asarray(logits.argmax(axis=-1) == ids)
    )


def joined(parts: list[HiddenScore]) -> HiddenScore:
    """The score of a text from those of its windows."""
    return HiddenScore(
        ids=np.concatenate([part.ids for part in parts]) if parts else np.zeros(0, dtype=np.int64),
        log_likelihood=np.concatenate([part.log_likelihood for part in parts]) if parts else np.zeros(0),
        right=np.concatenate([part.right for part in parts]) if parts else np.zeros(0, dtype=bool),
    )
