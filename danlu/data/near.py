"""Near duplicates: MinHash with banding finds candidates, exact Jaccard decides, connected components make clusters.

Texts are compared as sets of shingles (`danlu.metrics.shingles`). Everything works on whole batches as numpy arrays.

Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", chapter 3, for banding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from scipy.sparse.csgraph import connected_components

from danlu.metrics.overlap import SetIndex
from danlu.metrics.shingles import BASE, Hashes, Indices, mixed, shingles, shingles_in_parts

#: Length of a signature. Of its divisions into bands, the one is taken that still finds this share of pairs at the
#: threshold.
PERMUTATIONS = 128
RECALL_AT_THRESHOLD = 0.995

#: A bucket with more texts than this is a crowd: it is not compared pair by pair. First each text meets a few others,
#: which joins a crowd of copies; then texts that are still apart are compared where they share a rare shingle.
_BUCKET_PAIRS = 64

#: Texts with one shingle that a text of a crowd meets at most; a shingle that more have is cut short, and counted.
_MOST_WITH_SHINGLE = 1_024

_PAIRS_AT_ONCE = 200_000
_SHINGLES_AT_ONCE = 65_536


@dataclass(frozen=True, kw_only=True)
class Bands:
    """How a signature is divided: `count` bands of `rows` values each."""

    count: int
    rows: int


def bands_for(threshold: float) -> Bands:
    """The division that yields fewest candidates and still finds `RECALL_AT_THRESHOLD` of pairs at the threshold.

    A pair of Jaccard similarity s shares a band with probability 1 - (1 - s^rows)^count.
    """
    for rows in range(16, 0, -1):
        count = PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** count >= RECALL_AT_THRESHOLD:
            return Bands(count=count, rows=rows)
    return Bands(count=PERMUTATIONS, rows=1)


def band_hashes(texts: Sequence[str], bands: Bands) -> Hashes:
    """One hash for each text and band [N, count], and in a last column the hash of the whole shingle set."""
    hashes, bounds = shingles(texts)
    generator = np.random.Generator(np.random.PCG64(20_201_116))
    used = bands.count * bands.rows
    # Multiply-shift hashing (Dietzfelbinger et al., 1997): the upper 32 bits of a*x + b, with a odd.
    factors = generator.integers(0, 1 << 63, size=used, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = generator.integers(0, 1 << 63, size=used, dtype=np.uint64)
    out = np.empty((len(texts), bands.count + 1), dtype=np.uint64)
    out[:, -1] = np.add.reduceat(mixed(hashes + BASE), bounds[:-1])
    start = 0
    while start < len(texts):
        stop = max(start + 1, int(np.searchsorted(bounds, bounds[start] + _SHINGLES_AT_ONCE, side="right")) - 1)
        part = hashes[bounds[start] : bounds[stop]]
        cuts = bounds[start:stop] - bounds[start]
        for band in range(bands.count):
            key = np.zeros(stop - start, dtype=np.uint64)
            for row in range(band * bands.rows, (band + 1) * bands.rows):
                lowest = np.minimum.reduceat((part * factors[row] + offsets[row]) >> np.uint64(32), cuts)
                key = key * BASE + lowest
            out[start:stop, band] = mixed(key)
        start = stop
    return out


def _buckets(keys: Hashes) -> Iterator[Indices]:
    """Groups of two or more positions with the same key."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    cuts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
    for index in np.flatnonzero(np.diff(cuts) > 1):
        yield order[cuts[index] : cuts[index + 1]]


def _pairs_in(bucket: Indices) -> npt.NDArray[np.int64]:
    """Pairs [P, 2] of a bucket that are worth comparing: all, or in a large bucket each with the first few."""
    bucket = np.sort(bucket)
    if len(bucket) <= _BUCKET_PAIRS:
        first, second = np.triu_indices(len(bucket), 1)
        return np.stack([bucket[first], bucket[second]], axis=1)
    hubs = _BUCKET_PAIRS // 4
    first = np.repeat(np.arange(hubs), len(bucket))
    second = np.tile(np.arange(len(bucket)), hubs)
    neighbours = np.arange(len(bucket) - 1)
    first, second = np.concatenate([first, neighbours]), np.concatenate([second, neighbours + 1])
    wanted = first < second
    return np.stack([bucket[first[wanted]], bucket[second[wanted]]], axis=1)


