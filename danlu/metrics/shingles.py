"""Texts as sets of shingles: what near duplicates are measured by.

A text is taken apart into units: each Han character (also kana and hangul) is one, each run of other letters and
digits is one; signs, spaces and case do not count. Its shingles are runs of units: 3 in Han text, 2 otherwise, so that
both cover about two words. Everything works on whole batches as numpy arrays, in parts that fit the processor's cache.

Broder, "On the resemblance and containment of documents" (1997).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

HAN_SHINGLE = 3
WORD_SHINGLE = 2

BASE = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd: a multiplier for polynomial hashes
INVERSE_OF_BASE = np.uint64(pow(int(BASE), -1, 1 << 64))
_BASE_OF_RUNS = np.uint64(0xD1342543DE82EF95)  # odd, from Steele and Vigna (2022): units are polynomials in BASE
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64 (Steele et al., 2014)

#: Members of sets are hashes of so many bits: the 12 bits above them are left for the number of a pair or a class. Two
#: sets of 1,000 members each share a member by mere chance with probability 2e-10.
SET_BITS = 52

#: So many characters are worked on at a time: fewer cost more calls, more leave the processor's cache.
_CHARACTERS_AT_ONCE = 1 << 17

_SIGN, _LETTER, _SINGLE = 0, 1, 2
_KIND = np.uint8(3)  # the bits of a character's value that hold its kind


def mixed(values: Hashes) -> Hashes:
    """Each value scattered over all 64 bits."""
    values = values ^ (values >> np.uint64(30))
    values *= _MIX[0]
    values ^= values >> np.uint64(27)
    values *= _MIX[1]
    values ^= values >> np.uint64(31)
    return values


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


def _values() -> Hashes:
    """A random number for each of Unicode's characters, alike for upper and lower case; its kind in the low bits.

    A sign's number is 0, so that it adds nothing to a hash.
    """
    kinds = _kinds()
    counted = np.flatnonzero(kinds)
    folded = np.array([ord(chr(code).lower()[0]) for code in counted], dtype=np.uint64)
    values = np.zeros(len(kinds), dtype=np.uint64)
    values[counted] = (mixed((folded + np.uint64(1)) * BASE) & ~np.uint64(3)) | kinds[counted]
    return values


_VALUES = _values()


@lru_cache(maxsize=4)
def _powers(count: int, base: np.uint64) -> Hashes:
    factors = np.full(count, base, dtype=np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def powers(count: int, base: np.uint64) -> Hashes:
    """At least the first `count` powers of `base`, modulo 2^64."""
    # A text that is longer than a part is rare: its powers are not kept.
    kept = 2 * _CHARACTERS_AT_ONCE
    return _powers(kept, base) if count <= kept else _powers.__wrapped__(count, base)


#: The same for the 128 characters of ASCII: a table for `bytes.translate` that tells letters, and their values.
_ASCII_LETTERS = bytes(int(value) & int(_KIND) == _LETTER for value in _VALUES[:128]).ljust(256, b"\0")
_ASCII_VALUES = _VALUES[:128].copy()


def by_script(texts: Sequence[str]) -> Iterator[tuple[Indices, list[str]]]:
    """`(places, texts)` of the texts that are ASCII alone and of all others, where there are any.

    Either kind by itself is taken apart faster than both in turns, with the same result.
    """
    plain = np.fromiter(map(str.isascii, texts), dtype=bool, count=len(texts))
    for places in (np.flatnonzero(plain), np.flatnonzero(~plain)):
        if len(places):
            yield places, [texts[place] for place in places.tolist()]


def unit_hashes(texts: Sequence[str]) -> tuple[Hashes, Indices, Indices]:
    """Hash of every unit [U], the bounds [N+1] of each text's units, and how many of them are single characters [N]."""
    units, bounds, single = _units(texts)
    # Mixed, because runs of units may be polynomials in BASE once more.
    return mixed(units), bounds, single


