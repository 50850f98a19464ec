"""From which probability a label holds, where a text may have several. No more than numpy: compressing loads it.

Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from danlu.metrics.bootstrap import Floats

Flags = NDArray[np.bool_]

#: A label with fewer rows than this among those that thresholds are chosen on keeps one half: its best is chance.
_FEW_ROWS = 5
_HALF = 0.5


def indicators(rows: Sequence[Sequence[str]], labels: Sequence[str]) -> Flags:
    """Which of `labels` each row has, bool [N, K]."""
    place = {label: number for number, label in enumerate(labels)}
    found = np.zeros((len(rows), len(labels)), dtype=bool)
    for row, names in enumerate(rows):
        found[row, [place[name] for name in names]] = True
    return found


def choose_thresholds(probabilities: NDArray[np.floating], truth: Flags) -> Floats:
    """The threshold [K] of each label with the largest F1 on these rows, [N, K] both; of equals the nearest to 1/2.

    A threshold lies midway between two probabilities that occur, so that rounding in another form of the model moves no
    row over it. What is best on these rows is a little too good on others (Lipton, Elkan and Naryanaswamy 2014,
    arXiv:1402.1892), so scores are taken on other rows, and a label with fewer than five rows keeps 1/2.
    """
    found = np.full(truth.shape[1], _HALF)
    for k in range(truth.shape[1]):
        positive = truth[:, k]
        if positive.sum() < _FEW_ROWS or positive.all():
            continue
        order = np.argsort(-probabilities[:, k], kind="stable")
        ranked = probabilities[order, k].astype(np.float64)
        ends = np.flatnonzero(np.diff(ranked, append=-1.0))
        hits = np.cumsum(positive[order])[ends]
        f1 = 2.0 * hits / (ends + 1 + positive.sum())
        between = (ranked[ends] + np.append(ranked[ends[1:]], 0.0)) / 2.0
        best = np.flatnonzero(f1 >= f1.max() - 1e-12)
        found[k] = between[best[np.argmin(np.abs(between[best] - _HALF))]]
    return found
