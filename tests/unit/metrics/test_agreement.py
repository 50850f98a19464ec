"""Kappa against scikit-learn and against the literature's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from danlu.metrics.agreement import cohen_kappa, fleiss_kappa

LABELS = st.sampled_from(["spam", "ham", "好"])

#: 10 subjects, 14 raters, 5 categories: the worked example by which implementations of Fleiss' kappa are usually
#: checked (P_e 0.213, P 0.378, kappa 0.210).
WORKED = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(LABELS, LABELS), min_size=2, max_size=40))
def test_cohen_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    found = cohen_kappa(first, second, resamples=20)["value"]
    if len({*first, *second}) == 1:
        assert found is None
    else:
        assert found == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_the_interval_is_that_of_resampled_rows() -> None:
    draw = np.random.default_rng(3)
    first = draw.choice(["a", "b", "c"], 120)
    second = np.where(draw.random(120) < 0.7, first, draw.choice(["a", "b", "c"], 120))
    found = cohen_kappa(list(first), list(second))
    rows = [draw.integers(120, size=120) for _ in range(1_000)]
    low, high = np.percentile([cohen_kappa_score(first[r], second[r]) for r in rows], [2.5, 97.5])
    assert found["low"] == pytest.approx(low, abs=0.02)
    assert found["high"] == pytest.approx(high, abs=0.02)


def test_fleiss_worked_example() -> None:
    found = fleiss_kappa(WORKED)
    assert found["value"] == pytest.approx(0.210, abs=5e-4)
    assert found["low"] is not None
    assert found["high"] is not None
    assert found["low"] < 0.210 < found["high"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(LABELS, LABELS), min_size=2, max_size=40).filter(lambda pairs: len(set(sum(pairs, ()))) > 1))
def test_fleiss_of_two_is_scotts_pi(pairs: list[tuple[str, str]]) -> None:
    # Scott 1955: chance agreement from the pooled shares of the labels.
    labels = sorted(set(sum(pairs, ())))
    votes = np.array([[pair.count(label) for label in labels] for pair in pairs])
    observed = np.mean([a == b for a, b in pairs])
    by_chance = float(((votes.sum(axis=0) / votes.sum()) ** 2).sum())
    assert fleiss_kappa(votes, resamples=20)["value"] == pytest.approx((observed - by_chance) / (1 - by_chance))


def test_full_agreement_is_one_and_one_label_is_undefined() -> None:
    assert cohen_kappa(["a", "b", "a"], ["a", "b", "a"])["value"] == 1.0
    assert cohen_kappa(["a", "a"], ["a", "a"])["value"] is None
    assert fleiss_kappa(np.array([[3, 0], [0, 3]]))["value"] == 1.0
    assert fleiss_kappa(np.zeros((0, 2), dtype=int))["value"] is None
    assert cohen_kappa([], [])["value"] is None


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 2"):
        cohen_kappa(["a"] * 3, ["a"] * 2)
    with pytest.raises(ValueError, match="same number of votes"):
        fleiss_kappa(np.array([[2, 0], [2, 1]]))
    with pytest.raises(ValueError, match="at least 2"):
        fleiss_kappa(np.array([[1, 0], [0, 1]]))
