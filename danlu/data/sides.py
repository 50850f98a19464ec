"""On which side a row goes: with what it is linked to, or where the hash of its content sends it.

A side is a part, or, where folds are asked for, a part and a fold: train in fold 0, 1, ..., validation in fold 0, 1,
..., and test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from danlu.data.linked import Integers, Linked

Hashes = npt.NDArray[np.uint64]
Small = npt.NDArray[np.int8]
Members = Sequence[Sequence[int]]

TRAIN, VALIDATION, TEST = range(3)

#: The side of a row that is on none.
NONE = -1

#: What the draws of one seed are for: each use has a stream of its own.
_PART, _FOLD, _COUNTED = range(3)

#: For at most so many groups of a label the shares are kept exactly, rather than left to the hash.
_LONGEST_OPENING = 100

_WORD = 1 << 64


def scramble(contents: Hashes, seed: int, stream: int = _PART) -> Hashes:
    """A uniform draw in 0 ... 2^64 - 1 from each content hash, the seed and the stream.

    The finaliser of splitmix64 (Steele, Lea and Flood, 2014, doi:10.1145/2660193.2660195).
    """
    start = (seed * 0x9E3779B97F4A7C15 + stream * 0x8CB92BA72F3D8DD7 + 0xD1B54A32D192ED03) % _WORD
    value = contents ^ np.uint64(start)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)))


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How many of the groups each part gets, and how many folds there are (0: none)."""

    validation: float
    test: float
    folds: int
    seed: int

    @property
    def opening(self) -> int:
        """So many groups of a label are dealt out by count: enough for the smallest part to be due one."""
        return min(_LONGEST_OPENING, math.ceil(1 / min(self.validation, self.test)))

    def parts(self, contents: Hashes) -> Small:
        """The part that the hash gives to a group, by the content hash of its first row."""
        draw = scramble(contents, self.seed)
        test = np.uint64(int(self.test * _WORD))
        held_out = np.uint64(int((self.test + self.validation) * _WORD))
        return np.where(draw < test, TEST, np.where(draw < held_out, VALIDATION, TRAIN)).astype(np.int8)

    def fold_of(self, contents: Hashes) -> Small:
        """The fold that the hash gives to a group, by the content hash of its first row."""
        draw = scramble(contents, self.seed, _FOLD) >> np.uint64(32)
        return (draw * np.uint64(max(1, self.folds)) >> np.uint64(32)).astype(np.int8)

    def side(self, part: Small, fold: Small) -> Small:
        """Parts and folds as sides."""
        folds = max(1, self.folds)
        return np.where(part == TEST, 2 * folds, part * np.int8(folds) + fold).astype(np.int8)

    def part_and_fold(self, side: Small) -> tuple[Small, Small]:
        """Sides as parts and folds; the fold is -1 for test, where there are none, and for rows on no side."""
        folds = max(1, self.folds)
        part = np.where(side < 0, NONE, side // folds).astype(np.int8)
        fold = np.where((part == TRAIN) | (part == VALIDATION), side % folds, NONE) if self.folds else part * 0 - 1
        return part, fold.astype(np.int8)


@dataclass
class _Dealt:
    """How many groups of a label each part and each fold has."""

    parts: list[int] = field(default_factory=lambda: [0, 0, 0])
    folds: list[int] = field(default_factory=list)


class Founding:
    """Decides the side of groups one after the other: the first ones of each label by count, later ones by hash.

    The first group of a label is trained on, the next two are for validation and test in an order that the hash draws,
    and up to `Shares.opening` groups each goes to the part that is furthest below its share. So a label with three
    groups is in every part, one with a single group is learned, and small labels keep to the shares. The first groups
    outside of test take different folds.

    A group with several labels goes where the one of them with the fewest groups so far sends it, and counts for all:
    the rule of iterative stratification (Sechidis et al. 2011, doi:10.1007/978-3-642-23808-6_10, section 3). There the
    rarest label of the whole data comes first; here groups keep their order, so that rows added later move none.
    `members` are the labels of each value of `Candidates.label`; None where each is one label.
    """

    def __init__(self, shares: Shares, members: Members | None = None) -> None:
        self._shares = shares
        self._members = members
        self._opening = shares.opening
        self._wanted = (1 - shares.validation - shares.test, shares.validation, shares.test)
        self._dealt: dict[int, _Dealt] = {}

    def found(self, label: int, part: int, fold: int, draw: int) -> int:
        """The side of a new group of `label`; the hash gave it `part` and `fold`, and `draw` for what else is drawn."""
        every = self._of(label)
        fewest = min(sum(dealt.parts) for dealt in every)
        rarest = [dealt for dealt in every if sum(dealt.parts) == fewest]
        dealt = rarest[draw // 4 % len(rarest)]
        if fewest < self._opening:
            part = self._due(dealt.parts, draw)
        folds = len(dealt.folds)
        if part != TEST and sum(dealt.folds) < folds:
            free = [number for number, count in enumerate(dealt.folds) if not count]
            fold = free[draw // 2 % len(free)]
        side = 2 * max(1, folds) if part == TEST else part * max(1, folds) + (fold if folds else 0)
        self.count(label, side)
        return side

    def count(self, label: int, side: int) -> None:
        """Take note of a group that was on `side` before."""
        folds = max(1, self._shares.folds)
        part = side // folds
        for dealt in self._of(label):
            dealt.parts[part] += 1
            if dealt.folds and part != TEST:
                dealt.folds[side % folds] += 1

    def _of(self, label: int) -> list[_Dealt]:
        labels = (label,) if self._members is None or label < 0 else self._members[label]
        for one in labels:
            if one not in self._dealt:
                self._dealt[one] = _Dealt(folds=[0] * self._shares.folds)
        return [self._dealt[one] for one in labels]

    def _due(self, counts: list[int], draw: int) -> int:
        if not counts[TRAIN]:
            return TRAIN
        empty = [part for part in (VALIDATION, TEST) if not counts[part]]
        if empty:
            return empty[draw % len(empty)]
        after = sum(counts) + 1
        return max((TRAIN, VALIDATION, TEST), key=lambda part: self._wanted[part] * after - counts[part])


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Rows [N] in the order in which they are considered, as far as sides are concerned.

    `own` is the side that a row has by itself (its time, an earlier corpus) or -1; `pinned` marks those that keep it
    whatever they are linked to; `first` those without a link to an earlier row; `label` is -1 for a row that does not
    count for its label; `content` are hashes. `members`: see `Founding`.
    """

    own: Small
    pinned: npt.NDArray[np.bool_]
    first: npt.NDArray[np.bool_]
    label: Integers
    content: Hashes
    members: Members | None = None


def decide(rows: Candidates, linked: Linked, shares: Shares) -> tuple[Small, npt.NDArray[np.bool_]]:
    """The side of each row [N], -1 for rejected ones, and which components of `linked` were decided row by row.

    A component in which a single row decides, or all that decide agree, takes that side as a whole: whoever looks at
    its rows in order finds each linked to earlier ones of that side only. Other components are gone through row by
    row, and so are the first groups of each label.
    """
    one_by_one = _undecided(rows, linked)
    by_row = one_by_one[linked.component]
    inside = np.zeros(len(rows.own), dtype=bool)
    inside[linked.rows[by_row]] = True
    by_hash = shares.parts(rows.content)
    free = rows.first & ~inside & (rows.own < 0)
    side = rows.own.copy()
    side[free] = shares.side(by_hash[free], shares.fold_of(rows.content[free]))
    if free.any():
        expected = np.where(rows.own < 0, by_hash, shares.part_and_fold(rows.own)[0])
        inside |= _opening(rows, rows.first & ~inside, expected, shares)
    chosen = np.flatnonzero(inside)
    side[chosen] = _row_by_row(rows, linked, by_row, chosen, by_hash[chosen], shares)
    whole, followers = linked.component[~by_row], linked.rows[~by_row]
    deciding = rows.first[followers] | (rows.own[followers] >= 0)
    of_component = np.full(len(one_by_one), NONE, dtype=np.int8)
    of_component[whole[deciding]] = side[followers[deciding]]
    side[followers] = of_component[whole]
    return side, one_by_one


def _undecided(rows: Candidates, linked: Linked) -> npt.NDArray[np.bool_]:
    """Which components have rows that may decide differently."""
    count = int(linked.component.max()) + 1 if len(linked.component) else 0
    own = rows.own[linked.rows]
    fixed = own >= 0
    free = np.bincount(linked.component[rows.first[linked.rows] & ~fixed], minlength=count)
    lowest, highest = np.full(count, np.iinfo(np.int8).max, dtype=np.int8), np.full(count, NONE, dtype=np.int8)
    np.minimum.at(lowest, linked.component[fixed], own[fixed])
    np.maximum.at(highest, linked.component[fixed], own[fixed])
    return np.asarray(np.where(highest < 0, free > 1, (free > 0) | (lowest != highest)))


def _opening(rows: Candidates, founders: npt.NDArray[np.bool_], part: Small, shares: Shares) -> npt.NDArray[np.bool_]:
    """Those of the `founders` that may be among the first groups of their label. `part` is theirs if they are not."""
    result = np.zeros(len(founders), dtype=bool)
    founding = np.flatnonzero(founders & (rows.label >= 0))
    early = _leading_of_any(rows.label[founding], rows.members, shares.opening)
    result[founding[early]] = True
    if shares.folds:
        rest = founding[~early]
        rest = rest[part[rest] != TEST]
        result[rest[_leading_of_any(rows.label[rest], rows.members, shares.folds)]] = True
    return result


def _leading_of_any(label: Integers, members: Members | None, most: int) -> npt.NDArray[np.bool_]:
    """Which rows are among the first `most` of any of their labels."""
    if members is None:
        return _leading(label, most)
    sizes = np.array([len(labels) for labels in members], dtype=np.int64)
    flat = np.array([one for labels in members for one in labels], dtype=np.int64)
    owner = np.repeat(np.arange(len(label)), sizes[label])
    within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes[label]) - sizes[label], sizes[label])
    each = flat[(np.cumsum(sizes) - sizes)[label][owner] + within]
    result = np.zeros(len(label), dtype=bool)
    result[owner[_leading(each, most)]] = True
    return result


def _leading(label: Integers, most: int) -> npt.NDArray[np.bool_]:
    """Which are among the first `most` of their label."""
    result = np.zeros(len(label), dtype=bool)
    if len(label):
        # Small integers are sorted by counting.
        order = np.argsort(label.astype(np.min_scalar_type(int(label.max()))), kind="stable")
        size = np.bincount(label)
        start = np.cumsum(size) - size
        result[order] = np.arange(len(label)) - start[label[order]] < most
    return result


def _row_by_row(
    rows: Candidates,
    linked: Linked,
    by_row: npt.NDArray[np.bool_],
    chosen: Integers,
    by_hash: Small,
    shares: Shares,
) -> list[int]:
    """The sides of the `chosen` rows [M], of which `by_row` [L] marks the linked ones."""
    keys = np.full((len(chosen), linked.keys.shape[1]), linked.size, dtype=np.int64)
    keys[np.searchsorted(chosen, linked.rows[by_row])] = linked.keys[by_row]
    flat, start = (part.tolist() for part in linked.neighbours())
    founding = Founding(shares, rows.members)
    content = rows.content[chosen]
    fold = shares.fold_of(content).tolist()
    draw = scramble(content, shares.seed, _COUNTED).tolist()
    return _walk(
        [column.tolist() for column in keys.T],
        (flat, start),
        linked.size,
        rows.own[chosen].tolist(),
        rows.pinned[chosen].tolist(),
        lambda row: founding.found(int(rows.label[chosen[row]]), int(by_hash[row]), fold[row], draw[row]),
        lambda row, side: founding.count(int(rows.label[chosen[row]]), side),
    )


def _walk(
    keys: Sequence[list[int]],
    neighbours: tuple[list[int], list[int]],
    none: int,
    own: list[int],
    pinned: list[bool],
    found: Callable[[int], int],
    count: Callable[[int, int], None],
) -> list[int]:
    """Go through rows in order; the bits of `masks[k]` are the sides of the kept rows that have key k."""
    masks = [0] * (none + 1)
    flat, start = neighbours
    sides = []
    for row, mine in enumerate(zip(*keys, strict=True)):
        seen = 0
        for key in mine:
            seen |= masks[key]
        text = mine[0]
        for key in flat[start[text] : start[text + 1]]:
            seen |= masks[key]
        side = own[row]
        if pinned[row]:
            if not seen:
                count(row, side)
        elif side >= 0:
            if seen & ~(1 << side):
                side = NONE
        elif not seen:
            side = found(row)
        else:
            side = NONE if seen & (seen - 1) else seen.bit_length() - 1
        sides.append(side)
        if side >= 0:
            for key in mine:
                masks[key] |= 1 << side
            masks[none] = 0
    return sides