def _units(texts: Sequence[str]) -> tuple[Hashes, Indices, Indices]:
    """As `unit_hashes`, but each unit as the polynomial in BASE of its characters' numbers."""
    # A line feed is a sign, so that no unit reaches over it into the next text.
    joined = "\n".join([*texts, ""])
    ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1)
    kinds = None
    if joined.isascii():
        codes = joined.encode("ascii")
        values = _ASCII_VALUES.take(np.frombuffer(codes, dtype=np.uint8))
        letter = np.frombuffer(codes.translate(_ASCII_LETTERS), dtype=bool)
    else:
        values = _VALUES.take(np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32))
        kinds = values.view(np.uint8)[:: values.itemsize] & _KIND if _LITTLE else (values & np.uint64(3)).astype("u1")
        letter = kinds == _LETTER
    # A unit starts at each single character, and at a letter that follows none.
    starting = letter.copy()
    np.greater(letter[1:], letter[:-1], out=starting[1:])
    if kinds is not None:
        starting |= kinds == _SINGLE
    starts = np.flatnonzero(starting)
    bounds = np.zeros(len(texts) + 1, dtype=np.int64)
    bounds[1:] = np.searchsorted(starts, ends)
    if not len(starts):
        return np.zeros(0, dtype=np.uint64), bounds, np.zeros(len(texts), dtype=np.int64)
    singles = np.zeros(len(texts), dtype=np.int64)
    if kinds is not None:
        single = np.zeros(len(starts) + 1, dtype=np.int64)
        np.cumsum(kinds[starts] == _SINGLE, out=single[1:])
        singles = np.diff(single[bounds])
    # The sum of each character's number times BASE^place, for all places of the part in one running sum; a unit's
    # share of it, divided by BASE^start, is equal for equal units, wherever they stand.
    values *= powers(len(values), BASE)[: len(values)]
    running = np.cumsum(values)
    before = running[starts - 1]
    if starts[0] == 0:
        before[0] = 0
    hashes = np.empty_like(before)
    np.subtract(before[1:], before[:-1], out=hashes[:-1])
    hashes[-1:] = running[-1:] - before[-1:]
    hashes *= powers(len(values), INVERSE_OF_BASE)[starts]
    return hashes, bounds, singles


_LITTLE = bool(np.array([1], dtype=np.uint64).view(np.uint8)[0])


def unit_spans(text: str) -> list[tuple[int, int]]:
    """Where each unit of one text starts and ends, in characters."""
    spans: list[tuple[int, int]] = []
    before = _SIGN
    for place, character in enumerate(text):
        kind = int(_VALUES[ord(character)]) & int(_KIND)
        if kind == _LETTER and before == _LETTER:
            spans[-1] = (spans[-1][0], place + 1)
        elif kind != _SIGN:
            spans.append((place, place + 1))
        before = kind
    return spans


def run_hashes(units: Hashes, bounds: Indices, size: int) -> tuple[Hashes, Indices]:
    """The hash of every run of `size` units within one text, and the bounds [N+1] of each text's runs.

    `units` and `bounds` are those of `unit_hashes`; the cost does not grow with `size`.
    """
    counts = np.maximum(np.diff(bounds) - size + 1, 0)
    own = np.zeros(len(bounds), dtype=np.int64)
    np.cumsum(counts, out=own[1:])
    running = np.zeros(len(units) + 1, dtype=np.uint64)
    np.cumsum(units * powers(len(units), BASE)[: len(units)], out=running[1:])
    starts = np.arange(own[-1]) + np.repeat(bounds[:-1] - own[:-1], counts)
    hashes = running[starts + size] - running[starts]
    hashes *= powers(len(units), INVERSE_OF_BASE)[starts]
    return mixed(hashes), own


def _runs(texts: Sequence[str]) -> tuple[Hashes, Indices, Indices]:
    """The hash of the shingle that starts at each unit [U], the bounds [N+1] of each text's, and repeats [N].

    A text has one for each of its units: where too few are left for a shingle, the one before is there again, and
    `repeats` says how often at the end of each text. A text without units has one, for the text itself.
    """
    units, bounds, single = _units(texts)
    lengths = np.diff(bounds)
    empty = np.flatnonzero(lengths == 0)
    if len(empty):
        units = np.insert(units, bounds[empty], [_hash_of(texts[place]) for place in empty.tolist()])
        bounds = bounds + np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths == 0)])
        lengths = np.maximum(lengths, 1)
    sizes = np.minimum(np.where(single * 2 >= lengths, HAN_SHINGLE, WORD_SHINGLE), lengths)
    runs = np.empty_like(units)
    runs[-1] = units[-1]
    np.multiply(units[:-1], _BASE_OF_RUNS, out=runs[:-1])
    runs[:-1] += units[1:]
    longer = sizes == HAN_SHINGLE
    if longer.any():
        triples = runs[:-2] * _BASE_OF_RUNS
        triples += units[2:]
        if longer.all():
            runs[:-2] = triples
        else:
            np.copyto(runs[:-2], triples, where=np.repeat(longer, lengths)[:-2])
    alone = bounds[:-1][lengths == 1]
    runs[alone] = units[alone]
    for back in range(1, HAN_SHINGLE):
        last = bounds[1:][sizes > back]
        runs[last - back] = runs[last - sizes[sizes > back]]
    return mixed(runs), bounds, sizes - 1


