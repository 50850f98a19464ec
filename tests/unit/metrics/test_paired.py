from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from danlu.metrics.paired import compare_classifiers, compare_language_models, mcnemar


def answered(only_ours: int, only_theirs: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    ours = np.array([True] * only_ours + [False] * only_theirs + [True] * both)
    theirs = np.array([False] * only_ours + [True] * only_theirs + [True] * both)
    return ours, theirs


@pytest.mark.parametrize(("only_ours", "only_theirs"), [(0, 0), (5, 0), (10, 4), (30, 30), (120, 80)])
def test_exact_mcnemar_is_a_fair_coin(only_ours: int, only_theirs: int) -> None:
    found = mcnemar(*answered(only_ours, only_theirs, 50))
    differing = only_ours + only_theirs
    tail = sum(math.comb(differing, k) for k in range(min(only_ours, only_theirs) + 1)) / 2**differing
    assert found["p_value"] == pytest.approx(min(1.0, 2 * tail))
    assert (found["only_ours"], found["only_theirs"]) == (only_ours, only_theirs)
    assert "exact" in found["test"]


@pytest.mark.parametrize(("only_ours", "only_theirs"), [(600, 500), (1_000, 1_001), (900, 700)])
def test_many_differences_take_the_corrected_chi_squared_test(only_ours: int, only_theirs: int) -> None:
    found = mcnemar(*answered(only_ours, only_theirs, 9))
    statistic = max(abs(only_ours - only_theirs) - 1, 0) ** 2 / (only_ours + only_theirs)
    assert found["p_value"] == pytest.approx(stats.chi2.sf(statistic, 1))
    assert found["p_value"] == pytest.approx(stats.binomtest(only_ours, only_ours + only_theirs).pvalue, abs=0.01)
    assert "chi-squared" in found["test"]


def test_mcnemar_refuses_other_rows() -> None:
    with pytest.raises(ValueError, match="same rows"):
        mcnemar([True], [True, False])


def one_hot(hits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.eye(2)[np.where(hits, truth, 1 - truth)]


def test_a_clearly_better_classifier_is_significant_whichever_side_it_is_on() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 800)
    good, poor = (one_hot(random.random(800) < share, truth) for share in (0.9, 0.7))
    ours = compare_classifiers(good, poor, truth, resamples=400)
    assert ours["metric"] == "macro_f1"
    assert ours["difference"]["low"] > 0
    assert ours["significant"] is True
    assert ours["accuracy"]["p_value"] < 1e-6
    theirs = compare_classifiers(poor, good, truth, resamples=400)
    assert theirs["difference"]["value"] == pytest.approx(-ours["difference"]["value"])
    assert theirs["significant"] is True


def test_a_model_is_not_better_than_itself() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, 200)
    same = one_hot(random.random(200) < 0.8, truth)
    found = compare_classifiers(same, same, truth, resamples=200)
    assert found["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["p_value"] == 1.0
    assert found["significant"] is False


def false_alarms(worlds: int, rows: int, resamples: int) -> float:
    random = np.random.default_rng(7)
    alarms = 0
    for world in range(worlds):
        truth = random.integers(0, 2, rows)
        hard = random.random(rows) < 0.3  # for both: what makes a pair of models agree
        ours, theirs = (one_hot(random.random(rows) < np.where(hard, 0.4, 0.9), truth) for _ in range(2))
        alarms += compare_classifiers(ours, theirs, truth, resamples, seed=world)["significant"]
    return alarms / worlds


def test_equal_models_are_seldom_called_different() -> None:
    assert false_alarms(worlds=60, rows=150, resamples=200) <= 0.15


@pytest.mark.slow
def test_equal_models_are_called_different_5_times_in_100() -> None:
    assert false_alarms(worlds=1_500, rows=300, resamples=500) == pytest.approx(0.05, abs=0.02)


def test_language_models_are_compared_in_bits_per_character() -> None:
    random = np.random.default_rng(2)
    characters = random.integers(5, 60, 200)
    ours = -characters * random.uniform(1.0, 2.0, 200)
    found = compare_language_models(ours, ours * 1.1, characters, resamples=300)
    expected = (1 - 1.1) * -ours.sum() / math.log(2) / characters.sum()
    assert found["metric"] == "bits_per_character"
    assert found["difference"]["value"] == pytest.approx(expected)
    assert found["significant"] is True


def test_one_row_has_no_verdict() -> None:
    one = compare_classifiers(np.array([[0.9, 0.1]]), np.array([[0.1, 0.9]]), [0], resamples=50)
    assert (one["p_value"], one["significant"]) == (None, False)
    two = compare_language_models([-1.0], [-2.0], [3], resamples=50)
    assert (two["p_value"], two["significant"]) == (None, False)
    json.dumps([one, two], allow_nan=False)
