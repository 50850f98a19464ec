"""Pairs of similar sets, found exactly.

Let all sets be sorted in one order, whatever it is. Two sets of Jaccard similarity t or more share at least t|A| and at
least t|B| members, so a member is common to the first |A| - ceil(t|A|) + 1 of A and the first |B| - ceil(t|B|) + 1 of B
(prefix filtering: Chaudhuri, Ganti, Kaushik, "A primitive operator for similarity joins in data cleaning", 2006). Of
the smaller of the two sets even |B| - ceil(2t/(1+t) |B|) + 1 are enough (Xiao et al., "Efficient similarity joins for
near duplicate detection", 2008). The order puts rare members first, so that few sets meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from danlu.metrics.shingles import SET_BITS, Hashes, Indices

Flags = npt.NDArray[np.bool_]

#: Members that are looked at together when pairs are compared, and pairs that are made at once.
_MEMBERS_AT_ONCE = 1 << 20
_PAIRS_AT_ONCE = 1 << 20

#: A key's upper bits say how frequent a member is, the others are its hash.
_CLASS_BITS = 4
_HASH_BITS = SET_BITS - _CLASS_BITS
_HASH = np.uint64((1 << _HASH_BITS) - 1)

#: What an index keeps of a member's hash, above a set's number. Others with the same bits are told apart later.
_ROW_BITS = 24
_INDEXED_BITS = 64 - _ROW_BITS
_INDEXED = np.uint64((1 << _INDEXED_BITS) - 1)
MOST_SETS = 1 << _ROW_BITS


class Stored(Protocol):
    """Members of sets that are somewhere else than in memory."""

    def ranges(self, starts: Indices, sizes: Indices) -> Hashes:
        """Those from `starts[n]` to `starts[n] + sizes[n]`, for one n after the other."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sets:
    """N sets: set n has the members [starts[n]] to [starts[n] + sizes[n]], sorted in one order common to all."""

    members: Hashes | Stored
    starts: Indices
    sizes: Indices

    @classmethod
    def of(cls, members: Hashes, bounds: Indices) -> Sets:
        """From sets as `danlu.metrics.shingles.shingles` returns them."""
        return cls(members=members, starts=bounds[:-1], sizes=np.diff(bounds))

    def gather(self, rows: Indices, most: Indices | None = None) -> tuple[Hashes, Indices]:
        """Members of the sets `rows`, set by set, and how many of each; of set n the first `most[n]` only."""
        sizes = self.sizes[rows] if most is None else np.minimum(self.sizes[rows], most)
        if isinstance(self.members, np.ndarray):
            return self.members[_places(self.starts[rows], sizes)], sizes
        return self.members.ranges(self.starts[rows], sizes), sizes


def _places(starts: Indices, sizes: Indices) -> Indices:
    """All integers from `starts[n]` to `starts[n] + sizes[n]`, for one n after the other."""
    ends = np.cumsum(sizes)
    return np.asarray(np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - sizes), sizes))


class Order:
    """An order of members in which those seen rarely come first, and those never seen before all.

    What is counted is how often a member was seen, in a table that some members share: the order is then not quite by
    frequency, but still one order. The counts go into it as powers of two.
    """

    def __init__(self, members: int) -> None:
        """For about so many different members."""
        bits = min(24, max(12, int(members).bit_length() + 1))
        self._last = np.uint64((1 << bits) - 1)
        self._counts = np.zeros(1 << bits, dtype=np.uint32)
        self._classes = np.zeros(0, dtype=np.uint8)

    def see(self, hashes: Hashes) -> None:
        """Count members, given as 64-bit hashes."""
        np.add.at(self._counts, (hashes >> np.uint64(64 - _HASH_BITS)) & self._last, np.uint32(1))

    def close(self) -> Order:
        """No more members will be seen; from now on there are keys."""
        self._classes = np.zeros(len(self._counts), dtype=np.uint8)
        for power in range((1 << _CLASS_BITS) - 1):
            self._classes += self._counts >= 1 << power
        self._counts = np.zeros(0, dtype=np.uint32)
        return self

    def key(self, hashes: Hashes) -> Hashes:
        """Keys of `SET_BITS` bits that sort 64-bit hashes in this order."""
        keys = hashes >> np.uint64(64 - _HASH_BITS)
        keys |= self._classes[keys & self._last].astype(np.uint64) << np.uint64(_HASH_BITS)
        return keys


