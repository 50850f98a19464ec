"""Which held-out texts are also, or nearly, in training: recounted from the texts alone.

Nothing that deduplicated or split the corpus is used here, so that a mistake there shows. Exact: no signatures in
place of sets, no sampling (`danlu.metrics.overlap`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from danlu.metrics.overlap import Order, SetIndex, Sets, joined
from danlu.metrics.shingles import shingle_sequences, shingle_sets

_WHITE_SPACE = re.compile(r"\s+")
_TEXTS_AT_ONCE = 4096


class HeldOut:
    """Held-out texts, prepared so that any number of training texts can be compared with them, some at a time."""

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        """Raises `ValueError` for a threshold that is not above 0 and at most 1."""
        order = Order(sum(map(len, texts)))
        for _, _, hashes, _ in shingle_sequences(texts):
            order.see(hashes)
        self._key = order.close().key
        self._index = SetIndex(self._sets(texts), threshold)
        self._equal: dict[str, list[int]] = {}
        for place, text in enumerate(texts):
            self._equal.setdefault(_folded(text), []).append(place)

    def _sets(self, texts: Sequence[str]) -> Sets:
        return joined((hashes, bounds) for _, _, hashes, bounds in shingle_sets(texts, self._key))

    def leaks(self, train_texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Pairs [P, 2], sorted, each once: `(position in train_texts, position of a held-out text like it)`."""
        equal = [(row, place) for row, text in enumerate(train_texts) for place in self._equal.get(_folded(text), ())]
        found = [np.array(equal, dtype=np.int64).reshape(-1, 2)]
        for start in range(0, len(train_texts), _TEXTS_AT_ONCE):
            sets = self._sets(train_texts[start : start + _TEXTS_AT_ONCE])
            found += [np.stack([rows + start, places], axis=1) for rows, places in self._index.similar(sets)]
        return np.unique(np.concatenate(found), axis=0)


def leaked_rows(
    train_texts: Sequence[str],
    held_out_texts: Sequence[str],
    threshold: float,
    *,
    advance: Callable[[int], None] | None = None,
) -> list[tuple[int, int]]:
    """Every pair `(position in train_texts, position in held_out_texts)` of texts that are equal or nearly so.

    Two texts are equal when nothing but case, width and white space sets them apart; nearly equal when the Jaccard
    similarity of their shingle sets is at least `threshold` (above 0, at most 1). Sorted, each pair once.
    `advance(n)` is called after every `n` training texts. Raises `ValueError` for another threshold.
    """
    held_out = HeldOut(held_out_texts, threshold)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(train_texts), _TEXTS_AT_ONCE):
        part = train_texts[start : start + _TEXTS_AT_ONCE]
        pairs += [(int(row) + start, int(place)) for row, place in held_out.leaks(part)]
        if advance is not None:
            advance(len(part))
    return pairs


def _folded(text: str) -> str:
    return _WHITE_SPACE.sub(" ", unicodedata.normalize("NFKC", text)).strip().casefold()
