"""Sets that share members, found exactly.

Two sets with a Jaccard similarity of at least t share at least t |A| members, whichever of the two A is. So one of any
|A| - ceil(t |A|) + 1 members of A is also in B, and looking up the rarest members of A finds every B (prefix filtering:
Chaudhuri, Ganti, Kaushik, "A primitive operator for similarity joins in data cleaning", 2006).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from danlu.metrics.shingles import Hashes, Indices


@dataclass(frozen=True, kw_only=True)
class SetIndex:
    """Many sets, as far as their members are in a vocabulary of V members, numbered from 0.

    `sizes` [N]: members of each set, in the vocabulary or not. `members` and `bounds` [N+1]: those in it, set by set.
    `rows` and `starts` [V+1]: the sets that hold each member, in order. `frequency` [V]: how many those are.
    """

    sizes: Indices
    members: npt.NDArray[np.int32]
    bounds: Indices
    rows: npt.NDArray[np.int32]
    starts: Indices
    frequency: Indices

    @classmethod
    def of(cls, parts: Iterable[tuple[Hashes, Indices]], vocabulary: Hashes) -> SetIndex:
        """From sets as `shingles` returns them, part by part; `vocabulary` [V] is sorted."""
        sizes = [np.zeros(0, dtype=np.int64)]
        members, rows = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int32)]
        start = 0
        for hashes, bounds in parts:
            place = np.minimum(np.searchsorted(vocabulary, hashes), len(vocabulary) - 1)
            known = vocabulary[place] == hashes
            sizes.append(np.diff(bounds))
            members.append(place[known].astype(np.int32))
            owner = np.repeat(np.arange(start, start + len(bounds) - 1, dtype=np.int32), np.diff(bounds))
            rows.append(owner[known])
            start += len(bounds) - 1
        member, row = np.concatenate(members), np.concatenate(rows)
        frequency = np.bincount(member, minlength=len(vocabulary))
        return cls(
            sizes=np.concatenate(sizes),
            members=member,
            bounds=np.searchsorted(row, np.arange(start + 1)).astype(np.int64),
            rows=row[np.argsort(member, kind="stable")],
            starts=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(frequency)]),
            frequency=frequency,
        )

    def rarest(self, own: Indices, threshold: float) -> Indices:
        """So many of a set's members, the rarest, that a set as similar as the threshold must hold one of them."""
        least = max(1, math.ceil(threshold * len(own) - 1e-9))
        return own[np.argsort(self.frequency[own], kind="stable")[: len(own) - least + 1]]

    def holding(self, members: Indices, most: int | None = None) -> Indices:
        """The sets that hold any of these members, once for each; of each member `most` sets, or all."""
        ends = self.starts[members + 1]
        ends = ends if most is None else np.minimum(ends, self.starts[members] + most)
        return np.concatenate([self.rows[a:b] for a, b in zip(self.starts[members], ends, strict=True)]).astype(
            np.int64
        )

    def similar(self, own: Indices, rows: Indices, threshold: float, marks: npt.NDArray[np.bool_]) -> Indices:
        """Those of the sets `rows` that are as similar to the set `own` as the threshold.

        `own` is complete, and each of `rows` shares a member with it. `marks` [V] is all false, before and after.
        """
        if not len(rows):
            return rows
        counts = self.bounds[rows + 1] - self.bounds[rows]
        starts = np.cumsum(counts) - counts
        places = np.arange(int(counts.sum())) + np.repeat(self.bounds[rows] - starts, counts)
        marks[own] = True
        shared = np.add.reduceat(marks[self.members[places]], starts, dtype=np.int64)
        marks[own] = False
        return rows[shared >= threshold * (len(own) + self.sizes[rows] - shared)]
