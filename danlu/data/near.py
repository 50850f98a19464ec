"""Near duplicates: MinHash with banding finds candidates, exact Jaccard decides, connected components make clusters.

A text is taken apart into units: each Han character (also kana and hangul) is one, each run of other letters and
digits is one; signs, spaces and case do not count. Its shingles are runs of units: 3 in Han text, 2 otherwise, so that
both cover about two words. Everything works on whole batches as numpy arrays.

Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", chapter 3, for banding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from scipy.sparse.csgraph import connected_components

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

HAN_SHINGLE = 3
WORD_SHINGLE = 2

#: Length of a signature. Of its divisions into bands, the one is taken that still finds this share of pairs at the
#: threshold.
PERMUTATIONS = 128
RECALL_AT_THRESHOLD = 0.995

#: A bucket with more texts than this is compared with its first texts only, each in turn, not pair by pair.
_BUCKET_PAIRS = 64

_PAIRS_AT_ONCE = 200_000
_SHINGLES_AT_ONCE = 65_536

_BASE = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd: a multiplier for polynomial hashes
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64 (Steele et al., 2014)

_SIGN, _LETTER, _SINGLE = 0, 1, 2


def _kinds() -> npt.NDArray[np.uint8]:
    """What each of Unicode's characters is to a shingle."""
    kinds = np.zeros(0x110000, dtype=np.uint8)
    for code in range(0x30000):
        if chr(code).isalnum():
            kinds[code] = _LETTER
    for first, last in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3134F)):
        kinds[first : last + 1] = _SINGLE
    for first, last in ((0x3041, 0x3096), (0x30A1, 0x30FA), (0xAC00, 0xD7A3)):
        kinds[first : last + 1] = _SINGLE
    # Emoji are opinions: they count, each on its own.
    kinds[0x1F300:0x1FB00] = _SINGLE
    return kinds


_KINDS = _kinds()


def _mixed(values: Hashes) -> Hashes:
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    return values ^ (values >> np.uint64(31))


def shingles(texts: Sequence[str]) -> tuple[Hashes, Indices]:
    """The shingle sets of texts: hashes [S] and the bounds [N+1] of each text's share of them.

    Within a text the hashes are sorted and each is there once. A text of fewer units than a shingle has one for all
    its units; a text without any unit has one for the text itself.
    """
    units, bounds, han = _units(texts)
    lengths = np.diff(bounds)
    sizes = np.where(han * 2 >= lengths, HAN_SHINGLE, WORD_SHINGLE)
    sizes = np.minimum(sizes, np.maximum(lengths, 1))
    counts = np.maximum(lengths - sizes + 1, 0)
    owner = np.repeat(np.arange(len(texts)), counts)
    starts = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts) + bounds[:-1][owner]
    hashes = np.zeros(len(owner), dtype=np.uint64)
    for offset in range(max(HAN_SHINGLE, WORD_SHINGLE)):
        takes = sizes[owner] > offset
        hashes[takes] = hashes[takes] * _BASE + units[starts[takes] + offset]
    hashes = _mixed(hashes)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        own = np.array([_hash_of(texts[int(index)]) for index in empty], dtype=np.uint64)
        hashes, owner = np.concatenate([hashes, own]), np.concatenate([owner, empty])
    order = np.lexsort((hashes, owner))
    hashes, owner = hashes[order], owner[order]
    first = np.ones(len(hashes), dtype=bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1])
    hashes, owner = hashes[first], owner[first]
    return hashes, np.searchsorted(owner, np.arange(len(texts) + 1)).astype(np.int64)


def _hash_of(text: str) -> int:
    value = 1
    for character in text:
        value = (value * int(_BASE) + ord(character)) & 0xFFFFFFFFFFFFFFFF
    return value