def longest_prefix(sizes: Indices, threshold: float) -> Indices:
    """How many first members of each set are enough to meet a set of any size that is as similar as the threshold."""
    return _prefix(sizes, threshold)


def shortest_prefix(sizes: Indices, threshold: float) -> Indices:
    """How many are enough to meet the longest prefix of a set that is at least as large."""
    return _prefix(sizes, 2 * threshold / (1 + threshold))


def _prefix(sizes: Indices, share: float) -> Indices:
    # What is a whole number but for rounding is not rounded up.
    return np.asarray(sizes - np.maximum(1, np.ceil(share * sizes - 1e-9).astype(np.int64)) + 1)


class _Postings:
    """Which sets have a member among their first: sorted integers of a member's hash and a set's number."""

    def __init__(self, sets: Sets, lengths: Indices) -> None:
        members, sizes = sets.gather(np.arange(len(lengths)), lengths)
        self._keys = (members & _INDEXED) << np.uint64(_ROW_BITS)
        self._keys |= np.repeat(np.arange(len(lengths), dtype=np.uint64), sizes)
        self._keys.sort()
        # Most members that are looked up are in no set: a table of their last bits tells so at once.
        bits = min(26, max(12, len(members).bit_length() + 3))
        self._last = np.uint64((1 << bits) - 1)
        self._there = np.zeros(1 << bits, dtype=bool)
        self._there[members & self._last] = True

    def lookup(self, members: Hashes) -> tuple[Indices, Indices, Indices]:
        """`(which, starts, counts)`: members [which] that are in sets, and where those sets lie in the postings."""
        which = np.flatnonzero(self._there[members & self._last])
        low = (members[which] & _INDEXED) << np.uint64(_ROW_BITS)
        starts = np.searchsorted(self._keys, low)
        counts = np.searchsorted(self._keys, low | np.uint64(MOST_SETS - 1), side="right") - starts
        found = counts > 0
        return which[found], starts[found], counts[found]

    def rows(self, places: Indices) -> Indices:
        return (self._keys[places] & np.uint64(MOST_SETS - 1)).astype(np.int64)


class SetIndex:
    """An index of at most `MOST_SETS` sets that finds all sets at least as similar to another as the threshold."""

    def __init__(self, sets: Sets, threshold: float) -> None:
        if not 0.0 < threshold <= 1.0:
            raise ValueError(
                f"The threshold is {threshold:g}; a Jaccard similarity to look for is above 0 and at most 1."
            )
        if len(sets.sizes) > MOST_SETS:
            raise ValueError(f"{len(sets.sizes):,} sets came; an index takes {MOST_SETS:,} at most.")
        self._sets = sets
        self._threshold = threshold
        self._long = _Postings(sets, longest_prefix(sets.sizes, threshold))
        self._short = _Postings(sets, shortest_prefix(sets.sizes, threshold))
        self.truncated = 0
        self.compared = 0

    def similar(
        self,
        others: Sets,
        wanted: Callable[[Indices, Indices], Flags] | None = None,
        most: int | None = None,
    ) -> Iterator[tuple[Indices, Indices]]:
        """`(rows of others, rows of the indexed sets)` of similar sets, some at a time; each pair is there once.

        `wanted(rows of others, rows)` says which pairs are worth comparing. Of the sets that share a member the first
        `most` are looked at; `truncated` counts how often there were more, `compared` how many pairs were compared.
        """
        for first, last in _slices(others.sizes, _MEMBERS_AT_ONCE):
            both = []
            rows = np.arange(first, last)
            for postings, length in ((self._short, longest_prefix), (self._long, shortest_prefix)):
                members, sizes = others.gather(rows, length(others.sizes[rows], self._threshold))
                which, starts, counts = postings.lookup(members)
                if most is not None:
                    self.truncated += int((counts > most).sum())
                    counts = np.minimum(counts, most)
                owner = np.repeat(rows, sizes)[which]
                for begin, end in _slices(counts, _PAIRS_AT_ONCE):
                    left = np.repeat(owner[begin:end], counts[begin:end])
                    right = postings.rows(_places(starts[begin:end], counts[begin:end]))
                    fit = _sizes_fit(others.sizes[left], self._sets.sizes[right], self._threshold)
                    if wanted is not None:
                        fit &= wanted(left, right)
                    both.append(np.unique((left[fit] << _ROW_BITS) | right[fit]))
            pairs = np.unique(np.concatenate(both)) if both else np.zeros(0, dtype=np.int64)
            left, right = pairs >> _ROW_BITS, pairs & (MOST_SETS - 1)
            self.compared += len(pairs)
            similar = reaching(others, self._sets, left, right, self._threshold)
            if similar.any():
                yield left[similar], right[similar]


