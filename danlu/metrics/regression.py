"""Scores of a model that answers a text with a number, and the cheap model it has to beat.

Shapes: N rows, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge, RidgeCV

from danlu.core.asked import Question
from danlu.core.baseline import ALPHA_ROWS, ALPHAS, RIDGE_SOLVER
from danlu.core.tasks import TASKS
from danlu.metrics.baseline import TextFeatures
from danlu.metrics.bootstrap import Floats, Score, ratio, resampled_sums, score, weights
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
    point["spearman"] = _spearman(given, right, np.ones((rows, 1)))
    drawn: dict[str, Floats] = {}
    if rows > 1 and resamples > 0:
        drawn = _from_sums(resampled_sums(features, resamples, seed))
        blocks = weights(rows, resamples, seed)
        drawn["spearman"] = np.concatenate([_spearman(given, right, block) for block in blocks])
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


def _spearman(given: Floats, right: Floats, drawn: Floats) -> Floats:
    """Correlation of the ranks [R] under each column of the weights `drawn` [N, R]."""
    if not len(right):
        return np.full(drawn.shape[1], np.nan)
    ours, theirs = (_ranks(values, drawn) for values in (given, right))
    rows = drawn.sum(axis=0)
    ours, theirs = (ranks - (drawn * ranks).sum(axis=0) / rows for ranks in (ours, theirs))
    together = (drawn * ours * theirs).sum(axis=0)
    spread = np.sqrt((drawn * ours**2).sum(axis=0) * (drawn * theirs**2).sum(axis=0))
    return ratio(together, spread)


def _ranks(values: Floats, drawn: Floats) -> Floats:
    """Rank of each row [N, R] where it is there as often as `drawn` says; equal values have their mean rank."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))
    size = np.add.reduceat(drawn[order], starts, axis=0)
    middle = np.cumsum(size, axis=0) - (size - 1.0) / 2.0
    group = np.zeros(len(values), dtype=np.int64)
    group[starts[1:]] = 1
    ranks = np.empty_like(drawn)
    ranks[order] = middle[np.cumsum(group)]
    return ranks


class ValueBaseline:
    """Ridge regression on TF-IDF features; deterministic.

    The strength of its penalty is that with the least leave-one-out error on the first training rows, which lie in no
    order (Golub, Heath and Wahba 1979, doi:10.2307/1268518).
    """

    def __init__(self) -> None:
        self._features = TextFeatures()
        self._model = Ridge()

    def fit(self, texts: Sequence[Question], values: Sequence[float]) -> Self:
        """Learn from one number a text, at least one."""
        features, numbers = self._features.fit(texts), np.asarray(values, dtype=np.float64)
        few = min(len(numbers), ALPHA_ROWS)
        alpha = ALPHAS[len(ALPHAS) // 2]
        if few > 1:
            alpha = (
                RidgeCV(alphas=ALPHAS, gcv_mode="eigen").fit(features[:few].astype(np.float64), numbers[:few]).alpha_
            )
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
