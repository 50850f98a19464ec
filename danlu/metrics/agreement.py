"""How far people agree on labels beyond what chance alone would bring about.

Shapes: N rows, K labels. Both coefficients are functions of sums over rows, so the bootstrap draws rows and one
product answers for all resamples. Where chance alone explains everything (one label only) neither is defined: the
value is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from danlu.metrics.bootstrap import Floats, Score, ratio, resampled_sums, score

RESAMPLES = 1_000

_Kappa = Callable[[Floats], Floats]


def cohen_kappa(first: Sequence[str], second: Sequence[str], resamples: int = RESAMPLES, seed: int = 1) -> Score:
    """Cohen's kappa of two people over the same rows, with its 95 % interval over resampled rows.

    (p_o - p_e) / (1 - p_e), where p_o is the share of rows with equal labels and p_e what two people with these
    habits would reach by chance: Cohen 1960, "A Coefficient of Agreement for Nominal Scales". Raises `ValueError`
    when the two differ in rows.
    """
    if len(first) != len(second):
        raise ValueError(f"Expected one label a row from both, got {len(first)} and {len(second)}")
    if not len(first):
        return score(float("nan"), None, 0)
    labels, numbers = np.unique(np.array([*first, *second], dtype=object), return_inverse=True)
    one_hot = np.eye(len(labels))[numbers.reshape(2, -1)]
    equal = (one_hot[0] * one_hot[1]).sum(axis=1, keepdims=True)
    values = np.hstack([equal, one_hot[0], one_hot[1]])
    count = len(labels)

    def kappa(sums: Floats) -> Floats:
        rows = float(len(first))
        observed = sums[:, 0] / rows
        by_chance = (sums[:, 1 : 1 + count] * sums[:, 1 + count :]).sum(axis=1) / rows**2
        return ratio(observed - by_chance, 1.0 - by_chance)

    return _scored(values, kappa, resamples, seed)


def fleiss_kappa(votes: NDArray[np.int64], resamples: int = RESAMPLES, seed: int = 1) -> Score:
    """Fleiss' kappa with its 95 % interval over resampled rows; `votes` [N, K] counts the labels each row was given.

    Every row must have the same number of votes, at least two; who cast them does not matter. Fleiss 1971,
    "Measuring Nominal Scale Agreement Among Many Raters", equations 1 to 7. Raises `ValueError` otherwise.
    """
    if not len(votes):
        return score(float("nan"), None, 0)
    per_row = votes.sum(axis=1)
    raters = int(per_row[0])
    if raters < 2 or (per_row != raters).any():
        raise ValueError(f"Expected the same number of votes on every row, at least 2; got {np.unique(per_row)}")
    agreement = ((votes * (votes - 1)).sum(axis=1) / (raters * (raters - 1)))[:, None]
    values = np.hstack([agreement, votes / raters])

    def kappa(sums: Floats) -> Floats:
        means = sums / len(votes)
        by_chance = (means[:, 1:] ** 2).sum(axis=1)
        return ratio(means[:, 0] - by_chance, 1.0 - by_chance)

    return _scored(values, kappa, resamples, seed)


def _scored(values: Floats, kappa: _Kappa, resamples: int, seed: int) -> Score:
    exact = kappa(values.sum(axis=0, keepdims=True))[0]
    samples = kappa(resampled_sums(values, resamples, seed)) if len(values) > 1 else None
    return score(exact, samples, len(values))
