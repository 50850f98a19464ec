"""A character n-gram language model: the cheap model that a language model has to beat.

Interpolated, modified Kneser-Ney smoothing, as in Chen and Goodman 1999, "An empirical study of smoothing
techniques for language modeling", section 3:

    p(c | h) = (count(h c) - D(count(h c))) / count(h .) + gamma(h) p(c | h without its first character)

where `count` is the plain count for the longest histories and the number of different characters seen before `h c`
for shorter ones, `D` takes 0 to 3 values off according to the count, and `gamma(h)` gives exactly what was taken off
to the shorter history. Below the single characters lies the uniform distribution.

A document is its characters and one end event; its history begins with padding that is never foreseen. A character
that was never seen costs the unknown event, and then one choice among `OTHERS`: every text has a probability, as it
has for a model whose tokens are bytes.

Everything is arrays: an n-gram is a number, its key is (number of the n-gram without its last character) * symbols +
last character, and looking up is a binary search in the sorted keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from danlu.core.tasks import TASKS
from danlu.metrics.bootstrap import Floats, ratio

NAME = TASKS["generate"].baseline

#: About as many characters as Unicode assigns: what an unseen character may be.
OTHERS = 150_000

_START, _END, _UNKNOWN = 0, 1, 2
_SPECIAL = 3

#: Characters scored at a time.
_AT_ONCE = 2_000_000

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Order:
    """The n-grams of one length. G n-grams, H histories.

    `keys` [G] sorted; `kept` [G] count less discount; `total` [H] count of all that follows; `rest` [H] gamma.
    """

    keys: Integers
    kept: Floats
    total: Floats
    rest: Floats

    def find(self, wanted: Integers) -> Integers:
        """Numbers of the n-grams with these keys; -1 where there is none."""
        place = np.searchsorted(self.keys, wanted)
        place[place == len(self.keys)] = 0
        return np.where(self.keys[place] == wanted, place, -1)


class CharacterModel:
    """Foresees each character from the `order - 1` before it."""

    def __init__(self, order: int = 5) -> None:
        if order < 1:
            raise ValueError(f"order is {order}; expected at least 1")
        self.order = order
        self._alphabet: Integers = np.zeros(0, dtype=np.int64)
        self._orders: list[_Order] = []

    @property
    def symbols(self) -> int:
        """How many symbols there are: padding, end, unknown, and the characters seen."""
        return _SPECIAL + len(self._alphabet)

    def fit(self, texts: Sequence[str]) -> Self:
        """Count the n-grams of `texts`. Raises `ValueError` without texts."""
        if not texts:
            raise ValueError("Expected at least one text to learn from, got none")
        self._alphabet = np.unique(_code_points("".join(texts)))
        stream, _ = self._stream(texts)
        history = np.zeros(len(stream), dtype=np.int64)
        found = []
        for _ in range(self.order):
            keys, first, gram = np.unique(history * self.symbols + stream, return_index=True, return_inverse=True)
            found.append((keys, first, gram.ravel()))
            history = np.concatenate([[0], gram.ravel()[:-1]])
        self._orders = []
        for n, (keys, _, gram) in enumerate(found):
            if n + 1 < self.order:
                _, longer_first, _ = found[n + 1]
                count = np.bincount(gram[longer_first], minlength=len(keys))
            else:
                count = np.bincount(gram, minlength=len(keys))
            histories = len(found[n - 1][0]) if n else 1
            self._orders.append(_smooth(keys, count, self.symbols, histories))
        return self

    def log_likelihood(
        self,
        texts: Sequence[str],
        characters: Sequence[int] | None = None,
        end: bool = True,
        spans: Sequence[Sequence[tuple[int, int]] | None] | None = None,
    ) -> list[float]:
        """Natural logarithm of the probability of each text, the end event included unless `end` is False.

        `characters`: count only that many of each text's last characters, foreseen from all before them. Of a text that
        has `spans`, `(begin, end)` in characters, only the characters in them count, and the end does not.
        """
        result: list[float] = []
        for begin, stop in _chunks(texts):
            part = texts[begin:stop]
            stream, document = self._stream(part)
            logs = np.log(self._foreseen(stream))
            logs[stream == _UNKNOWN] -= np.log(OTHERS)
            counted = stream != _START
            if not end:
                counted &= stream != _END
            if characters is not None:
                lengths = np.array([len(text) for text in part], dtype=np.int64)
                skipped = lengths - np.asarray(characters[begin:stop], dtype=np.int64)
                starts = np.concatenate([[0], np.cumsum(lengths + self.order)[:-1]])
                counted &= np.arange(len(stream)) - starts[document] - (self.order - 1) >= skipped[document]
            if spans is not None:
                counted &= self._inside(part, spans[begin:stop])
            result.extend(np.bincount(document, weights=np.where(counted, logs, 0.0), minlength=len(part)).tolist())
        return result

    def _inside(self, texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]] | None]) -> NDArray[np.bool_]:
        """Which symbols of the stream of `texts` count; all of a text without spans."""
        found = []
        for text, inside in zip(texts, spans, strict=True):
            marks = np.full(len(text) + self.order, inside is None)
            for begin, stop in inside or ():
                marks[self.order - 1 + begin : self.order - 1 + stop] = True
            found.append(marks)
        return np.concatenate(found)

    def next_character(self, history: str) -> dict[str, float]:
        """Probability of every character seen in training after `history`, of "<end>" and of "<unknown>"."""
        stream, _ = self._stream([history])
        before = stream[:-1][len(stream) - self.order :] if self.order > 1 else stream[:0]
        options = np.concatenate([[_END, _UNKNOWN], np.arange(_SPECIAL, self.symbols)])
        rows = np.concatenate([np.tile(before, (len(options), 1)), options[:, None]], axis=1)
        names = ["<end>", "<unknown>", *(chr(point) for point in self._alphabet)]
        last = np.arange(1, len(options) + 1) * rows.shape[1] - 1
        return dict(zip(names, self._foreseen(rows.ravel())[last].tolist(), strict=True))

    def _stream(self, texts: Sequence[str]) -> tuple[Integers, Integers]:
        """All documents one after the other as symbols, and the position of each symbol's text."""
        padding = self.order - 1
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        spans = lengths + padding + 1
        document = np.repeat(np.arange(len(texts)), spans)
        ends = np.cumsum(spans)
        offset = np.arange(len(document)) - (ends - spans)[document]
        stream = np.full(len(document), _START, dtype=np.int64)
        stream[ends - 1] = _END
        points = _code_points("".join(texts))
        if len(self._alphabet):
            place = np.searchsorted(self._alphabet, points)
            place[place == len(self._alphabet)] = 0
            points = np.where(self._alphabet[place] == points, place + _SPECIAL, _UNKNOWN)
        else:
            points = np.full(len(points), _UNKNOWN, dtype=np.int64)
        stream[(offset >= padding) & (offset < spans[document] - 1)] = points
        return stream, document

    def _foreseen(self, stream: Integers) -> Floats:
        """Probability of each symbol of `stream` after those before it; without meaning for padding."""
        answer = np.full(len(stream), 1.0 / (self.symbols - 1))
        history = np.zeros(len(stream), dtype=np.int64)
        for order in self._orders:
            gram = np.where(history >= 0, order.find(np.maximum(history, 0) * self.symbols + stream), -1)
            known = np.flatnonzero(history >= 0)
            known = known[order.total[history[known]] > 0]
            past = history[known]
            kept = np.where(gram[known] >= 0, order.kept[gram[known]], 0.0)
            answer[known] = kept / order.total[past] + order.rest[past] * answer[known]
            history = np.concatenate([[0], gram[:-1]])
        return answer


