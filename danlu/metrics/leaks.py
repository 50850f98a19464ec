"""Which held-out texts are also, or nearly, in training: recounted from the texts alone.

Nothing that deduplicated or split the corpus is used here, so that a mistake there shows. Exact: no signatures in
place of sets, no sampling (`danlu.metrics.overlap`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np

from danlu.metrics.overlap import SetIndex
from danlu.metrics.shingles import shingles, shingles_in_parts

_WHITE_SPACE = re.compile(r"\s+")
_TEXTS_AT_ONCE = 4096


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
    `advance(n)` is called after every `n` held-out texts. Raises `ValueError` for another threshold.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"The threshold is {threshold:g}; a Jaccard similarity to look for is above 0 and at most 1.")
    if not train_texts or not held_out_texts:
        return []
    pairs = _equal(train_texts, held_out_texts)
    hashes, bounds = shingles_in_parts(held_out_texts)
    vocabulary, members = np.unique(hashes, return_inverse=True)
    parts = (train_texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(train_texts), _TEXTS_AT_ONCE))
    train = SetIndex.of((shingles(part) for part in parts), vocabulary)
    marks = np.zeros(len(vocabulary), dtype=bool)
    for place in range(len(held_out_texts)):
        own = members[bounds[place] : bounds[place + 1]]
        rows = np.unique(train.holding(train.rarest(own, threshold)))
        pairs.update((int(row), place) for row in train.similar(own, rows, threshold, marks))
        if advance is not None:
            advance(1)
    return sorted(pairs)


def _equal(train_texts: Sequence[str], held_out_texts: Sequence[str]) -> set[tuple[int, int]]:
    wanted: dict[str, list[int]] = {}
    for place, text in enumerate(held_out_texts):
        wanted.setdefault(_folded(text), []).append(place)
    return {(row, place) for row, text in enumerate(train_texts) for place in wanted.get(_folded(text), ())}


def _folded(text: str) -> str:
    return _WHITE_SPACE.sub(" ", unicodedata.normalize("NFKC", text)).strip().casefold()