def candidates(signatures: Hashes) -> tuple[npt.NDArray[np.int64], Indices]:
    """Pairs [P, 2] of positions, smaller first, that share a band, and the positions that are in any crowd, sorted.

    Each pair is there once, sorted; of a crowd only some pairs are. `signatures` are those of `band_hashes` without
    the last column, of texts with different shingle sets.
    """
    size = len(signatures)
    found = np.zeros(0, dtype=np.int64)
    crowded = np.zeros(size, dtype=bool)
    for band in range(signatures.shape[1]):
        pairs = []
        for bucket in _buckets(signatures[:, band]):
            pairs.append(_pairs_in(bucket))
            if len(bucket) > _BUCKET_PAIRS:
                crowded[bucket] = True
        if pairs:
            both = np.concatenate(pairs)
            found = np.unique(np.concatenate([found, both[:, 0] * size + both[:, 1]]))
    return np.stack([found // max(1, size), found % max(1, size)], axis=1), np.flatnonzero(crowded)


def verified(pairs: npt.NDArray[np.int64], hashes: Hashes, bounds: Indices, threshold: float) -> npt.NDArray[np.bool_]:
    """Which pairs reach the threshold, by the exact Jaccard similarity of their shingle sets."""
    vocabulary, columns = np.unique(hashes, return_inverse=True)
    sets = sparse.csr_matrix(
        (np.ones(len(columns), dtype=np.int32), columns, bounds), shape=(len(bounds) - 1, len(vocabulary))
    )
    sizes = np.diff(bounds)
    result = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = pairs[start : start + _PAIRS_AT_ONCE]
        shared = np.asarray(sets[part[:, 0]].multiply(sets[part[:, 1]]).sum(axis=1)).ravel()
        either = sizes[part[:, 0]] + sizes[part[:, 1]] - shared
        result[start : start + len(part)] = shared >= threshold * either
    return result


@dataclass(frozen=True, kw_only=True)
class Found:
    """The cluster of each text [N], as the position of the cluster's first text; how many pairs were compared.

    `truncated` counts the shingles that so many texts of a crowd have that not all of those were compared.
    """

    of_text: Indices
    pairs: int = 0
    truncated: int = 0


def cluster(signatures: Hashes, texts_of: Callable[[Indices], Sequence[str]], threshold: float) -> Found:
    """Group near duplicates.

    `signatures` come from `band_hashes`; `texts_of(positions)` returns the texts at sorted positions, and is asked
    only for those that have a candidate.
    """
    size = len(signatures)
    if size == 0:
        return Found(of_text=np.zeros(0, dtype=np.int64))
    # Texts with one shingle set are one; only the first of them goes on.
    _, first, same = np.unique(signatures[:, -1], return_index=True, return_inverse=True)
    pairs, crowd = candidates(signatures[first, :-1])
    links = np.stack([np.arange(size), first[same]], axis=1)
    if not len(pairs):
        return Found(of_text=_components(links, size))
    pairs = first[pairs]
    involved, places = np.unique(pairs, return_inverse=True)
    hashes, bounds = shingles_in_parts(texts_of(involved))
    links = np.concatenate([links, pairs[verified(places.reshape(pairs.shape), hashes, bounds, threshold)]])
    of_text = _components(links, size)
    if not len(crowd):
        return Found(of_text=of_text, pairs=len(pairs))
    # Whoever is in a crowd has a candidate there.
    members = np.searchsorted(involved, np.sort(first[crowd]))
    more, compared, truncated = _links_in_crowd(members, hashes, bounds, of_text[involved], threshold)
    of_text = _components(np.concatenate([links, involved[more]]), size)
    return Found(of_text=of_text, pairs=len(pairs) + compared, truncated=truncated)


def _components(links: npt.NDArray[np.int64], size: int) -> Indices:
    """The first position of the connected component of each of `size` positions."""
    graph = sparse.coo_matrix((np.ones(len(links), dtype=np.int8), (links[:, 0], links[:, 1])), shape=(size, size))
    count, component = connected_components(graph, directed=False)
    lowest = np.full(count, size, dtype=np.int64)
    np.minimum.at(lowest, component, np.arange(size))
    return lowest[component]


def _links_in_crowd(
    members: Indices, hashes: Hashes, bounds: Indices, component: Indices, threshold: float
) -> tuple[npt.NDArray[np.int64], int, int]:
    """`(links [L, 2], pairs compared, shingles cut short)` between `members` that no link has joined so far.

    `hashes` and `bounds` are the shingle sets of the texts that `members` and `component` number.
    """
    parts = [hashes[bounds[member] : bounds[member + 1]] for member in members]
    cuts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum([len(part) for part in parts])])
    vocabulary, own_members = np.unique(np.concatenate(parts), return_inverse=True)
    index = SetIndex.of([(np.concatenate(parts), cuts)], vocabulary)
    group = component[members]
    marks = np.zeros(len(vocabulary), dtype=bool)
    cut_short = np.zeros(len(vocabulary), dtype=bool)
    links = []
    compared = 0
    for number in range(len(members)):
        own = own_members[cuts[number] : cuts[number + 1]]
        rare = index.rarest(own, threshold)
        cut_short[rare[index.frequency[rare] > _MOST_WITH_SHINGLE]] = True
        rows = index.holding(rare, _MOST_WITH_SHINGLE)
        rows = np.unique(rows[(rows > number) & (group[rows] != group[number])])
        compared += len(rows)
        similar = index.similar(own, rows, threshold, marks)
        links += [(members[number], members[row]) for row in similar]
    return np.array(links, dtype=np.int64).reshape(-1, 2), compared, int(cut_short.sum())
