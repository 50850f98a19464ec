"""Which documents share a row of a language model, cut as little as can be.

Shapes: N documents, P pieces of documents, B bins (rows of the model, each of `capacity` tokens), K pieces of one bin.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.integer[Any]]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Pieces that share a row: tokens `begins[k]` to `ends[k]` of document `documents[k]`, [K] each."""

    documents: Integers
    begins: Integers
    ends: Integers

    @property
    def starts(self) -> Positions:
        """Where each piece starts in the row, and the end: the boundaries no attention may cross, [K + 1]."""
        return np.concatenate([[0], np.cumsum(self.ends - self.begins, dtype=np.int64)])


@dataclass(frozen=True, kw_only=True)
class Bins:
    """What `pack` found: `bins[b]` is a `Bin`, made of the pieces `bounds[b]` to `bounds[b + 1]`; bounds are [B + 1].

    `cut_documents` is how many documents are in more than one piece.
    """

    documents: Integers
    begins: Integers
    ends: Integers
    bounds: Positions
    capacity: int
    cut_documents: int

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __iter__(self) -> Iterator[Bin]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Bin:
        index = operator.index(number)
        index += len(self) if index < 0 else 0
        if not 0 <= index < len(self):
            raise IndexError(f"There is no bin {number}: there are {len(self)}, counted from 0.")
        inside = slice(int(self.bounds[index]), int(self.bounds[index + 1]))
        return Bin(documents=self.documents[inside], begins=self.begins[inside], ends=self.ends[inside])

    @functools.cached_property
    def lengths(self) -> Positions:
        """Tokens in each bin, [B]."""
        until = np.concatenate([[0], np.cumsum(self.ends - self.begins, dtype=np.int64)])
        return np.diff(until[self.bounds])

    @property
    def padding_share(self) -> float:
        """Share of all rows, each `capacity` long, that no token fills; 0 where there are none."""
        room = len(self) * self.capacity
        return 1.0 - float(self.lengths.sum()) / room if room else 0.0


def pack(lengths: Integers | Sequence[int], capacity: int, *, cut: bool = False) -> Bins:
    """Which documents share a row of `capacity` tokens. `lengths` [N] are tokens; a document without any is in no bin.

    Best-fit decreasing, as in Ding et al. 2024, "Fewer Truncations Improve Language Modeling" (arXiv:2404.10830): a
    document longer than a row is first cut into full rows and a rest; then, from the longest piece to the shortest,
    each goes to the fullest row that still has room for it. No other document is cut.

    With `cut`, documents stand end to end in their own order and are cut wherever a row is full: no padding but in the
    last row, and many cut documents.

    Raises `ValueError` for a capacity below 1, and for lengths that are not whole numbers of at least 0.
    """
    counted = np.asarray(lengths)
    if not len(counted):
        counted = counted.astype(np.int64)
    if counted.ndim != 1 or counted.dtype.kind not in "iu" or (len(counted) and counted.min() < 0):
        raise ValueError("Lengths must be one row of whole numbers of at least 0: the tokens of each document.")
    if capacity < 1:
        raise ValueError(f"capacity is {capacity}; a row must have room for at least 1 token.")
    return _end_to_end(counted.astype(np.int64), capacity) if cut else _best_fit(counted.astype(np.int64), capacity)


def _narrow(most: int) -> type[np.signedinteger[Any]]:
    return np.int32 if most < 1 << 31 else np.int64


def _repeated(counts: Positions) -> tuple[Integers, Positions]:
    """0 … N - 1, number i `counts[i]` times, and the how-manieth of its kind each is; [P] both."""
    documents = np.repeat(np.arange(len(counts), dtype=_narrow(len(counts))), counts)
    return documents, np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)


