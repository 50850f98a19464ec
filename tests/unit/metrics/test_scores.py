from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from sklearn import metrics

from danlu.metrics.scores import BINS, classification, generation

NAMES = {
    "accuracy",
    "macro_f1",
    "weighted_f1",
    "macro_precision",
    "macro_recall",
    "roc_auc",
    "log_loss",
    "ece",
}


def answers(rows: int, size: int, seed: int = 0, right: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [rows, size] float32 and a truth that the best guess hits about `right` of the time."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(size, 0.5), rows).astype(np.float32)
    truth = np.where(random.random(rows) < right, probabilities.argmax(axis=1), random.integers(0, size, rows))
    return probabilities, truth


@pytest.mark.parametrize("size", [2, 3, 7])
def test_values_equal_scikit_learn(size: int) -> None:
    probabilities, truth = answers(500, size)
    labels = [f"label {k}" for k in range(size)]
    found = classification(probabilities, truth, labels, resamples=50)
    predicted = probabilities.argmax(axis=1)
    exact = probabilities.astype(np.float64) / probabilities.astype(np.float64).sum(axis=1, keepdims=True)
    clipped = np.clip(exact, np.finfo(np.float32).eps, 1.0)
    expected = {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "macro_f1": metrics.f1_score(truth, predicted, average="macro"),
        "weighted_f1": metrics.f1_score(truth, predicted, average="weighted"),
        "macro_precision": metrics.precision_score(truth, predicted, average="macro"),
        "macro_recall": metrics.recall_score(truth, predicted, average="macro"),
        "roc_auc": metrics.roc_auc_score(truth, exact[:, 1] if size == 2 else exact, multi_class="ovr"),
        "log_loss": metrics.log_loss(truth, clipped / clipped.sum(axis=1, keepdims=True)),
    }
    assert set(found["scores"]) == NAMES
    for name, value in expected.items():
        assert found["scores"][name]["value"] == pytest.approx(value, abs=1e-6), name
    by_label = metrics.precision_recall_fscore_support(truth, predicted)
    for k, label in enumerate(labels):
        for name, column in zip(("precision", "recall", "f1"), by_label[:3], strict=True):
            assert found["per_class"][label][name]["value"] == pytest.approx(column[k])
        assert found["per_class"][label]["support"] == by_label[3][k]
    assert found["confusion"] == {"labels": labels, "matrix": metrics.confusion_matrix(truth, predicted).tolist()}


def test_roc_auc_counts_ties_half() -> None:
    random = np.random.default_rng(4)
    coarse = random.integers(0, 4, 300) / 4
    truth = (random.random(300) < 0.2 + 0.6 * coarse).astype(int)
    found = classification(np.stack([1 - coarse, coarse], axis=1), truth, ["no", "yes"], resamples=20)
    assert found["scores"]["roc_auc"]["value"] == pytest.approx(metrics.roc_auc_score(truth, coarse))


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    probabilities, truth = answers(400, 3)
    found = classification(probabilities, truth, ["a", "b", "c"], resamples=2_000)["scores"]
    random = np.random.default_rng(99)
    plain: dict[str, list[float]] = {"accuracy": [], "macro_f1": [], "roc_auc": []}
    exact = probabilities.astype(np.float64) / probabilities.astype(np.float64).sum(axis=1, keepdims=True)
    for _ in range(120):
        drawn = random.integers(0, 400, 400)
        predicted = probabilities[drawn].argmax(axis=1)
        plain["accuracy"].append((predicted == truth[drawn]).mean())
        plain["macro_f1"].append(metrics.f1_score(truth[drawn], predicted, average="macro"))
        plain["roc_auc"].append(metrics.roc_auc_score(truth[drawn], exact[drawn], multi_class="ovr"))
    for name, samples in plain.items():
        low, high = np.percentile(samples, [2.5, 97.5])
        assert found[name]["low"] == pytest.approx(low, abs=0.02), name
        assert found[name]["high"] == pytest.approx(high, abs=0.02), name


def test_calibration_error_by_hand() -> None:
    # Four answers at 0.8 of which two are right, one at 1.0 that is right: 4/5 * |0.8 - 0.5| + 1/5 * 0.
    probabilities = np.array([[0.8, 0.2]] * 4 + [[1.0, 0.0]])
    found = classification(probabilities, [0, 0, 1, 1, 0], ["a", "b"], resamples=100)
    assert found["calibration"]["ece"]["value"] == pytest.approx(0.24)
    bins = found["calibration"]["bins"]
    assert len(bins) == BINS
    filled = [entry for entry in bins if entry["rows"]]
    assert [(entry["rows"], entry["accuracy"]) for entry in filled] == [(4, 0.5), (1, 1.0)]
    assert filled[0]["confidence"] == pytest.approx(0.8)
    assert all(entry["confidence"] is None for entry in bins if not entry["rows"])


def test_calibration_interval_holds_its_value() -> None:
    random = np.random.default_rng(5)
    sure = random.uniform(0.5, 1.0, 1_000)
    truth = (random.random(1_000) > sure).astype(int)  # perfectly calibrated: the error is noise alone
    error = classification(np.stack([sure, 1 - sure], axis=1), truth, ["a", "b"], resamples=500)["scores"]["ece"]
    assert error["low"] <= error["value"] <= error["high"]


def test_more_rows_make_narrower_intervals() -> None:
    widths = []
    for rows in (200, 3_200):
        probabilities, truth = answers(rows, 3)
        score = classification(probabilities, truth, ["a", "b", "c"], resamples=500)["scores"]["macro_f1"]
        widths.append(score["high"] - score["low"])
    assert widths[0] / widths[1] == pytest.approx(4.0, rel=0.3)  # the square root of 16


def test_same_seed_same_result_and_another_seed_another_interval() -> None:
    probabilities, truth = answers(300, 3)
    first, again, other = (
        classification(probabilities, truth, ["a", "b", "c"], resamples=200, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first["scores"]["accuracy"]["value"] == other["scores"]["accuracy"]["value"]
    assert first["scores"]["log_loss"] != other["scores"]["log_loss"]


def test_a_label_without_test_rows_is_null_and_left_out_of_the_mean() -> None:
    probabilities, truth = answers(200, 3)
    truth = truth % 2  # nothing is of label 2, which is still predicted
    found = classification(probabilities, truth, ["a", "b", "c"], resamples=100)
    assert found["per_class"]["c"]["recall"] == {"value": None, "low": None, "high": None}
    assert found["per_class"]["c"]["support"] == 0
    mean = np.mean([found["per_class"][label]["f1"]["value"] for label in ("a", "b")])
    assert found["scores"]["macro_f1"]["value"] == pytest.approx(mean)
    json.dumps(found, allow_nan=False)


def test_a_label_that_is_never_predicted_has_precision_0() -> None:
    found = classification(np.array([[0.9, 0.1]] * 4), [0, 0, 1, 1], ["a", "b"], resamples=50)
    assert found["per_class"]["b"]["precision"]["value"] == 0.0
    assert found["scores"]["macro_precision"]["value"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("probabilities", "truth"),
    [
        ([[0.3, 0.7]], [1]),
        ([[0.3, 0.7]], [0]),
        ([[0.6, 0.4], [0.6, 0.4]], [0, 0]),
        ([[0.5, 0.5], [0.5, 0.5]], [0, 1]),
        ([[1.0, 0.0], [0.0, 1.0]], [1, 0]),
        (np.zeros((0, 2)), []),
    ],
)
def test_tiny_inputs_give_null_never_nan(probabilities: np.ndarray, truth: list[int]) -> None:
    found = classification(np.array(probabilities), truth, ["a", "b"], resamples=100)
    json.dumps(found, allow_nan=False)
    if len(truth) < 2:
        assert all(score["low"] is None for score in found["scores"].values())
    if len(set(truth)) < 2:
        assert found["scores"]["roc_auc"]["value"] is None


@pytest.mark.parametrize(
    ("probabilities", "truth", "says"),
    [
        (np.zeros((2, 3)), [0, 1], "shape"),
        (np.zeros((3, 2)), [0, 1], "shape"),
        (np.array([[np.nan, 1.0], [0.5, 0.5]]), [0, 1], "not finite"),
        (np.zeros((2, 2)), [0, 2], "2 labels"),
    ],
)
def test_wrong_input_is_refused(probabilities: np.ndarray, truth: list[int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        classification(probabilities, truth, ["a", "b"], resamples=10)


@pytest.mark.slow
def test_a_thousand_resamples_of_four_thousand_rows_take_two_seconds() -> None:
    probabilities, truth = answers(4_000, 3)
    begin = time.process_time()
    classification(probabilities, truth, ["a", "b", "c"], resamples=1_000)
    assert time.process_time() - begin < 2.0


def test_perplexity_and_bits_by_hand() -> None:
    # 4 tokens at probability 1/8 each; 6 characters.
    found = generation([2 * math.log(1 / 8), 2 * math.log(1 / 8)], [2, 2], [3, 3], resamples=100)
    assert found["perplexity"]["value"] == pytest.approx(8.0)
    assert found["bits_per_character"]["value"] == pytest.approx(4 * 3 / 6)
    assert found["perplexity"]["low"] == pytest.approx(8.0)


def test_generation_interval_holds_the_value_and_documents_count_by_length() -> None:
    random = np.random.default_rng(3)
    tokens = random.integers(1, 50, 300)
    likelihood = -tokens * random.uniform(1.0, 3.0, 300)
    found = generation(likelihood.tolist(), tokens.tolist(), (2 * tokens).tolist(), resamples=300)
    assert found["perplexity"]["value"] == pytest.approx(math.exp(-likelihood.sum() / tokens.sum()))
    for score in found.values():
        assert score["low"] < score["value"] < score["high"]


@pytest.mark.parametrize(
    ("likelihood", "tokens", "characters"), [([], [], []), ([0.0], [0], [0]), ([-1e9, -1e9], [1, 1], [1, 1])]
)
def test_generation_never_gives_nan(likelihood: list[float], tokens: list[int], characters: list[int]) -> None:
    found = generation(likelihood, tokens, characters, resamples=20)
    json.dumps(found, allow_nan=False)
    assert found["perplexity"]["value"] is None
