"""Near duplicates: MinHash with banding finds candidates, exact Jaccard decides, links between texts say the rest.

Texts are compared as sets of shingles (`danlu.metrics.shingles`). Everything works on whole batches as numpy arrays,
and within a memory budget: what exceeds it goes to disk (`danlu.data.spill`), and sorts are made a range of values at
a time. Texts are ranked by a hash of their content before any of them is preferred, so that nothing depends on the
order in which they came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from scipy.sparse.csgraph import connected_components

from danlu.data.signatures import Short, Signatures
from danlu.data.spill import Growing, Spill
from danlu.metrics.overlap import Order, SetIndex, Sets, reaching
from danlu.metrics.shingles import SET_BITS, Hashes, Indices, shingles

__all__ = ["Found", "Links", "Signatures", "Spill", "TextsOf", "cluster", "components", "links"]

Flags = npt.NDArray[np.bool_]

#: Yields `(positions, texts)` of the texts at the sorted positions it is given, some at a time, in any order.
TextsOf = Callable[[Indices], Iterator[tuple[Indices, Sequence[str]]]]

#: A bucket with more texts than this is a crowd: it is not compared pair by pair. First each text meets a few others,
#: which joins a crowd of copies; then texts that are still apart are compared where they share a rare shingle.
_BUCKET_PAIRS = 64

#: Texts with one shingle that a text of a crowd meets at most; a shingle that more have is cut short, and counted.
_MOST_WITH_SHINGLE = 1_024

#: Shingles of a crowd that are indexed at once.
_CROWD_MEMBERS = 1 << 23

#: Pairs that are compared at once.
_PAIRS_AT_ONCE = 1 << 13

#: What part of the memory budget each of the large arrays may take.
_SHARE = 0.2

_NONE = np.uint32(0xFFFFFFFF)
_LOW = np.uint64(0xFFFFFFFF)
_UPPER = np.uint64(32)


@dataclass(frozen=True, kw_only=True)
class Links:
    """Pairs [P, 2] of positions of texts, smaller first, sorted, each once: near duplicates.

    Each pair reaches the threshold by exact Jaccard similarity of its shingle sets, or has the same shingles equally
    often (by a hash of 64 bits). These are all pairs that were found, with two exceptions: of texts with the same
    shingles each has one link to the first of them, which alone has the others; and in a crowd (more than 64 texts
    that agree in a band) there are only enough links that connected components are those of all pairs. So components
    are exact; outside of crowds a text's own links are all of its own. `equal` [P] marks
    the pairs with the same shingles. `compared` counts the comparisons; `truncated`,
    how often a text of a crowd met a shingle that too many texts have for all of those to be compared.
    """

    pairs: npt.NDArray[np.int64]
    equal: Flags
    compared: int = 0
    truncated: int = 0


@dataclass(frozen=True, kw_only=True)
class Found:
    """The cluster of each text [N], as the position of the cluster's first text; `pairs` is how many were compared."""

    of_text: Indices
    links: npt.NDArray[np.int64]
    pairs: int = 0
    truncated: int = 0


def cluster(signatures: Signatures, texts_of: TextsOf) -> Found:
    """`links`, and the clusters that they make."""
    found = links(signatures, texts_of)
    return Found(
        of_text=components(found.pairs, len(signatures)),
        links=found.pairs,
        pairs=found.compared,
        truncated=found.truncated,
    )


def links(signatures: Signatures, texts_of: TextsOf) -> Links:
    """All near duplicates among the texts of `signatures`, as verified pairs.

    `texts_of` is asked once, for those texts that have a candidate. Both budget and threshold are those of
    `signatures`. About 14 bytes for each text, 24 for each with a candidate and 64 for each link are in memory; the
    rest keeps to the budget.
    """
    size = len(signatures)
    if size >= int(_NONE):
        raise ValueError(f"{size:,} texts came; at most {int(_NONE) - 1:,} can be compared at once.")
    if size == 0:
        return _found(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 2), dtype=np.int64))
    same, first = _distinct(signatures)
    rank_of = np.full(size, _NONE, dtype=np.uint32)
    rank_of[first] = np.arange(len(first), dtype=np.uint32)
    candidates = _candidates(signatures, rank_of, first)
    involved = np.flatnonzero(candidates.involved)
    if not len(involved):
        return _found(same, np.zeros((0, 2), dtype=np.int64))
    sets = _sets(texts_of, rank_of, first, involved, signatures.spill)
    place_of = np.cumsum(candidates.involved, dtype=np.uint32) - np.uint32(1)
    compared = 0
    verified = [np.zeros((0, 2), dtype=np.int64)]
    for pairs in candidates.portions():
        compared += len(pairs)
        left, right = (place_of[ranks].astype(np.int64) for ranks in (pairs >> _UPPER, pairs & _LOW))
        near = reaching(sets, sets, left, right, signatures.threshold)
        verified.append(np.stack([left[near], right[near]], axis=1))
    linked = np.concatenate(verified)
    truncated = 0
    if candidates.crowded.any():
        more, met, truncated = _links_in_crowd(
            place_of[candidates.crowded].astype(np.int64), sets, components(linked, len(involved)), signatures.threshold
        )
        linked, compared = np.concatenate([linked, more]), compared + met
    return _found(same, first[involved[linked]].astype(np.int64).reshape(-1, 2), compared, truncated)