def _end_to_end(lengths: Positions, capacity: int) -> Bins:
    stops = np.cumsum(lengths)
    starts = stops - lengths
    first = starts // capacity
    rows_of = np.where(lengths > 0, (stops - 1) // capacity - first + 1, 0)
    documents, within = _repeated(rows_of)
    rows = first[documents] + within
    begins = np.maximum(rows * capacity - starts[documents], 0)
    ends = np.minimum((rows + 1) * capacity - starts[documents], lengths[documents])
    kind = _narrow(int(lengths.max(initial=0)))
    return Bins(
        documents=documents,
        begins=begins.astype(kind),
        ends=ends.astype(kind),
        bounds=np.searchsorted(rows, np.arange(int(rows.max(initial=-1)) + 2)).astype(np.int64),
        capacity=capacity,
        cut_documents=int((rows_of > 1).sum()),
    )


def _best_fit(lengths: Positions, capacity: int) -> Bins:
    rows_of = -(-lengths // capacity)
    kind = _narrow(int(lengths.max(initial=0)))
    documents, within = _repeated(rows_of)
    begins = (within * capacity).astype(kind)
    ends = np.minimum(within * capacity + capacity, lengths[documents]).astype(kind)
    del within
    order = np.argsort(begins - ends, kind="stable")
    bins, made = _place((ends - begins)[order], capacity)
    order = order[np.argsort(bins, kind="stable")]
    return Bins(
        documents=documents[order],
        begins=begins[order],
        ends=ends[order],
        bounds=np.concatenate([[0], np.cumsum(np.bincount(bins, minlength=made))]).astype(np.int64),
        capacity=capacity,
        cut_documents=int((rows_of > 1).sum()),
    )


def _place(sizes: Integers, capacity: int) -> tuple[Integers, int]:
    """The bin of each piece, [P], by best fit, and how many bins there are; `sizes` [P] fall.

    All pieces of one size are placed together: after one of them went to the fullest bin with room for it, that bin
    is the fullest of all, so the next goes there too for as long as it fits. So each bin of the least sufficient room
    takes as many as it holds, then the bins of the next room, then new bins. Equal to piece by piece, in far fewer
    steps where many pieces have one size.
    """
    bins = np.zeros(len(sizes), dtype=_narrow(len(sizes)))
    open_bins = _OpenBins(capacity)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(sizes)) + 1, [len(sizes)]]).tolist()
    for position, stop in itertools.pairwise(edges):
        while position < stop:
            size = int(sizes[position])
            room = open_bins.least_room(size)
            each = room // size
            chosen = open_bins.take(room, -(-(stop - position) // each))
            placed = min(stop - position, each * len(chosen))
            bins[position : position + placed] = np.repeat(chosen, each)[:placed]
            in_last = placed - each * (len(chosen) - 1)
            open_bins.put(room - each * size, chosen[:-1])
            open_bins.put(room - in_last * size, chosen[-1:])
            position += placed
    return bins, open_bins.made


class _OpenBins:
    """Bins by the room they have left, in tokens; there are always more empty ones."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._bins: dict[int, list[Positions]] = {}
        self._any = np.zeros(capacity + 1, dtype=bool)
        # There is always another empty bin.
        self._any[capacity] = True
        self.made = 0

    def least_room(self, size: int) -> int:
        """The room of the fullest bins that have room for `size` tokens."""
        return size + int(np.argmax(self._any[size:]))

    def take(self, room: int, most: int) -> Positions:
        """Up to `most` of the bins with this room, at least one; new ones where it is the whole capacity."""
        if room == self._capacity:
            self.made += most
            return np.arange(self.made - most, self.made)
        waiting = self._bins[room]
        taken: list[Positions] = []
        while waiting and most:
            last = waiting.pop()
            if len(last) > most:
                waiting.append(last[most:])
            taken.append(last[:most])
            most -= len(taken[-1])
        self._any[room] = bool(waiting)
        return np.concatenate(taken)

    def put(self, room: int, bins: Positions) -> None:
        """Bins that now have this room; those without any are full for good."""
        if room and len(bins):
            self._bins.setdefault(room, []).append(bins)
            self._any[room] = True
