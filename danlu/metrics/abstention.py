"""Answer what is sure and hand the rest to a person: how right the model is on the texts it is surest of.

Selective classification: El-Yaniv and Wiener 2010, JMLR 11, 1605-1641; with the highest probability as confidence,
Geifman and El-Yaniv 2017, arXiv:1705.08500.

Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from danlu.metrics.proportions import wilson

#: The shares of texts that the model answers itself, in steps of 5 %.
COVERAGES = tuple(step / 20 for step in range(1, 21))


def abstention(
    probabilities: NDArray[np.floating],
    truth: NDArray[np.integer] | Sequence[int],
    coverages: Sequence[float] = COVERAGES,
) -> list[dict[str, Any]]:
    """For each of `coverages`, how right the model is on that share of the rows, the surest first.

    `[{"coverage", "rows", "threshold", "accuracy": {"value", "low", "high"}}]`: it answers from the confidence
    `threshold` on. Rows of equal confidence go together, so `coverage` is what comes of it, and one that comes twice
    is given once. Thresholds look at no label, so the interval (Wilson's) holds for each point by itself; who picks
    the point by its accuracy should check it on other rows. Empty without rows.
    """
    answers, right = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    rows = len(right)
    if not rows:
        return []
    confidence, hits = answers.max(axis=1), answers.argmax(axis=1) == right
    order = np.argsort(-confidence, kind="stable")
    ranked, ranked_hits = confidence[order], np.cumsum(hits[order])
    last_of_equals = np.append(np.flatnonzero(np.diff(ranked)), rows - 1)
    wanted = [min(rows, max(1, round(share * rows))) - 1 for share in coverages]
    ends = np.unique(last_of_equals[np.searchsorted(last_of_equals, wanted)]).tolist()
    return [_point(float(ranked[end]), int(ranked_hits[end]), end + 1, rows) for end in ends]


def _point(threshold: float, hits: int, answered: int, rows: int) -> dict[str, Any]:
    low, high = wilson(hits, answered)
    return {
        "coverage": answered / rows,
        "rows": answered,
        "threshold": threshold,
        "accuracy": {"value": hits / answered, "low": low, "high": high},
    }
