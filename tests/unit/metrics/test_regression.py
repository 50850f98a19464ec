"""Scores of numbers, against scikit-learn and SciPy and against what a resample is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from danlu.metrics.bootstrap import weights
from danlu.metrics.regression import ValueBaseline, _Ranked, _spearman, compare_regressors, regression


def numbers(rows: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Answers and truth with ties, far from zero."""
    random = np.random.default_rng(seed)
    truth = 1000.0 + random.integers(1, 6, rows)
    return np.round(truth + random.normal(0, 1.0, rows), 1), truth


def test_values_equal_scikit_learn_and_scipy() -> None:
    answers, truth = numbers()
    found = regression(answers, truth, resamples=50)
    expected = {
        "mae": metrics.mean_absolute_error(truth, answers),
        "rmse": metrics.root_mean_squared_error(truth, answers),
        "r2": metrics.r2_score(truth, answers),
        "spearman": stats.spearmanr(truth, answers).statistic,
    }
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-9), name
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]


def test_a_weighted_rank_correlation_is_that_of_the_rows_repeated() -> None:
    answers, truth = numbers(60)
    drawn = next(weights(60, 4, seed=3))
    found = _spearman([_Ranked.of(answers), _Ranked.of(truth)], drawn)
    for resample in range(4):
        rows = np.repeat(np.arange(60), drawn[:, resample].astype(int))
        assert found[resample] == pytest.approx(stats.spearmanr(truth[rows], answers[rows]).statistic)


def test_what_does_not_exist_is_none() -> None:
    found = regression(np.full(5, 2.0), np.full(5, 3.0), resamples=20)
    assert found["mae"]["value"] == 1.0
    assert found["r2"]["value"] is None
    assert found["spearman"]["value"] is None
    with pytest.raises(ValueError, match="finite"):
        regression(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(ValueError, match="one number a row"):
        regression(np.ones((3, 1)), np.ones(3))


def test_the_comparison_is_paired_and_less_error_is_better() -> None:
    answers, truth = numbers()
    worse = answers + np.sign(answers - truth) * 0.5
    found = compare_regressors(answers, worse, truth, resamples=200)
    assert found["metric"] == "mae"
    assert found["significant"]
    assert -0.51 < found["difference"]["value"] < -0.4
    assert not compare_regressors(answers, answers, truth, resamples=50)["significant"]


def test_the_baseline_learns_what_words_are_worth() -> None:
    worth = {"great": 5.0, "fine": 3.0, "awful": 1.0}
    rows = [
        (f"the {thing} is {word}", stars)
        for thing in ["lamp", "pan", "coat", "bag", "cup"]
        for word, stars in worth.items()
    ]
    model = ValueBaseline().fit([text for text, _ in rows], [stars for _, stars in rows])
    great, awful = model.answers(["a great bike", "a bike, awful"])
    assert great > 3.7
    assert awful < 2.3
    assert len(model.answers([])) == 0
