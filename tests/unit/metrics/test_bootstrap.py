from __future__ import annotations

import numpy as np
import pytest

from danlu.metrics.bootstrap import resampled_sums, score, weights
from danlu.metrics.scores import classification


def test_every_resample_draws_as_many_rows_as_there_are() -> None:
    blocks = list(weights(300, 7_500, seed=1))
    assert len(blocks) > 1
    drawn = np.concatenate(blocks, axis=1)
    assert drawn.shape == (300, 7_500)
    assert (drawn.sum(axis=0) == 300).all()
    # A row is left out of a resample with probability (1 - 1/300)^300.
    assert (drawn == 0).mean() == pytest.approx((1 - 1 / 300) ** 300, abs=0.002)


def test_how_many_are_made_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    together = np.concatenate(list(weights(40, 30, seed=3)), axis=1)
    monkeypatch.setattr("danlu.metrics.bootstrap._WEIGHTS_AT_ONCE", 100)
    apart = list(weights(40, 30, seed=3))
    assert len(apart) == 15
    assert (np.concatenate(apart, axis=1) == together).all()


def test_sums_weigh_each_row_by_how_often_it_was_drawn() -> None:
    values = np.random.default_rng(0).normal(size=(50, 2))
    drawn = np.concatenate(list(weights(50, 30, seed=4)), axis=1)
    assert np.allclose(resampled_sums(values, 30, seed=4), drawn.T @ values)


def coverage(rows: int, worlds: int, resamples: int) -> dict[str, float]:
    """Share of drawn test sets whose interval holds the score that endless test rows would have."""
    hits = {"accuracy": 0, "macro_f1": 0}
    # Labels 0, 1, 2 with shares 0.5, 0.3, 0.2; the model's prediction given the label:
    shares = np.array([0.5, 0.3, 0.2])
    given = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.1, 0.6]])
    cells = shares[:, None] * given
    right, predicted = np.diag(cells), cells.sum(axis=0)
    truths = {"accuracy": right.sum(), "macro_f1": np.mean(2 * right / (shares + predicted))}
    random = np.random.default_rng(12)
    for world in range(worlds):
        drawn = random.choice(9, size=rows, p=cells.ravel())
        probabilities = np.eye(3)[drawn % 3]
        found = classification(probabilities, drawn // 3, ["a", "b", "c"], resamples, seed=world)["scores"]
        for name, true in truths.items():
            hits[name] += found[name]["low"] <= true <= found[name]["high"]
    return {name: count / worlds for name, count in hits.items()}


def test_intervals_cover_the_truth() -> None:
    for name, share in coverage(rows=200, worlds=60, resamples=200).items():
        assert share >= 0.85, name


@pytest.mark.slow
def test_intervals_cover_the_truth_95_times_in_100() -> None:
    for name, share in coverage(rows=400, worlds=1_000, resamples=600).items():
        assert share == pytest.approx(0.95, abs=0.02), name


def test_what_does_not_exist_is_null() -> None:
    assert score(float("nan"), np.ones(5), 10) == {"value": None, "low": None, "high": None}
    assert score(0.5, np.full(5, np.nan), 10) == {"value": 0.5, "low": None, "high": None}
    assert score(0.5, np.full(5, 0.5), 1) == {"value": 0.5, "low": None, "high": None}
