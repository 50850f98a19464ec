"""One number that makes a classifier's probabilities as often right as they say: temperature scaling.

Logits are divided by a temperature before the softmax; the most probable label stays what it is. Guo, Pleiss, Sun and
Weinberger 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, section 4.2. Softmax forgets a constant,
so log-probabilities are logits as good as any, and a model that gives no logits can be scaled as well.

Shapes: N rows, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from danlu.metrics.bootstrap import Floats

#: Fewer rows than this say too little to change what a model says of itself.
FEWEST_ROWS = 50

#: Temperatures are looked for from 1 / HOTTEST to HOTTEST.
HOTTEST = 20.0

#: Probabilities of 0 in float32 would be logits of minus infinity.
_SMALLEST = float(np.finfo(np.float32).tiny)


def fit_temperature(probabilities: NDArray[np.floating], truth: NDArray[np.integer] | Sequence[int]) -> float:
    """The temperature with the least log loss of `probabilities` [N, K] against `truth` [N], positions of labels.

    The rows must be none that the scores are taken on. 1 where there are fewer than `FEWEST_ROWS`. The log loss is
    convex in 1 / temperature, so there is one such value.
    """
    right = np.asarray(truth, dtype=np.int64)
    if len(right) < FEWEST_ROWS:
        return 1.0
    logits = _logits(np.asarray(probabilities, dtype=np.float64))
    own = logits[np.arange(len(right)), right]

    def loss(inverse: float) -> float:
        scaled = logits * inverse
        most = scaled.max(axis=1)
        return float((most + np.log(np.exp(scaled - most[:, None]).sum(axis=1)) - own * inverse).mean())

    found = minimize_scalar(loss, bounds=(1.0 / HOTTEST, HOTTEST), method="bounded", options={"xatol": 1e-4})
    return 1.0 / float(found.x)


def tempered(probabilities: NDArray[np.floating], temperature: float) -> Floats:
    """What `probabilities` [N, K] become at `temperature`; 1 / temperature takes it back."""
    if not (temperature > 0.0 and math.isfinite(temperature)):
        raise ValueError(f"a temperature is above 0, got {temperature}")
    scaled = _logits(np.asarray(probabilities, dtype=np.float64)) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _logits(probabilities: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(probabilities, _SMALLEST)))