def _units(texts: Sequence[str]) -> tuple[Hashes, Indices, Indices]:
    """Hash of every unit [U], the bounds [N+1] of each text's units, and how many of them are single characters."""
    lowered = [text.lower() for text in texts]
    codes = np.frombuffer("\n".join([*lowered, ""]).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    lengths = np.fromiter((len(text) + 1 for text in lowered), dtype=np.int64, count=len(lowered))
    ends = np.cumsum(lengths)
    kinds = _KINDS[codes]
    # A unit starts at each single character, and at a letter that follows none. The line feed between two texts is a
    # sign, so that no unit reaches over it.
    before = np.concatenate([np.zeros(1, dtype=np.uint8), kinds[:-1]])
    starts = np.flatnonzero((kinds == _SINGLE) | ((kinds == _LETTER) & (before != _LETTER)))
    bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.searchsorted(starts, ends)])
    if not len(starts):
        return np.zeros(0, dtype=np.uint64), bounds, np.zeros(len(texts), dtype=np.int64)
    inside = np.flatnonzero(kinds != _SIGN)
    unit = np.searchsorted(starts, inside, side="right") - 1
    place = (inside - starts[unit]).astype(np.uint64)
    # Each character, mixed with its place in the unit, and summed: equal for equal units, whatever surrounds them.
    values = _mixed(codes[inside].astype(np.uint64) + (place + np.uint64(1)) * _BASE)
    hashes = _mixed(np.add.reduceat(values, np.searchsorted(unit, np.arange(len(starts)))))
    single = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(kinds[starts] == _SINGLE)])
    return hashes, bounds, np.diff(single[bounds])


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
    out[:, -1] = np.add.reduceat(_mixed(hashes + _BASE), bounds[:-1])
    start = 0
    while start < len(texts):
        stop = max(start + 1, int(np.searchsorted(bounds, bounds[start] + _SHINGLES_AT_ONCE, side="right")) - 1)
        part = hashes[bounds[start] : bounds[stop]]
        cuts = bounds[start:stop] - bounds[start]
        for band in range(bands.count):
            key = np.zeros(stop - start, dtype=np.uint64)
            for row in range(band * bands.rows, (band + 1) * bands.rows):
                lowest = np.minimum.reduceat((part * factors[row] + offsets[row]) >> np.uint64(32), cuts)
                key = key * _BASE + lowest
            out[start:stop, band] = _mixed(key)
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


def candidates(signatures: Hashes) -> npt.NDArray[np.int64]:
    """Pairs [P, 2] of positions, smaller first, that share a band; each pair once, sorted.

    `signatures` are those of `band_hashes` without the last column, of texts with different shingle sets.
    """
    size = len(signatures)
    found = np.zeros(0, dtype=np.int64)
    for band in range(signatures.shape[1]):
        pairs = [_pairs_in(bucket) for bucket in _buckets(signatures[:, band])]
        if pairs:
            both = np.concatenate(pairs)
            found = np.unique(np.concatenate([found, both[:, 0] * size + both[:, 1]]))
    return np.stack([found // max(1, size), found % max(1, size)], axis=1)


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


def cluster(signatures: Hashes, texts_of: Callable[[Indices], Sequence[str]], threshold: float) -> tuple[Indices, int]:
    """The cluster of each text [N], as the position of the cluster's first text, and how many pairs were verified.

    `signatures` come from `band_hashes`; `texts_of(positions)` returns the texts at sorted positions, and is asked
    only for those that have a candidate.
    """
    size = len(signatures)
    if size == 0:
        return np.zeros(0, dtype=np.int64), 0
    # Texts with one shingle set are one; only the first of them goes on.
    _, first, same = np.unique(signatures[:, -1], return_index=True, return_inverse=True)
    pairs = first[candidates(signatures[first, :-1])]
    links = np.zeros((0, 2), dtype=np.int64)
    if len(pairs):
        involved, places = np.unique(pairs, return_inverse=True)
        hashes, bounds = _shingles_in_parts(texts_of(involved))
        links = pairs[verified(places.reshape(pairs.shape), hashes, bounds, threshold)]
    links = np.concatenate([links, np.stack([np.arange(size), first[same]], axis=1)])
    graph = sparse.coo_matrix((np.ones(len(links), dtype=np.int8), (links[:, 0], links[:, 1])), shape=(size, size))
    count, component = connected_components(graph, directed=False)
    lowest = np.full(count, size, dtype=np.int64)
    np.minimum.at(lowest, component, np.arange(size))
    return lowest[component], len(pairs)


def _shingles_in_parts(texts: Sequence[str], rows: int = 4096) -> tuple[Hashes, Indices]:
    parts: list[Hashes] = []
    lengths: list[Iterable[np.int64]] = []
    for start in range(0, len(texts), rows):
        hashes, bounds = shingles(texts[start : start + rows])
        parts.append(hashes)
        lengths.append(np.diff(bounds))
    sizes = np.concatenate([np.asarray(part) for part in lengths])
    return np.concatenate(parts), np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
