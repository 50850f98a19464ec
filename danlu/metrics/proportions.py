"""Intervals where the bootstrap has none: all resamples of a model without a mistake are without a mistake.

A score that came out as 1.0 on 52 rows is not known to be 1.0; resampling those rows cannot show it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from scipy.stats import binomtest

from danlu.metrics.bootstrap import Score

#: Ends of an interval closer together than this are one point.
_POINT = 1e-9


@functools.cache  # of many labels most have the same few rows
def wilson(hits: int, rows: int) -> tuple[float, float]:
    """The 95 % score interval of the proportion `hits` of `rows` (Wilson 1927, JASA 22, 209-212).

    Never empty, also at 0 and 1, and close to its nominal coverage for few rows (Brown, Cai and DasGupta 2001,
    Statistical Science 16, 101-133). Raises `ValueError` without rows.
    """
    interval = binomtest(hits, rows).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def with_ends(score: Score, rows: int) -> Score:
    """A proportion of `rows` whose resamples were all equal, with Wilson's interval; any other as it is.

    Without rows it has no interval.
    """
    value = score["value"]
    if value is None or not _is_point(score):
        return score
    if rows <= 0:
        return {"value": value, "low": None, "high": None}
    low, high = wilson(round(value * rows), rows)
    return {"value": value, "low": min(low, value), "high": max(high, value)}


def both(score: Score, precision: Score, recall: Score) -> Score:
    """An F1 whose resamples were all equal, from the low ends of precision and recall to their high ends.

    Wider than 95 %: both would have to be at their ends.
    """
    return _ends(score, *(_harmonic(precision[end], recall[end]) for end in ("low", "high")))


def mean_ends(score: Score, parts: Sequence[Score], weights: Sequence[float] | None = None) -> Score:
    """A mean whose resamples were all equal, from the mean of its parts' low ends to that of their high ends.

    Wider than 95 %: all parts would have to be at their ends. `weights` add up to 1; without them all weigh the same.
    """
    shares = weights or [1.0 / max(1, len(parts))] * len(parts)
    return _ends(score, *(_mean([part[end] for part in parts], shares) for end in ("low", "high")))


def _is_point(score: Score) -> bool:
    low, high = score["low"], score["high"]
    return low is not None and high is not None and high - low < _POINT


def _ends(score: Score, low: float | None, high: float | None) -> Score:
    value = score["value"]
    if value is None or not _is_point(score):
        return score
    if low is None or high is None:
        return {"value": value, "low": None, "high": None}
    return {"value": value, "low": min(low, value), "high": max(high, value)}


def _harmonic(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return None
    return 2.0 * one * other / (one + other) if one + other > 0.0 else 0.0


def _mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return sum(value * weight for value, weight in zip(known, weights, strict=True))
