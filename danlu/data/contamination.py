"""Contamination: which rows of a test set or a benchmark are also, in part or nearly, in the training texts.

Two ways of being there, both looked for in every pair of texts:

- `near`: equal but for case, width and white space, or nearly equal by the Jaccard similarity of shingles
  (`danlu.metrics.leaks`).
- `ngram`: a run of words in common. Brown et al., "Language Models are Few-Shot Learners" (GPT-3, arXiv:2005.14165),
  appendix C, takes 13 words, of shorter examples all words but never fewer than 8, lower case, without punctuation.
  Han text is counted in characters: 22 instead of 13 words, 14 instead of 8, because a word of the People's Daily of
  January 1998 has 1.74 characters. A text is Han when at least half of its units are Han characters.

The reference is held in memory (about 40 bytes for each of its characters), training texts stream past it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from danlu.data.mask.masker import mask
from danlu.metrics.leaks import HeldOut
from danlu.metrics.shingles import Hashes, Indices, mixed, parts_of, run_hashes, unit_hashes, unit_spans

#: Units of a run that counts, and the fewest of a shorter text that do.
WORD_GRAM, LEAST_WORD_GRAM = 13, 8
HAN_GRAM, LEAST_HAN_GRAM = 22, 14

NEAR = "near"
NGRAM = "ngram"

#: Characters of a passage that an example shows.
_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Example:
    """One contaminated reference row and a training row that it is in.

    `kind` is `near` or `ngram`. `covered`: the share of the reference row's runs that are anywhere in the training
    texts (0 where it is too short to have one). `passage`: what the two rows have in common, as the reference row
    writes it, masked, at most 200 characters; of near duplicates the beginning.
    """

    reference_row: int
    train_row: int
    kind: str
    covered: float
    passage: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What of a reference is in the training texts.

    `rows` reference rows are, a `share` of all `reference_rows`; `near` and `ngram` of them in that way (a row may be
    in both). `contaminated` are those rows' numbers, `train_rows` those of the training rows that hold any, both
    sorted. Rows are numbered as they came.
    """

    reference_rows: int
    rows: int
    share: float
    near: int
    ngram: int
    contaminated: Indices
    train_rows: Indices
    examples: list[Example]


@dataclass
class _Grams:
    """The runs of one size of the reference rows: their hashes, sorted and each once, and which rows have each.

    `owners` are rows, hash by hash from `starts[n]` to `starts[n + 1]`, those that are shown first before others.
    `seen`: which hashes came by in training.
    """

    size: int
    hashes: Hashes
    owners: Indices
    starts: Indices
    seen: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.seen = np.zeros(len(self.hashes), dtype=bool)
        # Nearly all runs of a training text are in no reference row: a table of their last bits tells so at once.
        bits = min(26, max(12, len(self.hashes).bit_length() + 3))
        self._last = np.uint64((1 << bits) - 1)
        self._there = np.zeros(1 << bits, dtype=bool)
        self._there[self.hashes & self._last] = True

    def find(self, runs: Hashes) -> tuple[Indices, Indices]:
        """`(which, numbers)`: runs [which] that reference rows have, and the number of the hash of each."""
        which = np.flatnonzero(self._there[runs & self._last])
        numbers = np.minimum(np.searchsorted(self.hashes, runs[which]), len(self.hashes) - 1)
        found = self.hashes[numbers] == runs[which]
        return which[found], numbers[found]


def gram_sizes(lengths: Indices, single: Indices) -> Indices:
    """How many units a run of each text [N] has that counts; 0 for a text that is too short for any.

    `lengths` are the texts' units, `single` how many of those are single characters.
    """
    han = (single * 2 >= lengths) & (lengths > 0)
    most, least = np.where(han, HAN_GRAM, WORD_GRAM), np.where(han, LEAST_HAN_GRAM, LEAST_WORD_GRAM)
    return np.asarray(np.where(lengths < least, 0, np.minimum(lengths, most)))


