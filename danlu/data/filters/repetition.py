"""Texts that say the same again and again: Gopher's filters (Rae et al. 2021, arXiv:2112.11446, table A1).

The paper counts words. Chinese has no spaces, and its words are mostly of two characters: in a text in Han, a run of n
words is a run of 2n characters. An n-gram that occurs once repeats nothing, however large its share of a short text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import compress

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
    words = document.words
    step = config.han_characters_per_word if document.is_han else 1
    for size, limit in enumerate(config.top_n_grams, 2):
        if top_share(words, size * step) > limit:
            return f"top_{size}_gram"
    for size, limit in enumerate(config.duplicate_n_grams, 5):
        share = duplicate_share(words, size * step)
        if share > limit:
            return f"duplicate_{size}_grams"
        if not share:
            # A longer run that occurs twice holds a shorter one that does.
            break
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


def top_share(words: Sequence[str], size: int) -> float:
    """The share of characters in the most frequent run of `size` words; 0 where no run occurs twice."""
    counts = Counter(_runs(words, size))
    if not counts:
        return 0.0
    run, count = counts.most_common(1)[0]
    if count < 2:
        return 0.0
    return min(1.0, count * sum(map(len, run)) / sum(map(len, words)))


def duplicate_share(words: Sequence[str], size: int) -> float:
    """The share of characters in runs of `size` words that occur more than once; none counts twice."""
    runs = _runs(words, size)
    counts = Counter(runs)
    if len(counts) == len(runs):
        return 0.0
    covered = bytearray(len(words))
    for place, run in enumerate(runs):
        if counts[run] > 1:
            covered[place : place + size] = b"\1" * size
    return sum(map(len, compress(words, covered))) / sum(map(len, words))


def _runs(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(size)), strict=False))
