"""Texts that say the same again and again: Gopher's filters (Rae et al. 2021, arXiv:2112.11446, table A1).

The paper counts words. Chinese has no spaces, and its words are mostly of two characters: in a text in Han, a run of n
words is a run of 2n characters. An n-gram that occurs once repeats nothing, however large its share of a short text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, compress
from operator import itemgetter

from danlu.data.filters.config import RepetitionFilter
from danlu.data.filters.document import Document


def repetition(document: Document, config: RepetitionFilter) -> str:
    """Which limit on repetition a text is over, or nothing."""
    if len(document.words) < config.min_words:
        return ""
    for name, parts, share, characters in (
        ("paragraphs", document.paragraphs, config.paragraphs, config.paragraph_characters),
        ("lines", document.lines, config.lines, config.line_characters),
    ):
        repeated, repeated_characters = repeated_shares(parts)
        if repeated > share:
            return f"repeated_{name}"
        if repeated_characters > characters:
            return f"repeated_{name}_characters"
    runs = Runs(document.words)
    step = config.han_characters_per_word if document.is_han else 1
    for size, limit in enumerate(config.top_n_grams, 2):
        share = runs.top_share(size * step)
        if share > limit:
            return f"top_{size}_gram"
        if not share:
            # A longer run that occurs twice holds a shorter one that does.
            return ""
    for size, limit in enumerate(config.duplicate_n_grams, 5):
        share = runs.duplicate_share(size * step)
        if share > limit:
            return f"duplicate_{size}_grams"
        if not share:
            return ""
    return ""


def repeated_shares(parts: Sequence[str]) -> tuple[float, float]:
    """The share of parts that equal an earlier one, and of characters in them."""
    if len(parts) < 2:
        return 0.0, 0.0
    distinct = set(parts)
    if len(distinct) == len(parts):
        return 0.0, 0.0
    characters = sum(map(len, parts))
    return 1 - len(distinct) / len(parts), 1 - sum(map(len, distinct)) / characters


class Runs:
    """The runs of words in a text. Each word becomes one character, so that a run is a short string."""

    def __init__(self, words: Sequence[str]) -> None:
        codes: dict[str, str] = {}
        # Unicode has no more than this many; a text with a million different words may take two for one.
        self._text = "".join([codes.setdefault(word, chr(len(codes) % 0x110000)) for word in words])
        self._lengths = list(map(len, words))
        self._ends = [0, *accumulate(self._lengths)]

    def _runs(self, size: int) -> list[str]:
        text = self._text
        return [text[start : start + size] for start in range(len(text) - size + 1)]

    def top_share(self, size: int) -> float:
        """The share of characters in the most frequent run of `size` words; 0 where no run occurs twice."""
        counts = Counter(self._runs(size))
        if not counts:
            return 0.0
        # Of runs as frequent, the first in the text.
        run, count = max(counts.items(), key=itemgetter(1))
        if count < 2:
            return 0.0
        start = self._text.index(run)
        return min(1.0, count * (self._ends[start + size] - self._ends[start]) / self._ends[-1])

    def duplicate_share(self, size: int) -> float:
        """The share of characters in runs of `size` words that occur more than once; none counts twice."""
        runs = self._runs(size)
        if len(set(runs)) == len(runs):
            return 0.0
        counts = Counter(runs)
        covered = bytearray(len(self._text))
        for place, run in enumerate(runs):
            if counts[run] > 1:
                covered[place : place + size] = b"\1" * size
        return sum(compress(self._lengths, covered)) / self._ends[-1]
