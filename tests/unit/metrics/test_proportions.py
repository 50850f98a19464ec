from __future__ import annotations

import numpy as np
import pytest

from danlu.metrics.paired import compare_classifiers
from danlu.metrics.proportions import both, mean_ends, wilson, with_ends
from danlu.metrics.scores import classification


@pytest.mark.parametrize("rows", [2, 52, 1_000])
def test_at_the_ends_wilson_is_a_simple_fraction(rows: int) -> None:
    # For k = n the score interval starts at n / (n + z^2), for k = 0 it ends at z^2 / (n + z^2).
    square = 1.959964**2
    assert wilson(rows, rows) == pytest.approx((rows / (rows + square), 1.0), abs=1e-6)
    assert wilson(0, rows) == pytest.approx((0.0, square / (rows + square)), abs=1e-6)


def test_a_proportion_of_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="n"):
        wilson(0, 0)


def test_only_an_interval_that_is_a_point_is_replaced() -> None:
    wide = {"value": 0.9, "low": 0.8, "high": 1.0}
    unknown = {"value": None, "low": None, "high": None}
    point = {"value": 1.0, "low": 1.0, "high": 1.0}
    assert with_ends(wide, 50) is wide
    assert with_ends(unknown, 50) is unknown
    assert with_ends(point, 0) == {"value": 1.0, "low": None, "high": None}
    assert both(wide, point, point) is wide
    assert both(point, {"value": 1.0, "low": 0.5, "high": 1.0}, point)["low"] == pytest.approx(2 / 3)
    assert mean_ends(point, [wide, point])["low"] == pytest.approx(0.9)
    assert mean_ends(point, [wide, point], [0.75, 0.25])["low"] == pytest.approx(0.85)


def perfect(rows: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    truth = np.arange(rows) % size
    return np.where(np.arange(size) == truth[:, None], 0.9, 0.1 / (size - 1)), truth


@pytest.mark.parametrize("size", [2, 3])
def test_a_model_without_a_mistake_on_52_rows_is_not_known_to_be_without_one(size: int) -> None:
    found = classification(*perfect(52, size), [f"label {k}" for k in range(size)], resamples=200)
    assert found["scores"]["accuracy"]["low"] == pytest.approx(52 / (52 + 1.959964**2), abs=1e-6)
    for name in ("macro_f1", "weighted_f1", "macro_precision", "macro_recall", "roc_auc"):
        score = found["scores"][name]
        assert (score["value"], score["high"]) == (1.0, 1.0)
        assert 0.75 < score["low"] < 0.94, name
    for label in found["per_class"].values():
        for name in ("precision", "recall", "f1"):
            assert label[name]["low"] < 0.93, name


def test_the_interval_of_a_perfect_model_covers_as_often_as_it_says() -> None:
    # A model that is right 97 times of 100: of 40 rows it often makes no mistake, and then the bootstrap claims [1, 1].
    random = np.random.default_rng(11)
    probabilities, truth = perfect(40, 2)
    covered = 0
    for _ in range(200):
        wrong = random.random(40) < 0.03
        score = classification(np.where(wrong[:, None], 1 - probabilities, probabilities), truth, ["a", "b"], 200)
        accuracy = score["scores"]["accuracy"]
        covered += accuracy["low"] <= 0.97 <= accuracy["high"]
    assert covered >= 0.93 * 200


def test_a_label_that_is_never_given_has_a_precision_without_an_interval() -> None:
    found = classification(np.array([[0.9, 0.1]] * 40), [0, 1] * 20, ["a", "b"], resamples=50)
    assert found["per_class"]["b"]["precision"] == {"value": 0.0, "low": None, "high": None}
    assert found["per_class"]["b"]["recall"]["high"] > 0.1


def test_a_label_that_a_resample_lacks_does_not_move_the_mean() -> None:
    # Forty rows of "a", all right; one of "b", wrong: macro F1 is about 0.5. A third of the resamples lack "b", and
    # the mean over the labels that they do have would be 1.
    probabilities = np.array([[0.9, 0.1]] * 41)
    truth = np.array([0] * 40 + [1])
    found = classification(probabilities, truth, ["a", "b"], resamples=500)
    score = found["scores"]["macro_f1"]
    assert score["value"] == pytest.approx(0.494, abs=0.001)
    assert score["high"] <= 0.5
    same = compare_classifiers(probabilities, 1 - probabilities, truth, resamples=500)
    assert same["difference"]["high"] < 0.5