class Contamination:
    """A reference, and what of it was seen in the training texts so far."""

    def __init__(self, reference_texts: Iterable[Sequence[str]], threshold: float = 0.8, examples: int = 20) -> None:
        """`threshold` is the Jaccard similarity of a near duplicate; so many `examples` are kept.

        Raises `ValueError` for a threshold that is not above 0 and at most 1.
        """
        self._texts = [text for batch in reference_texts for text in batch]
        self._near_texts = HeldOut(self._texts, threshold)
        # By content, so that the same examples are shown in whatever order rows come.
        self._priority = _text_hashes(self._texts)
        self._grams = self._index()
        self._near = np.zeros(len(self._texts), dtype=bool)
        self._train_rows: list[Indices] = []
        self._train = 0
        self._most = examples
        self._shown: dict[int, tuple[int, int, str, str]] = {}

    def _index(self) -> list[_Grams]:
        found: dict[int, list[tuple[Hashes, Indices]]] = {}
        for start, stop in parts_of(self._texts):
            units, bounds, single = unit_hashes(self._texts[start:stop])
            sizes = gram_sizes(np.diff(bounds), single)
            for size in np.unique(sizes[sizes > 0]).tolist():
                runs, own = run_hashes(units, bounds, size)
                counts = np.diff(own)
                wanted = np.repeat(sizes == size, counts)
                rows = np.repeat(np.arange(start, stop), counts)
                found.setdefault(size, []).append((runs[wanted], rows[wanted]))
        rank = np.argsort(np.argsort(self._priority, kind="stable"), kind="stable")
        return [_grams(size, parts, rank) for size, parts in sorted(found.items())]

    def add(self, train_texts: Sequence[str]) -> None:
        """Let some thousand training texts come by."""
        for start, stop in parts_of(train_texts):
            held, pairs = self._ngrams(train_texts[start:stop])
            near = self._near_texts.leaks(train_texts[start:stop])
            self._near[near[:, 1]] = True
            self._train_rows += [self._train + start + rows for rows in (held, np.unique(near[:, 0]))]
            for kind, found in ((NEAR, near), (NGRAM, pairs)):
                self._show(kind, found, train_texts[start:stop], self._train + start)
        self._train += len(train_texts)

    def _ngrams(self, texts: Sequence[str]) -> tuple[Indices, Indices]:
        """The texts [T] with a run of the reference, and pairs [P, 2] of a text and a reference row with one in common.

        Of the rows that share a run only the first that may be shown are paired: what a prompt template puts into
        every row of both sides would else be as many pairs as there are rows times rows.
        """
        units, bounds, _ = unit_hashes(texts)
        held, pairs = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 2), dtype=np.int64)]
        for grams in self._grams:
            runs, own = run_hashes(units, bounds, grams.size)
            which, numbers = grams.find(runs)
            grams.seen[numbers] = True
            text = np.searchsorted(own, which, side="right") - 1
            held.append(text)
            once = np.unique(np.stack([text, numbers], axis=1), axis=0)
            counts = np.minimum(np.diff(grams.starts)[once[:, 1]], self._most)
            places = np.repeat(grams.starts[once[:, 1]] - (np.cumsum(counts) - counts), counts) + np.arange(
                counts.sum()
            )
            pairs.append(np.stack([np.repeat(once[:, 0], counts), grams.owners[places]], axis=1))
        return np.unique(np.concatenate(held)), np.unique(np.concatenate(pairs), axis=0)

    def _show(self, kind: str, pairs: Indices, texts: Sequence[str], start: int) -> None:
        """Keep the reference rows of least priority, each with the training text of least hash."""
        if not len(pairs) or not self._most:
            return
        rows = np.unique(pairs[:, 1])
        rows = rows[np.argsort(self._priority[rows], kind="stable")[: self._most]]
        if len(self._shown) >= self._most:
            last = max(self._priority[row] for row in self._shown)
            rows = rows[self._priority[rows] <= last]
        pairs = pairs[np.isin(pairs[:, 1], rows)]
        hashes = _text_hashes([texts[row] for row in pairs[:, 0]])
        for (train, row), value in zip(pairs.tolist(), hashes.tolist(), strict=True):
            before = self._shown.get(row)
            # A near duplicate says more than a run; of equals the smaller hash, then the row that came first.
            if before is None or (kind != NEAR, value, start + train) < (before[2] != NEAR, before[0], before[1]):
                self._shown[row] = (value, start + train, kind, texts[train])
        for row in sorted(self._shown, key=lambda row: (int(self._priority[row]), row))[self._most :]:
            del self._shown[row]

    def report(self) -> Report:
        """What was found so far."""
        count = len(self._texts)
        runs, seen = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        for grams in self._grams:
            runs += np.bincount(grams.owners, minlength=count)
            seen += np.bincount(grams.owners[np.repeat(grams.seen, np.diff(grams.starts))], minlength=count)
        every = self._near | (seen > 0)
        examples = [
            Example(
                reference_row=row,
                train_row=train,
                kind=kind,
                covered=float(seen[row] / runs[row]) if runs[row] else 0.0,
                # The card shows it, and nobody masked the reference.
                passage=mask(self._texts[row] if kind == NEAR else passage(self._texts[row], text))[0][:_SHOWN],
            )
            for row, (_, train, kind, text) in sorted(
                self._shown.items(), key=lambda item: (int(self._priority[item[0]]), item[0])
            )
        ]
        return Report(
            reference_rows=count,
            rows=int(every.sum()),
            share=float(every.mean()) if count else 0.0,
            near=int(self._near.sum()),
            ngram=int((seen > 0).sum()),
            contaminated=np.flatnonzero(every),
            train_rows=np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *self._train_rows])),
            examples=examples,
        )


