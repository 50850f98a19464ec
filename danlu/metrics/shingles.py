"""Texts as sets of shingles: what near duplicates are measured by.

A text is taken apart into units: each Han character (also kana and hangul) is one, each run of other letters and
digits is one; signs, spaces and case do not count. Its shingles are runs of units: 3 in Han text, 2 otherwise, so that
both cover about two words. Everything works on whole batches as numpy arrays.

Broder, "On the resemblance and containment of documents" (1997).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

HAN_SHINGLE = 3
WORD_SHINGLE = 2

BASE = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd: a multiplier for polynomial hashes
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


def mixed(values: Hashes) -> Hashes:
    """Each value scattered over all 64 bits."""
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
        hashes[takes] = hashes[takes] * BASE + units[starts[takes] + offset]
    hashes = mixed(hashes)
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
        value = (value * int(BASE) + ord(character)) & 0xFFFFFFFFFFFFFFFF
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
    values = mixed(codes[inside].astype(np.uint64) + (place + np.uint64(1)) * BASE)
    hashes = mixed(np.add.reduceat(values, np.searchsorted(unit, np.arange(len(starts)))))
    single = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(kinds[starts] == _SINGLE)])
    return hashes, bounds, np.diff(single[bounds])


def shingles_in_parts(texts: Sequence[str], rows: int = 4096) -> tuple[Hashes, Indices]:
    """`shingles` of many texts, so many at a time: what is only needed on the way stays small."""
    parts: list[Hashes] = []
    lengths: list[Indices] = []
    for start in range(0, len(texts), rows):
        hashes, bounds = shingles(texts[start : start + rows])
        parts.append(hashes)
        lengths.append(np.diff(bounds))
    bounds = np.zeros(len(texts) + 1, dtype=np.int64)
    if not parts:
        return np.zeros(0, dtype=np.uint64), bounds
    np.cumsum(np.concatenate(lengths), out=bounds[1:])
    return np.concatenate(parts), bounds
