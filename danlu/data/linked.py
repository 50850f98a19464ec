"""Which rows belong together, without looking at one after the other wherever that can be avoided.

Rows share *keys*: the text (with all texts of equal shingles it is one key), the subject, the conversation, the family
of augmented rows. Rows with a common key are linked, and so are rows whose texts are a pair of near duplicates. Here
rows are numbered in the order in which they are considered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from danlu.data.near import components

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_NO_PAIRS: Integers = np.zeros((0, 2), dtype=np.int64)


def contracted(pairs: Integers, equal: Flags | None, texts: int) -> tuple[Integers, Integers]:
    """The key of each of `texts` texts, and the pairs [Q, 2] of keys that are near duplicates.

    `pairs` [P, 2] are texts; `equal` [P] marks those whose shingles are equal, which make their texts one key: of such
    texts near-duplicate detection links only the first to others, yet what is near to one is near to all.
    """
    if equal is None or not equal.any():
        return np.arange(texts, dtype=np.int64), pairs
    key = components(pairs[equal], texts)
    others = key[pairs[~equal]]
    return key, others[others[:, 0] != others[:, 1]]


@dataclass(frozen=True, kw_only=True)
class Linked:
    """The rows [N] that have a link, and what links them.

    `rows` [L] are their numbers, ascending. `keys` [L, K] number their keys from 0 to `size - 1` over all kinds of
    key; `size` itself stands for none; the first column is the text's. `pairs` [Q, 2] are near-duplicate texts by
    those numbers. `component` [L] numbers the sets of rows that links join, directly or not.
    """

    rows: Integers
    keys: Integers
    pairs: Integers
    component: Integers
    size: int

    def neighbours(self) -> tuple[Integers, Integers]:
        """Near duplicates of each key: `flat[start[k]:start[k + 1]]` are those of key k, for k up to `size`."""
        both = np.concatenate([self.pairs, self.pairs[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        return both[:, 1], np.searchsorted(both[:, 0], np.arange(self.size + 2))

    def only(self, chosen: Flags) -> Linked:
        """The same of those rows alone that `chosen` [L] marks: links by way of other rows are gone."""
        keys = self.keys[chosen]
        present = np.zeros(self.size + 1, dtype=bool)
        present[keys] = True
        pairs = self.pairs[present[self.pairs].all(axis=1)]
        return Linked(
            rows=self.rows[chosen],
            keys=keys,
            pairs=pairs,
            component=_component_of(keys, pairs, self.size),
            size=self.size,
        )


def find(keys: Sequence[Integers], pairs: Integers) -> tuple[Linked, Flags]:
    """The linked rows, and which of all rows [N] have no link to an earlier one.

    `keys` holds for each kind of key an array [N] of numbers from 0, and -1 for none; the first is the text's, which
    every row has. A kind of which a row may have several keys is an array [N, M]. `pairs` [Q, 2] are numbers of texts;
    those that no row has are left out.
    """
    size = len(keys[0])
    has, first = np.zeros(size, dtype=bool), np.ones(size, dtype=bool)
    position = np.arange(size, dtype=np.int64)
    useful = []
    for number, key in enumerate(keys):
        table = _columns(key)
        rows, column = np.nonzero(table >= 0)
        known = table[rows, column]
        count = np.bincount(known)
        earliest = np.full(len(count), size, dtype=np.int64)
        # Of several values for one place the last one stays.
        earliest[known[::-1]] = rows[::-1]
        several = count > 1
        # A row may be there several times, so nothing is combined in place.
        has[rows[several[known]]] = True
        first[rows[earliest[known] != rows]] = False
        if number == 0:
            pairs = _present(pairs, count)
            nearest = _nearest(pairs, earliest, size)
            has |= nearest[key] < size
            first &= nearest[key] > position
            several |= nearest < size
        useful.append(several)
    rows = np.flatnonzero(has)
    columns, pairs, total = _numbered([key[rows] for key in keys], useful, pairs)
    linked = Linked(rows=rows, keys=columns, pairs=pairs, component=_component_of(columns, pairs, total), size=total)
    return linked, first


def _columns(key: Integers) -> Integers:
    """A kind of key as [N, M]."""
    return key[:, None] if key.ndim == 1 else key


def _present(pairs: Integers, count: Integers) -> Integers:
    """The pairs of which both texts are there."""
    if not len(pairs):
        return _NO_PAIRS
    inside = (pairs < len(count)).all(axis=1)
    pairs = pairs[inside]
    return np.asarray(pairs[(count[pairs] > 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])])


def _nearest(pairs: Integers, earliest: Integers, none: int) -> Integers:
    """The earliest row that has a near duplicate of each text."""
    nearest = np.full(len(earliest), none, dtype=np.int64)
    np.minimum.at(nearest, pairs[:, 0], earliest[pairs[:, 1]])
    np.minimum.at(nearest, pairs[:, 1], earliest[pairs[:, 0]])
    return nearest


def _numbered(keys: list[Integers], useful: list[Flags], pairs: Integers) -> tuple[Integers, Integers, int]:
    """The keys of the linked rows numbered through [L, K], the pairs likewise, and how many keys there are.

    A key that only one row has links nothing and counts as none, except in the first column.
    """
    total = 0
    columns: list[Integers] = []
    for number, (key, several) in enumerate(zip(keys, useful, strict=True)):
        used = np.zeros(len(several) + 1, dtype=bool)
        used[key] = True
        # The last place stands for none: that is where -1 looks.
        used[:-1] &= several if number else True
        used[-1] = False
        numbers = np.where(used, np.cumsum(used) - 1 + total, -1)
        if number == 0:
            pairs = numbers[pairs].reshape(-1, 2)
        columns.append(_columns(numbers[key]))
        total += int(used.sum())
    every = np.concatenate(columns, axis=1)
    every[every < 0] = total
    return every, pairs, total


def _component_of(keys: Integers, pairs: Integers, size: int) -> Integers:
    """The component of each row, numbered from 0 without gaps; `keys` [L, K] as in `Linked`."""
    if not len(keys):
        return np.zeros(0, dtype=np.int64)
    edges = [pairs]
    for column in range(1, keys.shape[1]):
        both = keys[:, [0, column]]
        edges.append(both[both[:, 1] < size])
    of_key = components(np.concatenate(edges), size)
    component: Integers = np.unique(of_key[keys[:, 0]], return_inverse=True)[1]
    return component
