"""Which held-out texts are also, or nearly, in training: recounted from the texts alone.

Nothing that deduplicated or split the corpus is used here, so that a mistake there shows. Exact: no signatures in
place of sets, no sampling (`danlu.metrics.overlap`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from danlu.metrics.overlap import Order, SetIndex, Sets, joined
from danlu.metrics.shingles import (
    BASE,
    INVERSE_OF_BASE,
    Hashes,
    Indices,
    mixed,
    parts_of,
    powers,
    shingle_sequences,
    shingle_sets,
)

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
        self._texts = texts
        hashes = folded_hashes(texts)
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    def _sets(self, texts: Sequence[str]) -> Sets:
        return joined((hashes, bounds) for _, _, hashes, bounds in shingle_sets(texts, self._key))

    def leaks(self, train_texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Pairs [P, 2], sorted, each once: `(position in train_texts, position of a held-out text like it)`."""
        found = [self._equal(train_texts)]
        for start in range(0, len(train_texts), _TEXTS_AT_ONCE):
            sets = self._sets(train_texts[start : start + _TEXTS_AT_ONCE])
            found += [np.stack([rows + start, places], axis=1) for rows, places in self._index.similar(sets)]
        return np.unique(np.concatenate(found), axis=0)

    def _equal(self, train_texts: Sequence[str]) -> Indices:
        """Pairs of equal texts: those with one hash, looked at again."""
        hashes = folded_hashes(train_texts)
        starts, ends = (np.searchsorted(self._hashes, hashes, side=side) for side in ("left", "right"))
        pairs = []
        for row in np.flatnonzero(ends > starts).tolist():
            text = folded(train_texts[row])
            places = self._order[starts[row] : ends[row]].tolist()
            pairs += [(row, place) for place in places if folded(self._texts[place]) == text]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)


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


def folded(text: str) -> str:
    """A text without what does not set two texts apart: case, width, and how much white space there is."""
    return _WHITE_SPACE.sub(" ", unicodedata.normalize("NFKC", text)).strip().casefold()


@lru_cache(maxsize=1)
def _foldings() -> tuple[Hashes, npt.NDArray[np.uint8]]:
    """For each character the hash of what folding makes of it, and how many characters that are.

    Characters are decomposed, because that can be done one at a time; white space becomes nothing.
    """
    values = mixed((np.arange(0x110000, dtype=np.uint64) + np.uint64(1)) * BASE)
    lengths = np.ones(len(values), dtype=np.uint8)
    changed: dict[int, str] = {}
    for code in range(0x30000):
        character = chr(code)
        parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
        if parts != character or character.isspace():
            changed[code] = "".join(parts.split())
    plain = values.copy()
    for code, parts in changed.items():
        value = 0
        for part in reversed(parts):
            value = (value * int(BASE) + int(plain[ord(part)])) & 0xFFFFFFFFFFFFFFFF
        values[code], lengths[code] = value, len(parts)
    return values, lengths


def folded_hashes(texts: Sequence[str]) -> Hashes:
    """A hash of each text [N]; texts that are equal when `folded` have the same.

    Not so where two accents on one letter come in another order; their shingles are equal all the same.
    """
    values, lengths = _foldings()
    result = np.zeros(len(texts), dtype=np.uint64)
    for start, stop in parts_of(texts):
        sizes = np.fromiter(map(len, texts[start:stop]), dtype=np.int64, count=stop - start)
        codes = np.frombuffer("".join(texts[start:stop]).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths[codes], dtype=np.int64)])
        running = np.zeros(len(codes) + 1, dtype=np.uint64)
        np.cumsum(values[codes] * powers(int(ends[-1]) + 1, BASE)[ends[:-1]], out=running[1:])
        bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        own = running[bounds[1:]] - running[bounds[:-1]]
        result[start:stop] = own * powers(int(ends[-1]) + 1, INVERSE_OF_BASE)[ends[bounds[:-1]]]
    return result