def _slices(weights: Indices, most: int) -> Iterator[tuple[int, int]]:
    """`(start, stop)` of runs with a weight of at most `most` together, or of one item."""
    ends = np.cumsum(weights)
    start = 0
    while start < len(weights):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield start, stop
        start = stop


def _sizes_fit(left: Indices, right: Indices, threshold: float) -> Flags:
    return np.minimum(left, right) >= threshold * np.maximum(left, right) - 1e-9


def shared_members(one: Sets, other: Sets, left: Indices, right: Indices) -> Indices:
    """How many members set `left[p]` of `one` and set `right[p]` of `other` share [P]."""
    shared = np.zeros(len(left), dtype=np.int64)
    most = 1 << (64 - SET_BITS)
    weights = np.maximum(one.sizes[left] + other.sizes[right], _MEMBERS_AT_ONCE // most)
    for start, stop in _slices(weights, _MEMBERS_AT_ONCE):
        # First one set of each pair, then the other: runs that are sorted, which a merge sort only has to merge.
        counts = np.stack([one.sizes[left[start:stop]], other.sizes[right[start:stop]]], axis=1)
        ends = np.cumsum(counts).reshape(counts.shape)
        keys = np.empty(int(ends[-1, 1]), dtype=np.uint64)
        for side, (sets, rows) in enumerate(((one, left), (other, right))):
            places = _places(ends[:, side] - counts[:, side], counts[:, side])
            keys[places] = sets.gather(rows[start:stop])[0]
        keys |= np.repeat(np.arange(stop - start, dtype=np.uint64) << np.uint64(SET_BITS), counts.sum(axis=1))
        keys.sort(kind="stable")
        again = np.flatnonzero(keys[1:] == keys[:-1])
        shared[start:stop] = np.bincount((keys[again] >> np.uint64(SET_BITS)).astype(np.int64), minlength=stop - start)
    return shared


def reaching(one: Sets, other: Sets, left: Indices, right: Indices, threshold: float) -> Flags:
    """Which of the pairs [P] reach the threshold, by the exact Jaccard similarity of set `left[p]` and `right[p]`."""
    result = _sizes_fit(one.sizes[left], other.sizes[right], threshold)
    near = np.flatnonzero(result)
    left, right = left[near], right[near]
    shared = shared_members(one, other, left, right)
    result[near] = shared >= threshold * (one.sizes[left] + other.sizes[right] - shared)
    return result


def joined(parts: Iterable[tuple[Hashes, Indices]]) -> Sets:
    """Sets that come part by part, each as `danlu.metrics.shingles.shingles` returns them."""
    members, sizes = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    for hashes, bounds in parts:
        members.append(hashes)
        sizes.append(np.diff(bounds))
    bounds = np.zeros(sum(map(len, sizes)) + 1, dtype=np.int64)
    np.cumsum(np.concatenate(sizes), out=bounds[1:])
    return Sets.of(np.concatenate(members), bounds)