def contamination(
    train_texts: Iterable[Sequence[str]],
    reference_texts: Iterable[Sequence[str]],
    threshold: float = 0.8,
    examples: int = 20,
) -> Report:
    """Which reference rows are in the training texts; both come as batches of texts.

    Nothing but row numbers depends on the order of rows or on how they are divided into batches. `threshold` is the
    Jaccard similarity of a near duplicate. Raises `ValueError` for one that is not above 0 and at most 1.
    """
    found = Contamination(reference_texts, threshold, examples)
    for batch in train_texts:
        found.add(batch)
    return found.report()


def passage(reference: str, train: str) -> str:
    """The longest run of units of `reference` of which every part of a run's size is in `train`."""
    units, bounds, single = unit_hashes([reference, train])
    size = int(gram_sizes(np.diff(bounds), single)[0])
    if not size:
        return ""
    runs, own = run_hashes(units, bounds, size)
    inside = np.isin(runs[: own[1]], runs[own[1] :])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]])))
    if not len(edges):
        return ""
    starts, stops = edges[::2], edges[1::2]
    longest = int(np.argmax(stops - starts))
    spans = unit_spans(reference)
    return reference[spans[starts[longest]][0] : spans[stops[longest] + size - 2][1]]


def _grams(size: int, parts: list[tuple[Hashes, Indices]], rank: Indices) -> _Grams:
    """`rank` [N] is the order in which reference rows are shown."""
    hashes, rows = (np.concatenate(found) for found in zip(*parts, strict=True))
    order = np.lexsort((rank[rows], hashes))
    hashes, rows = hashes[order], rows[order]
    once = np.ones(len(hashes), dtype=bool)
    once[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    hashes, rows = hashes[once], rows[once]
    distinct, starts = np.unique(hashes, return_index=True)
    return _Grams(size=size, hashes=distinct, owners=rows, starts=np.append(starts, len(rows)))


def _text_hashes(texts: Sequence[str]) -> Hashes:
    """A hash of each text's units [N]: alike for texts that differ in signs and case alone."""
    result = np.zeros(len(texts), dtype=np.uint64)
    for start, stop in parts_of(texts):
        units, bounds, _ = unit_hashes(texts[start:stop])
        places = np.arange(len(units), dtype=np.uint64) - np.repeat(bounds[:-1], np.diff(bounds)).astype(np.uint64)
        running = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed(units + places))])
        result[start:stop] = mixed(running[bounds[1:]] - running[bounds[:-1]])
    return result
