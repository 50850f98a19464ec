"""The bootstrap: how far a score would move if other test rows had been drawn.

A resample draws as many rows as there are, with replacement (Efron 1979). It is kept as a weight per row: how
often that row was drawn. Most scores are functions of sums over rows, so one matrix product answers all of them
for many resamples at once. Two scores computed with the same seed and number of rows see the same resamples, which
is what makes a paired comparison.

Shapes: N rows, R resamples, F sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = dict[str, float | None]

#: Share of resamples left out on each side of a 95 % interval.
_TAIL = 2.5

#: Weights held in memory at a time, 16 MB: enough of them for a matrix product to be worth its while.
_WEIGHTS_AT_ONCE = 2_000_000

#: Sums up to which a sparse matrix of values is written out: products of dense matrices are several times as fast.
_DENSE_SUMS = 128


def weights(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield the weights of `resamples` resamples in blocks [N, R of this block]; every column sums to `rows`.

    The weights of one resample lie beside one another in memory, so `block.T` [R, N] is the way to walk through them.
    How many are in a block changes nothing about them.
    """
    random = np.random.default_rng(seed)
    at_once = max(1, _WEIGHTS_AT_ONCE // max(1, rows))
    for start in range(0, resamples, at_once):
        block = np.empty((min(at_once, resamples - start), rows))
        for drawn in block:
            drawn[:] = np.bincount(random.integers(rows, size=rows), minlength=rows)
        yield block.T


def resampled_sums(values: Any, resamples: int, seed: int) -> Floats:
    """Sums over the drawn rows, [R, F], for `values` [N, F], an array or a SciPy sparse matrix."""
    if hasattr(values, "toarray") and values.shape[1] <= _DENSE_SUMS:
        values = values.toarray()
    return np.concatenate([(values.T @ block).T for block in weights(values.shape[0], resamples, seed)])


def running_sums(values: Floats) -> Floats:
    """Sums of the first 0, 1, ... N of `values` [N], [N + 1]."""
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def number(value: float | np.floating) -> float | None:
    """`value` as JSON has it: None where it is not a finite number."""
    return float(value) if math.isfinite(value) else None


def score(value: float | np.floating, samples: Floats | None, rows: int) -> Score:
    """`value` with its 95 % percentile interval over the resamples in which the score exists.

    One row, or a score that no resample has, has no interval. Note what the percentile bootstrap cannot know: a
    model without a mistake on these rows has the interval [1, 1].
    """
    kept = samples[np.isfinite(samples)] if samples is not None else np.zeros(0)
    if number(value) is None or rows < 2 or not len(kept):
        return {"value": number(value), "low": None, "high": None}
    low, high = np.percentile(kept, [_TAIL, 100.0 - _TAIL])
    return {"value": float(value), "low": float(low), "high": float(high)}


def ratio(top: NDArray[Any], bottom: NDArray[Any]) -> Floats:
    """`top / bottom`, NaN where `bottom` is 0."""
    empty = np.full(np.broadcast_shapes(np.shape(top), np.shape(bottom)), np.nan)
    return np.asarray(np.divide(top, bottom, out=empty, where=np.asarray(bottom) != 0))


def mean_of_known(values: Floats) -> Floats:
    """Mean along the last axis of the entries that exist; NaN where none does."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))
