"""What is kept of each text to find its near duplicates: a few numbers, from MinHash with banding.

Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", chapter 3, for banding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from danlu.data.spill import Growing, Spill
from danlu.metrics.shingles import BASE, Hashes, mixed, shingle_sequences

Short = npt.NDArray[np.uint32]

#: Length of a signature at most, and of a band. Longer bands find fewer pairs below the threshold, which cost a
#: comparison; but more bands are needed then to find this share of the pairs at the threshold.
PERMUTATIONS = 128
ROWS = 5
RECALL_AT_THRESHOLD = 0.995

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


def _factors(count: int) -> Short:
    # Multiply-shift hashing (Dietzfelbinger et al., 1997) of 32 bits, factors odd. The hashes that are multiplied are
    # well mixed already, so that no offset is needed.
    generator = np.random.Generator(np.random.PCG64(20_201_116))
    return generator.integers(0, 1 << 31, size=count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)


def signatures_of(texts: Sequence[str], bands: Bands) -> tuple[Short, Hashes]:
    """A hash of 32 bits for each band and text [count, N], and a hash of all shingles of each text [N].

    The second is alike for texts that have the same shingles, each as often.
    """
    used = bands.count * bands.rows
    factors = _factors(used)
    lowest = np.empty((used, len(texts)), dtype=np.uint32)
    same = np.empty(len(texts), dtype=np.uint64)
    for start, stop, hashes, bounds in shingle_sequences(texts):
        cuts = bounds[:-1]
        same[start:stop] = np.add.reduceat(hashes, cuts)
        short = (hashes >> np.uint64(32)).astype(np.uint32)
        product = np.empty_like(short)
        for number in range(used):
            np.multiply(short, factors[number], out=product)
            np.minimum.reduceat(product, cuts, out=lowest[number, start:stop])
    keys = np.zeros((bands.count, len(texts)), dtype=np.uint64)
    for values in lowest.reshape(bands.count, bands.rows, len(texts)).swapaxes(0, 1):
        keys = keys * BASE + values
    return (mixed(keys) >> np.uint64(32)).astype(np.uint32), mixed(same)


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
