"""What is kept of each text to find its near duplicates: a few numbers, from MinHash with banding.

Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", chapter 3, for banding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from danlu.data.spill import Growing, Spill
from danlu.metrics.shingles import BASE, Hashes, Indices, by_script, mixed, padded_sequences

Short = npt.NDArray[np.uint32]

#: Reduces hashes to one for each text by a ufunc: `(ufunc, hashes, out [texts])`.
Reduce = Callable[[np.ufunc, Short, Short], object]

#: Length of a signature at most, and of a band. Longer bands find fewer pairs below the threshold, which cost a
#: comparison; but more bands are needed then to find this share of the pairs at the threshold.
PERMUTATIONS = 128
ROWS = 5
RECALL_AT_THRESHOLD = 0.995

#: Texts of fewer shingles are compared side by side, about so many at once; of others about so many shingles.
_SHORT = 96
_SHORT_AT_ONCE = 512
_HASHES_AT_ONCE = 1 << 16

#: What part of the memory budget the signatures may take.
_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Bands:
    """How a signature is divided: `count` bands of `rows` values each."""

    count: int
    rows: int


def bands_for(threshold: float) -> Bands:
    """The fewest bands that find `RECALL_AT_THRESHOLD` of pairs at the threshold, of at most `ROWS` values each.

    A pair of Jaccard similarity s shares a band with probability 1 - (1 - s^rows)^count. Raises `ValueError` for a
    threshold that is not above 0 and at most 1.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"The threshold is {threshold:g}; a Jaccard similarity to look for is above 0 and at most 1.")
    for rows in range(ROWS, 0, -1):
        missed = 1 - threshold**rows
        count = math.ceil(math.log(1 - RECALL_AT_THRESHOLD) / math.log(missed)) if missed > 0 else 1
        if count * rows <= PERMUTATIONS:
            return Bands(count=count, rows=rows)
    return Bands(count=PERMUTATIONS, rows=1)


@lru_cache(maxsize=4)
def _factors(count: int) -> Short:
    # Multiply-shift hashing (Dietzfelbinger et al., 1997) of 32 bits, factors odd. The hashes that are multiplied are
    # well mixed already, so that no offset is needed.
    generator = np.random.Generator(np.random.PCG64(20_201_116))
    return generator.integers(0, 1 << 31, size=count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)


def signatures_of(texts: Sequence[str], bands: Bands) -> tuple[Short, Hashes]:
    """A hash of 32 bits for each band and text [count, N], and a hash of all shingles of each text [N].

    The second is alike for texts that have the same shingles, each as often.
    """
    banded = np.empty((bands.count, len(texts)), dtype=np.uint32)
    same = np.empty(len(texts), dtype=np.uint64)
    for places, alike in by_script(texts):
        short, lengths = [], []
        for start, stop, hashes, bounds, repeats in padded_sequences(alike):
            last = repeats.astype(np.uint64) * hashes[bounds[1:] - 1]
            same[places[start:stop]] = np.add.reduceat(hashes, bounds[:-1]) - last
            short.append((hashes >> np.uint64(32)).astype(np.uint32))
            lengths.append(np.diff(bounds))
        for rows, values in _banded(np.concatenate(short), np.concatenate(lengths), bands):
            banded[:, places[rows]] = values
    return banded, mixed(same)


def _banded(hashes: Short, lengths: Indices, bands: Bands) -> Iterator[tuple[Indices, Short]]:
    """`(texts [B], their hashes for each band [count, B])`, some at a time; text n has the next `lengths[n]` hashes."""
    starts = np.cumsum(lengths) - lengths
    short = np.flatnonzero(lengths < _SHORT)
    short = short[np.argsort(lengths[short], kind="stable")]
    for block in np.array_split(short, -(-len(short) // _SHORT_AT_ONCE)) if len(short) else ():
        # Side by side, a text to a column, so that many are compared at once; of each the last hash fills the column.
        places = starts[block] + np.minimum(np.arange(lengths[block[-1]])[:, np.newaxis], lengths[block] - 1)
        yield block, _hashes_of_bands(hashes[places], lambda of, each, out: of.reduce(each, out=out), len(block), bands)
    long = np.flatnonzero(lengths >= _SHORT)
    portion = np.cumsum(lengths[long]) // _HASHES_AT_ONCE
    for block in np.split(long, np.flatnonzero(np.diff(portion)) + 1) if len(long) else ():
        cuts = np.cumsum(lengths[block]) - lengths[block]
        if block[-1] - block[0] == len(block) - 1:
            own = hashes[starts[block[0]] : starts[block[-1]] + lengths[block[-1]]]
        else:
            own = np.concatenate([hashes[starts[text] : starts[text] + lengths[text]] for text in block.tolist()])
        yield block, _hashes_of_bands(own, partial(_each, cuts), len(block), bands)


def _each(cuts: Indices, of: np.ufunc, hashes: Short, out: Short) -> None:
    of.reduceat(hashes, cuts, out=out)


def _hashes_of_bands(hashes: Short, reduce: Reduce, texts: int, bands: Bands) -> Short:
    """A hash for each band and text [count, texts]; `reduce` says which of the hashes are those of one text."""
    used = bands.count * bands.rows
    half = -(-used // 2)
    product = np.empty_like(hashes)
    chosen = np.empty((used, texts), dtype=np.uint32)
    for number, factor in enumerate(_factors(half)):
        np.multiply(hashes, factor, out=product)
        reduce(np.minimum, product, chosen[number])
        if number + half < used:
            # The largest product is the negative of the smallest with the negative factor, which is odd as well.
            reduce(np.maximum, product, chosen[number + half])
    lowest = chosen.reshape(bands.count, bands.rows, texts)
    keys = lowest[:, 0].astype(np.uint64)
    for row in range(1, bands.rows):
        keys = keys * BASE + lowest[:, row]
    return (mixed(keys) >> np.uint64(32)).astype(np.uint32)


class Signatures:
    """The signatures of texts, numbered from 0 as they are added.

    They take `bytes_per_text` each, in memory as long as that is within the budget, and then in files.
    """

    def __init__(self, threshold: float, spill: Spill | None = None) -> None:
        self.threshold = threshold
        self.bands = bands_for(threshold)
        self.spill = spill or Spill()
        share = _SHARE * 4 / self.bytes_per_text
        self.band = [Growing(np.uint32, self.spill, share) for _ in range(self.bands.count)]
        self.same = Growing(np.uint64, self.spill, 2 * share)

    @property
    def bytes_per_text(self) -> int:
        """Bytes that are kept of each text, in memory or in files."""
        return 4 * self.bands.count + 8

    def __len__(self) -> int:
        return len(self.same)

    def add(self, texts: Sequence[str]) -> None:
        """Add the signatures of some thousand texts."""
        if texts:
            hashes, same = signatures_of(texts, self.bands)
            for band, values in zip(self.band, hashes, strict=True):
                band.append(values)
            self.same.append(same)
