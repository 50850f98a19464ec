"""The table of pairs of letters is what Python's own documentation holds."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from itertools import pairwise
from pydoc_data import topics

import pytest

from danlu.data.filters.gibberish import bits_per_letter

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _prose_words() -> set[str]:
    lines = "\n".join(topics.topics.values()).split("\n")
    prose = [line.lower() for line in lines if re.fullmatch(r"[A-Za-z ,.;:'()\"-]{40,}", line)]
    return {word for line in prose for word in re.findall("[a-z]{3,}", line)}


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="counted from the documentation of Python 3.11")
def test_the_table_can_be_counted_again() -> None:
    pairs = Counter(first + second for word in _prose_words() for first, second in pairwise(word))
    differences = []
    for first in LETTERS:
        total = sum(pairs[first + second] for second in LETTERS)
        for second in LETTERS:
            bits = -math.log2((pairs[first + second] + 0.5) / (total + 13))
            differences.append(abs(bits_per_letter(first + second) - bits))
    # Rounded to half bits; a few words may come and go with a patch release.
    assert sum(difference <= 0.26 for difference in differences) > 0.97 * len(differences)


@pytest.mark.parametrize("word", ["strengths", "wonderful", "shandong", "tiananmen", "schmetterling"])
def test_words_have_few_bits(word: str) -> None:
    assert bits_per_letter(word) < 5.0


@pytest.mark.parametrize("word", ["asdfghjkl", "qwrtpsdfg", "zxcvbnmkj"])
def test_mashed_keys_have_many(word: str) -> None:
    assert bits_per_letter(word) > 6.0
