"""Scores of several labels a text, against scikit-learn and against what a resample is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics

from danlu.learning.objectives.labels import average_precision
from danlu.metrics.bootstrap import weights
from danlu.metrics.multilabel import (
    TagBaseline,
    _average_precisions,
    _rankings,
    compare_taggers,
    multilabel,
)
from danlu.metrics.thresholds import choose_thresholds, indicators

LABELS = ["a", "b", "c", "never"]


def answers(rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities float32 with ties, and a truth that they foresee a little; no row has the last label."""
    random = np.random.default_rng(seed)
    probabilities = np.round(random.random((rows, len(LABELS))), 2).astype(np.float32)
    truth = random.random((rows, len(LABELS))) < 0.2 + 0.6 * probabilities * [1, 0.5, 0.1, 0]
    truth[:, 3] = False
    return probabilities, truth


def test_values_equal_scikit_learn() -> None:
    probabilities, truth = answers()
    thresholds = np.array([0.5, 0.6, 0.3, 0.99])
    found = multilabel(probabilities, truth, LABELS, thresholds, resamples=50)
    decided = probabilities >= thresholds
    occurs = truth.any(axis=0)
    clipped = np.clip(np.where(truth, probabilities, 1 - probabilities.astype(np.float64)), np.finfo(np.float32).eps, 1)
    expected = {
        "micro_f1": metrics.f1_score(truth, decided, average="micro"),
        "macro_f1": metrics.f1_score(truth[:, occurs], decided[:, occurs], average="macro"),
        "micro_precision": metrics.precision_score(truth, decided, average="micro"),
        "micro_recall": metrics.recall_score(truth, decided, average="micro"),
        "macro_precision": metrics.precision_score(truth[:, occurs], decided[:, occurs], average="macro"),
        "macro_recall": metrics.recall_score(truth[:, occurs], decided[:, occurs], average="macro"),
        "subset_accuracy": metrics.accuracy_score(truth, decided),
        "hamming_loss": metrics.hamming_loss(truth, decided),
        "log_loss": -np.log(clipped).mean(),
        "average_precision": metrics.average_precision_score(truth[:, occurs], probabilities[:, occurs]),
    }
    assert set(found["scores"]) == set(expected)
    for name, value in expected.items():
        score = found["scores"][name]
        assert score["value"] == pytest.approx(value, abs=1e-6), name
        assert score["low"] <= score["value"] <= score["high"]
        assert score["low"] < score["high"]
    assert found["per_class"]["b"]["support"] == truth[:, 1].sum()
    assert found["per_class"]["b"]["threshold"] == 0.6
    assert found["per_class"]["never"]["f1"]["value"] is None
    json.dumps(found, allow_nan=False)


def test_average_precision_under_weights_is_that_of_the_rows_repeated() -> None:
    probabilities, truth = answers(80)
    drawn = next(weights(80, 3, seed=2))
    found = _average_precisions(_rankings(probabilities.astype(np.float64), truth), truth.shape[1], drawn)
    for resample in range(3):
        rows = np.repeat(np.arange(80), drawn[:, resample].astype(int))
        for label in range(3):
            expected = metrics.average_precision_score(truth[rows, label], probabilities[rows, label])
            assert found[resample, label] == pytest.approx(expected)


def test_training_and_evaluation_mean_the_same_by_average_precision() -> None:
    probabilities, truth = answers(120, seed=4)
    expected = multilabel(probabilities, truth, LABELS, np.full(4, 0.5), resamples=0)["scores"]["average_precision"]
    assert average_precision(truth.astype(np.float32), probabilities) == pytest.approx(expected["value"])
    assert average_precision(np.zeros((3, 2)), np.ones((3, 2))) == 0.0


def test_thresholds_have_the_largest_f1_there_is_and_hit_no_row() -> None:
    probabilities, truth = answers(200, seed=1)
    found = choose_thresholds(probabilities, truth)
    assert found[3] == 0.5  # a label that no row has
    for label in range(3):
        best = max(
            metrics.f1_score(truth[:, label], probabilities[:, label] >= tried) for tried in np.linspace(0, 1, 401)
        )
        reached = metrics.f1_score(truth[:, label], probabilities[:, label] >= found[label])
        assert reached == pytest.approx(best)
        assert np.abs(probabilities[:, label] - found[label]).min() > 1e-3


def test_a_label_with_few_rows_keeps_one_half() -> None:
    probabilities = np.linspace(0.0, 0.4, 20).reshape(-1, 1)
    truth = np.arange(20).reshape(-1, 1) >= 16
    assert choose_thresholds(probabilities, truth) == [0.5]
    truth = np.arange(20).reshape(-1, 1) >= 15
    assert 0.25 < choose_thresholds(probabilities, truth)[0] < 0.4


def test_the_comparison_is_paired_and_knows_equals() -> None:
    probabilities, truth = answers(400)
    theirs = probabilities >= 0.9
    better = np.where(np.random.default_rng(0).random(truth.shape) < 0.9, truth, ~truth)
    found = compare_taggers(better, theirs, truth, resamples=200)
    assert found["metric"] == "macro_f1"
    assert found["significant"]
    assert found["difference"]["low"] > 0.1
    assert found["subset_accuracy"]["only_ours"] > found["subset_accuracy"]["only_theirs"]
    same = compare_taggers(theirs, theirs, truth, resamples=200)
    assert same["difference"]["value"] == 0.0
    assert not same["significant"]


def test_the_baseline_learns_labels_by_their_words() -> None:
    words = {"delivery": "parcel", "price": "cheap", "quality": "solid"}
    rows = [[name for place, name in enumerate(words) if number >> place & 1] for number in range(8)] * 6
    texts = [f"no {number}, " + " ".join(words[name] for name in names) for number, names in enumerate(rows)]
    model = TagBaseline().fit(texts, rows, [*words, "always not"])
    found = model.probabilities(["a parcel that is cheap", "solid", "nothing"]) >= 0.5
    assert model.converged
    assert found.tolist() == indicators([["delivery", "price"], ["quality"], []], [*words, "always not"]).tolist()


def test_shapes_that_disagree_and_numbers_that_are_none_are_refused() -> None:
    probabilities, truth = answers(10)
    with pytest.raises(ValueError, match="must both be"):
        multilabel(probabilities[:, :2], truth, LABELS, np.full(4, 0.5))
    probabilities[0, 0] = np.nan
    with pytest.raises(ValueError, match="1 rows of probabilities"):
        multilabel(probabilities, truth, LABELS, np.full(4, 0.5))


def test_no_mistake_on_few_rows_is_no_certainty() -> None:
    truth = np.array([[row % 2 == 0, row % 3 == 0] for row in range(24)])
    found = multilabel(truth * 0.8 + 0.1, truth, ["a", "b"], np.array([0.5, 0.5]))
    for name in ("micro_f1", "macro_f1", "micro_precision", "micro_recall", "subset_accuracy", "average_precision"):
        score = found["scores"][name]
        assert score["value"] == score["high"] == 1.0, name
        assert 0.5 < score["low"] < 0.95, name
    assert found["scores"]["hamming_loss"]["low"] == 0.0
    assert 0.05 < found["scores"]["hamming_loss"]["high"] < 0.2
    assert found["per_class"]["b"]["f1"]["low"] < found["per_class"]["a"]["f1"]["low"] < 1.0
