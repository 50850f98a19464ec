"""Scores of a model that answers a text with a number, and the cheap model it has to beat.

Shapes: N rows, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge

from danlu.core.asked import Question
from danlu.core.baseline import ALPHA_FOLDS, ALPHA_ROWS, ALPHAS, RIDGE_SOLVER
from danlu.core.tasks import TASKS
from danlu.metrics.baseline import TextFeatures
from danlu.metrics.bootstrap import Floats, Score, ratio, resampled_sums, running_sums, score, weights
from danlu.metrics.paired import verdict

NAME = TASKS["regress"].baseline


def regression(
    answers: NDArray[np.floating], truth: NDArray[np.floating], resamples: int = 1_000, seed: int = 1
) -> dict[str, Score]:
    """All scores of `answers` [N] for `truth` [N], each with a 95 % bootstrap interval.

    mae (mean absolute error) and rmse (root of the mean squared error) are in the unit of the data. r2 is 1 - squared
    error over the squared deviations from the mean of these rows: 0 is as good as that mean, below 0 worse. spearman
    is the correlation of the ranks (Spearman 1904, doi:10.2307/1412159), ties at their mean rank. What does not exist
    (r2 and spearman where all numbers are equal) is None.

    Raises `ValueError` when the shapes disagree or a number is not finite.
    """
    given, right = np.asarray(answers, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if given.ndim != 1 or given.shape != right.shape:
        raise ValueError(
            f"answers have the shape {given.shape} and truth {right.shape}; expected one number a row each"
        )
    if not (np.isfinite(given).all() and np.isfinite(right).all()):
        raise ValueError("answers and truth must be finite numbers")
    rows = len(right)
    features = _row_features(given, right)
    point = _from_sums(features.sum(axis=0, keepdims=True))
    ranked = [_Ranked.of(values) for values in (given, right)]
    point["spearman"] = _spearman(ranked, np.ones((rows, 1)))
    drawn: dict[str, Floats] = {}
    if rows > 1 and resamples > 0:
        drawn = _from_sums(resampled_sums(features, resamples, seed))
        blocks = weights(rows, resamples, seed)
        drawn["spearman"] = np.concatenate([_spearman(ranked, block) for block in blocks])
    return {name: score(value[0], drawn.get(name), rows) for name, value in point.items()}


def compare_regressors(
    ours: NDArray[np.floating],
    theirs: NDArray[np.floating],
    truth: NDArray[np.floating],
    resamples: int = 1_000,
    seed: int = 1,
) -> dict[str, Any]:
    """Difference in mean absolute error (ours - theirs; less is better) of two answers [N] to the same rows."""
    right = np.asarray(truth, dtype=np.float64)
    gain = (np.abs(ours - right) - np.abs(theirs - right)).reshape(-1, 1)
    rows = len(right)
    drawn = resampled_sums(gain, resamples, seed)[:, 0] / rows if rows > 1 else np.zeros(0)
    return verdict("mae", float(gain.mean()) if rows else np.nan, drawn, rows)


def _row_features(given: Floats, right: Floats) -> Floats:
    """What each row adds to the sums, [N, 5]: absolute and squared error, its number and that squared, 1.

    Numbers are taken from their mean: a variance is a difference of large sums otherwise.
    """
    error, centred = given - right, right - (right.mean() if len(right) else 0.0)
    return np.stack([np.abs(error), error**2, centred, centred**2, np.ones(len(right))], axis=1)


def _from_sums(sums: Floats) -> dict[str, Floats]:
    absolute, squared, total, of_squares, rows = sums.T
    around_mean = np.maximum(of_squares - ratio(total**2, rows), 0.0)
    return {
        "mae": ratio(absolute, rows),
        "rmse": np.sqrt(ratio(squared, rows)),
        "r2": 1.0 - ratio(squared, around_mean),
    }


@dataclass(frozen=True)
class _Ranked:
    """Rows by rising value; for each row, how many are before its equals, and up to the last of them."""

    order: NDArray[np.int64]
    below: NDArray[np.int64]
    up_to: NDArray[np.int64]

    @classmethod
    def of(cls, values: Floats) -> _Ranked:
        order = np.argsort(values, kind="stable")
        below, up_to = (np.searchsorted(values[order], values, side) for side in ("left", "right"))
        return cls(order, below, up_to)

    def ranks(self, sample: Floats) -> Floats:
        """Twice the rank of each row [N], less 1, where it is there as often as `sample` says; equals share a rank."""
        sums = running_sums(sample.take(self.order))
        ranks: Floats = sums.take(self.below) + sums.take(self.up_to)
        return ranks


def _spearman(ranked: Sequence[_Ranked], drawn: Floats) -> Floats:
    """Correlation of the ranks [R] of two `ranked` numbers of each row, under each column of the weights [N, R]."""
    found = np.full(drawn.shape[1], np.nan)
    for r, sample in enumerate(drawn.T):  # one at a time: what it takes stays in the processor's cache
        if not sample.any():
            continue
        ours, theirs = (one.ranks(sample) for one in ranked)
        ours, theirs = (ranks - np.average(ranks, weights=sample) for ranks in (ours, theirs))
        weighted = sample * ours
        spread = math.sqrt((weighted @ ours) * (sample @ theirs**2))
        found[r] = weighted @ theirs / spread if spread else np.nan
    return found


class ValueBaseline:
    """Ridge regression on TF-IDF features; deterministic.

    The strength of its penalty is that with the least squared error in cross-validation on the rows it learns from.
    """

    def __init__(self) -> None:
        self._features = TextFeatures()
        self._model = Ridge()

    def fit(self, texts: Sequence[Question], values: Sequence[float]) -> Self:
        """Learn from one number a text, at least one."""
        features, numbers = self._features.fit(texts), np.asarray(values, dtype=np.float64)
        alpha = _alpha(features[:ALPHA_ROWS], numbers[:ALPHA_ROWS])
        self._model = Ridge(alpha=alpha, **RIDGE_SOLVER).fit(features, numbers)
        return self

    @property
    def alpha(self) -> float:
        """The strength of the penalty."""
        return float(self._model.alpha)

    def answers(self, texts: Sequence[Question]) -> Floats:
        """A number for each text [N]."""
        if not len(texts):
            return np.zeros(0)
        return np.asarray(self._model.predict(self._features.of(texts)), dtype=np.float64)


def _alpha(features: csr_matrix, numbers: Floats) -> float:
    """The strength among `ALPHAS` with the least squared error on rows that were held out, every row once."""
    if len(numbers) < ALPHA_FOLDS:
        return ALPHAS[len(ALPHAS) // 2]
    errors, fold = np.zeros(len(ALPHAS)), np.arange(len(numbers)) % ALPHA_FOLDS
    for held_out in range(ALPHA_FOLDS):
        ours, theirs = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
        for place, alpha in enumerate(ALPHAS):
            model = Ridge(alpha=alpha, **RIDGE_SOLVER).fit(features[ours], numbers[ours])
            errors[place] += np.square(model.predict(features[theirs]) - numbers[theirs]).sum()
    return ALPHAS[int(errors.argmin())]