def components(pairs: npt.NDArray[np.int64], size: int) -> Indices:
    """The first position of the connected component of each of `size` positions."""
    result = np.arange(size, dtype=np.int64)
    nodes, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), shape=(len(nodes),) * 2)
    count, component = connected_components(graph, directed=False)
    lowest = np.full(count, size, dtype=np.int64)
    np.minimum.at(lowest, component, nodes)
    result[nodes] = lowest[component]
    return result


def _found(same: npt.NDArray[np.int64], similar: npt.NDArray[np.int64], compared: int = 0, truncated: int = 0) -> Links:
    """Links of the pairs with equal shingles and of those that are similar."""
    equal, every = _keys(same), _keys(np.concatenate([same, similar]))
    pairs = np.stack([every >> 32, every & int(_LOW)], axis=1)
    return Links(pairs=pairs, equal=np.isin(every, equal), compared=compared, truncated=truncated)


def _keys(pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each pair once as one integer, the smaller position in the upper 32 bits; sorted."""
    return np.unique((pairs.min(axis=1) << 32) | pairs.max(axis=1))


def _distinct(signatures: Signatures) -> tuple[npt.NDArray[np.int64], Short]:
    """Links [L, 2] between texts with equal shingles and the first of them; those first texts, by rank [D].

    A rank is the place of a text's hash among all of them: content decides it.
    """
    size = len(signatures)
    first, same = [], []
    portions = signatures.spill.portions(24 * size, _SHARE)
    for number in range(portions):
        hashes, rows = [], []
        for start, values in signatures.same.portions():
            inside = _in_range(values >> _UPPER, number, portions)
            hashes.append(values[inside])
            rows.append((start + np.flatnonzero(inside)).astype(np.uint32))
        values, own = np.concatenate(hashes), np.concatenate(rows)
        order = np.argsort(values, kind="stable")
        values, own = values[order], own[order]
        new = np.ones(len(values), dtype=bool)
        np.not_equal(values[1:], values[:-1], out=new[1:])
        starts = np.flatnonzero(new)
        first.append(own[starts])
        leader = np.repeat(own[starts], np.diff(np.append(starts, len(own))))
        same.append(np.stack([leader[~new], own[~new]], axis=1).astype(np.int64))
    return np.concatenate(same), np.concatenate(first)


def _in_range(hashes: npt.NDArray[np.unsignedinteger], number: int, portions: int) -> Flags:
    """Which hashes of 32 bits are in one of so many ranges of equal width."""
    if portions == 1:
        return np.ones(len(hashes), dtype=bool)
    return np.asarray((hashes.astype(np.uint64) * np.uint64(portions)) >> _UPPER == np.uint64(number))


class _Candidates:
    """Pairs of ranks of texts that share a band, as integers: the smaller rank in the upper 32 bits.

    `involved` [D] marks the ranks that are in a pair, `crowded` those that are in any crowd.
    """

    def __init__(self, texts: int, spill: Spill) -> None:
        self.involved = np.zeros(texts, dtype=bool)
        self.crowded = np.zeros(texts, dtype=bool)
        self._spill = spill
        self._pairs = Growing(np.uint64, spill, _SHARE)

    def add(self, pairs: Hashes) -> None:
        self.involved[pairs >> _UPPER] = True
        self.involved[pairs & _LOW] = True
        self._pairs.append(pairs)

    def portions(self) -> Iterator[Hashes]:
        """All pairs, each once, sorted, some at a time."""
        portions = self._spill.portions(32 * len(self._pairs), _SHARE)
        for number in range(portions):
            low, high = (len(self.involved) * edge // portions for edge in (number, number + 1))
            parts = []
            for _, pairs in self._pairs.portions():
                smaller = pairs >> _UPPER
                parts.append(pairs[(smaller >= np.uint64(low)) & (smaller < np.uint64(high))])
            every = np.unique(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.uint64)
            for start in range(0, len(every), _PAIRS_AT_ONCE):
                yield every[start : start + _PAIRS_AT_ONCE]


def _candidates(signatures: Signatures, rank_of: Short, first: Short) -> _Candidates:
    found = _Candidates(len(first), signatures.spill)
    portions = signatures.spill.portions(32 * len(first), _SHARE)
    for band in signatures.band:
        for number in range(portions):
            keys = []
            for start, hashes in band.portions():
                ranks = rank_of[start : start + len(hashes)]
                inside = (ranks != _NONE) & _in_range(hashes, number, portions)
                keys.append((hashes[inside].astype(np.uint64) << _UPPER) | ranks[inside])
            every = np.concatenate(keys)
            every.sort()
            for pairs in _pairs_in_runs(every >> _UPPER, every & _LOW, found.crowded):
                found.add(pairs)
    return found


def _pairs_in_runs(keys: Hashes, ranks: Hashes, crowded: Flags) -> Iterator[Hashes]:
    """Pairs of ranks with one key that are worth comparing: all, or in a crowd each with the first few.

    `keys` are sorted, and `ranks` within a key. Marks who is in a crowd.
    """
    new = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(keys)))
    buckets = (sizes > 1) & (sizes <= _BUCKET_PAIRS)
    start, last = starts[buckets], (starts + sizes)[buckets] - 1
    # Distance by distance, buckets of two first: those that are too small for a distance fall out.
    place = np.repeat(start, last - start) + _within(last - start)
    last = np.repeat(last, last - start)
    distance = 1
    while len(place):
        yield (ranks[place] << _UPPER) | ranks[place + distance]
        distance += 1
        more = place + distance <= last
        place, last = place[more], last[more]
    crowds = sizes > _BUCKET_PAIRS
    if not crowds.any():
        return
    start, count = starts[crowds], sizes[crowds]
    member = np.repeat(start, count) + _within(count)
    start = np.repeat(start, count)
    crowded[ranks[member]] = True
    for hub in range(_BUCKET_PAIRS // 4):
        later = member > start + hub
        yield (ranks[start[later] + hub] << _UPPER) | ranks[member[later]]
    later = member > start
    yield (ranks[member[later] - 1] << _UPPER) | ranks[member[later]]


def _within(counts: Indices) -> Indices:
    """0, 1, ... up to each count."""
    ends = np.cumsum(counts)
    return np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)


def _sets(texts_of: TextsOf, rank_of: Short, first: Short, involved: Indices, spill: Spill) -> Sets:
    """The shingle sets of the texts with the ranks `involved`, in that order."""
    starts, sizes = np.zeros(len(involved), dtype=np.int64), np.zeros(len(involved), dtype=np.int64)
    members = Growing(np.uint64, spill, _SHARE)
    seen = 0
    for positions, texts in texts_of(np.sort(first[involved]).astype(np.int64)):
        hashes, bounds = shingles(texts)
        place = np.searchsorted(involved, rank_of[positions])
        starts[place], sizes[place] = len(members) + bounds[:-1], np.diff(bounds)
        members.append(hashes)
        seen += len(positions)
    if seen != len(involved):
        raise ValueError(f"{len(involved):,} texts were asked for and {seen:,} came.")
    return Sets(members=members.whole(), starts=starts, sizes=sizes)


def _links_in_crowd(
    members: Indices, sets: Sets, component: Indices, threshold: float
) -> tuple[npt.NDArray[np.int64], int, int]:
    """`(links [L, 2], pairs compared, shingles cut short)` between `members` that no link has joined so far.

    Block by block of members: each is indexed, and looked up by itself and by those before it. Blocks are as large as
    `_CROWD_MEMBERS` says, whatever the budget, because what is cut short depends on them.
    """
    order = Order(min(_CROWD_MEMBERS, int(sets.sizes[members].sum())))
    blocks = list(_blocks(members, sets))
    for block in blocks:
        order.see(_long(sets.gather(block)[0]))
    order.close()
    found = [np.zeros((0, 2), dtype=np.int64)]
    compared = truncated = 0
    for number, block in enumerate(blocks):
        index = SetIndex(_ordered(_copied(sets, block), order), threshold)
        for other in blocks[: number + 1]:
            probes = _ordered(_copied(sets, other), order)
            apart = _Apart(component, other, block)
            for left, right in index.similar(probes, wanted=apart, most=_MOST_WITH_SHINGLE):
                more = np.stack([other[left], block[right]], axis=1)
                found.append(more)
                component = apart.component = components(component[more], len(component))[component]
        compared, truncated = compared + index.compared, truncated + index.truncated
    return np.concatenate(found), compared, truncated


@dataclass
class _Apart:
    """Whether two members of a crowd, given by their places in `left` and `right`, are in no component together."""

    component: Indices
    left: Indices
    right: Indices

    def __call__(self, left: Indices, right: Indices) -> Flags:
        one, other = self.left[left], self.right[right]
        return np.asarray((one < other) & (self.component[one] != self.component[other]))


def _blocks(members: Indices, sets: Sets) -> Iterator[Indices]:
    ends = np.cumsum(sets.sizes[members])
    start = 0
    while start < len(members):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _CROWD_MEMBERS, side="right")))
        yield members[start:stop]
        start = stop


def _copied(sets: Sets, rows: Indices) -> Sets:
    members, sizes = sets.gather(rows)
    return Sets(members=members, starts=np.cumsum(sizes) - sizes, sizes=sizes)


def _long(members: Hashes) -> Hashes:
    """Members of sets as hashes of 64 bits, as an `Order` takes them."""
    return members << np.uint64(64 - SET_BITS)


def _ordered(sets: Sets, order: Order) -> Sets:
    """The same sets, each sorted in another order."""
    members, sizes = sets.gather(np.arange(len(sets.sizes)))
    keys = order.key(_long(members))
    ranking = np.lexsort((keys, np.repeat(np.arange(len(sizes)), sizes)))
    return Sets(members=keys[ranking], starts=np.cumsum(sizes) - sizes, sizes=sizes)