def _smooth(keys: Integers, count: Integers, symbols: int, histories: int) -> _Order:
    """Discounts of one order; an n-gram that ends in padding is a history only and counts nothing."""
    count = np.where(keys % symbols == _START, 0, count)
    discount = np.concatenate([[0.0], _discounts(count)])[np.minimum(count, 3)]
    history = keys // symbols
    total = np.bincount(history, weights=count, minlength=histories).astype(np.float64)
    taken = np.bincount(history, weights=discount, minlength=histories)
    return _Order(keys=keys, kept=count - discount, total=total, rest=np.nan_to_num(ratio(taken, total)))


def _discounts(count: Integers) -> Floats:
    """What is taken off counts of 1, 2, and 3 or more (Chen and Goodman 1999, equation 26).

    Counts of a corpus too small or too regular for that get 0.5, 0.75 and 1.0.
    """
    n1, n2, n3, n4 = (float((count == k).sum()) for k in (1, 2, 3, 4))
    if min(n1, n2, n3, n4) > 0:
        y = n1 / (n1 + 2 * n2)
        estimated = np.array([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        if (estimated > 0).all():
            return estimated
    return np.array([0.5, 0.75, 1.0])


def _code_points(text: str) -> Integers:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def _chunks(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Spans of texts with about `_AT_ONCE` characters each."""
    spans, begin, characters = [], 0, 0
    for index, text in enumerate(texts):
        characters += len(text)
        if characters >= _AT_ONCE:
            spans.append((begin, index + 1))
            begin, characters = index + 1, 0
    if begin < len(texts):
        spans.append((begin, len(texts)))
    return spans