def _hash_of(text: str) -> np.uint64:
    value = 1
    for character in text:
        value = (value * int(BASE) + ord(character)) & 0xFFFFFFFFFFFFFFFF
    return np.uint64(value)


def parts_of(texts: Sequence[str], characters: int = _CHARACTERS_AT_ONCE) -> Iterator[tuple[int, int]]:
    """`(start, stop)` of parts of `texts` that have about so many characters each, and at least one text."""
    ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1)
    start = 0
    while start < len(texts):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + characters, side="right")))
        yield start, stop
        start = stop


def shingle_sequences(texts: Sequence[str]) -> Iterator[tuple[int, int, Hashes, Indices]]:
    """The shingles of texts as they follow one another, repeated where they are, part by part.

    Yields `(start, stop, hashes [S], bounds [stop - start + 1])`: hashes of 64 bits of the texts from `start` to
    `stop`, and the bounds of each text's share. A text of fewer units than a shingle has one for all its units; a text
    without any unit has one for the text itself: no share is empty.
    """
    for start, stop, hashes, bounds, repeats in padded_sequences(texts):
        counts = np.diff(bounds) - repeats
        own = np.zeros(len(bounds), dtype=np.int64)
        np.cumsum(counts, out=own[1:])
        kept = np.arange(own[-1]) + np.repeat(bounds[:-1] - own[:-1], counts)
        yield start, stop, hashes[kept], own


def padded_sequences(texts: Sequence[str]) -> Iterator[tuple[int, int, Hashes, Indices, Indices]]:
    """`(start, stop, hashes, bounds, repeats)`: as `shingle_sequences`, but a text's last shingle is there more often.

    `repeats` [stop - start] says how many of the last hashes of each text are only that. They cost nothing to make.
    """
    for start, stop in parts_of(texts):
        yield start, stop, *_runs(texts[start:stop])


def sorted_sets(keys: Hashes, bounds: Indices) -> tuple[Hashes, Indices]:
    """Sequences of keys, none of them empty, as sets: sorted, each key once; and their bounds.

    `keys` is overwritten.
    """
    # Text by text: many small sorts in the first-level cache are faster than one sort of all of them.
    edges = bounds.tolist()
    for start, stop in itertools.pairwise(edges):
        keys[start:stop].sort()
    first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    first[bounds[:-1]] = True
    own = np.zeros(len(bounds), dtype=np.int64)
    own[1:] = np.cumsum(np.add.reduceat(first, bounds[:-1], dtype=np.int64))
    return keys[first], own


def shingle_sets(
    texts: Sequence[str], key: Callable[[Hashes], Hashes] | None = None
) -> Iterator[tuple[int, int, Hashes, Indices]]:
    """`(start, stop, keys, bounds)` of parts of `texts`, as `shingle_sequences` yields them, but sets: sorted by key.

    `key` makes of 64-bit hashes keys of `SET_BITS` bits, equal ones of equal hashes; without it, their upper bits.
    """
    for start, stop, hashes, bounds, _ in padded_sequences(texts):
        yield start, stop, *sorted_sets(hashes >> np.uint64(64 - SET_BITS) if key is None else key(hashes), bounds)


def shingles(texts: Sequence[str], key: Callable[[Hashes], Hashes] | None = None) -> tuple[Hashes, Indices]:
    """The shingle sets of texts: hashes [S] of `SET_BITS` bits, and the bounds [N+1] of each text's share of them.

    Within a text the hashes are sorted and each is there once. A text of fewer units than a shingle has one for all
    its units; a text without any unit has one for the text itself. `key` is that of `shingle_sets`.
    """
    parts: list[Hashes] = [np.zeros(0, dtype=np.uint64)]
    lengths: list[Indices] = [np.zeros(0, dtype=np.int64)]
    for _, _, hashes, bounds in shingle_sets(texts, key):
        parts.append(hashes)
        lengths.append(np.diff(bounds))
    bounds = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(np.concatenate(lengths), out=bounds[1:])
    return np.concatenate(parts), bounds
