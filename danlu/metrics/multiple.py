"""Correction for many comparisons: who looks at a hundred slices finds five that are bad by chance."""

from __future__ import annotations

import numpy as np

from danlu.metrics.bootstrap import Floats


def holm(p_values: Floats) -> Floats:
    """P-values [..., S] corrected over the last axis, in their order; at most 1.

    Rejecting those below a level makes any false rejection at all no more probable than that level, whatever the
    dependence between the tests (Holm 1979, Scandinavian Journal of Statistics 6, 65-70).
    """
    values = np.asarray(p_values, dtype=np.float64)
    size = values.shape[-1]
    order = np.argsort(values, axis=-1, kind="stable")
    stepped = np.take_along_axis(values, order, axis=-1) * (size - np.arange(size))
    corrected = np.empty_like(values)
    np.put_along_axis(corrected, order, np.minimum(np.maximum.accumulate(stepped, axis=-1), 1.0), axis=-1)
    return corrected
