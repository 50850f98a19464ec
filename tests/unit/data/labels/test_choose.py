from __future__ import annotations

import numpy as np
import pytest

from danlu.data.labels.choose import most_informative, uncertainty
from danlu.examples import tiny_rows


def test_uncertainty_is_one_less_the_margin() -> None:
    found = uncertainty(np.array([[0.5, 0.5, 0.0], [0.7, 0.2, 0.1], [0.0, 0.0, 1.0]]))
    assert found == pytest.approx([1.0, 0.5, 0.0])
    assert uncertainty(np.ones((2, 1))).tolist() == [0.0, 0.0]


def test_near_copies_are_not_labelled_twice() -> None:
    # The model is least sure of forty near copies of one text; a plain ranking would hand out nothing else.
    copies = [f"the parcel came late, as always, and nobody answered the phone{'!' * (n % 3)} {n}" for n in range(40)]
    others = [row["text"] for row in tiny_rows(300)]
    sure = np.array([0.5] * len(copies) + list(np.linspace(0.52, 0.95, len(others))))
    chosen = most_informative([*copies, *others], np.stack([sure, 1 - sure], axis=1), 20)
    assert len(chosen) == len(set(chosen)) == 20
    assert 1 <= sum(row < len(copies) for row in chosen) <= 4
    # All of them from the uncertain tenfold, the most uncertain first.
    assert max(sure[chosen]) <= sorted(sure)[20 * 10]
    assert sure[chosen].tolist() == sorted(sure[chosen])


def test_equal_texts_count_once_and_few_rows_are_all_taken() -> None:
    probabilities = np.array([[0.6, 0.4], [0.5, 0.5], [0.6, 0.4]])
    assert most_informative(["a", "b", "a"], probabilities, 10) == [1, 0]
    assert most_informative([], np.zeros((0, 2)), 10) == []


def test_texts_that_are_all_alike_to_the_vectors_still_give_rows() -> None:
    texts = ["aa", "aaa", "aaaa", "aaaaa"]
    chosen = most_informative(texts, np.full((4, 2), 0.5), 2)
    assert 1 <= len(chosen) <= 2


def test_the_order_of_rows_does_not_matter() -> None:
    texts = [row["text"] for row in tiny_rows(100)]
    sure = np.linspace(0.5, 0.9, len(texts))
    probabilities = np.stack([sure, 1 - sure], axis=1)
    order = np.random.default_rng(4).permutation(len(texts))
    here = [texts[row] for row in most_informative(texts, probabilities, 8)]
    there = most_informative([texts[row] for row in order], probabilities[order], 8)
    assert [texts[order[row]] for row in there] == here
