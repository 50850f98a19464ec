"""Shares of repeated runs are those of a count by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.data.filters.repetition import Runs, repeated_shares

WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", "好"]), min_size=1, max_size=40)


def test_shares_of_a_known_text() -> None:
    runs = Runs(["the", "cat", "saw", "the", "cat", "and", "the", "dog"])
    # "the cat" twice: 12 of 24 characters.
    assert runs.top_share(2) == pytest.approx(12 / 24)
    assert runs.duplicate_share(2) == pytest.approx(12 / 24)
    assert runs.top_share(3) == runs.duplicate_share(3) == 0.0
    assert runs.top_share(9) == runs.duplicate_share(9) == 0.0


@given(WORDS, st.integers(1, 6))
def test_duplicates_are_what_a_plain_count_says(words: list[str], size: int) -> None:
    runs = [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]
    covered = {place for start, run in enumerate(runs) if runs.count(run) > 1 for place in range(start, start + size)}
    characters = sum(map(len, words))
    assert Runs(words).duplicate_share(size) == pytest.approx(sum(len(words[place]) for place in covered) / characters)
    most = max((runs.count(run) for run in runs), default=0)
    assert (Runs(words).top_share(size) > 0) == (most > 1)


def test_repeated_parts() -> None:
    assert repeated_shares(["ab", "c", "ab", "ab"]) == (0.5, 4 / 7)
    assert repeated_shares(["ab"]) == repeated_shares([]) == (0.0, 0.0)
