"""One number that makes a classifier's probabilities as often right as they say: temperature scaling.

Logits are divided by a temperature before the softmax; the most probable label stays what it is. Guo, Pleiss, Sun and
Weinberger 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, section 4.2. Softmax forgets a constant,
so log-probabilities are logits as good as any, and a model that gives no logits can be scaled as well. Engines apply
it: `danlu.engines.sampling.at_temperature`.

Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

#: Fewer rows than this say too little to change what a model says of itself.
FEWEST_ROWS = 50

#: Without mistakes the log loss is the less the surer the model is made: there is nothing to fit its doubts to.
FEWEST_MISTAKES = 5

#: Temperatures are looked for from 1 / HOTTEST to HOTTEST.
HOTTEST = 20.0

#: Probabilities of 0 in float32 would be logits of minus infinity.
_SMALLEST = float(np.finfo(np.float32).tiny)


def fit_temperature(probabilities: NDArray[np.floating], truth: NDArray[np.integer] | Sequence[int]) -> float:
    """The temperature with the least log loss of `probabilities` [N, K] against `truth` [N], positions of labels.

    The rows must be none that the scores are taken on. 1 where there are fewer than `FEWEST_ROWS`, or fewer mistakes
    among them than `FEWEST_MISTAKES`. The log loss is convex in 1 / temperature, so there is one such value.
    """
    right = np.asarray(truth, dtype=np.int64)
    answers = np.asarray(probabilities, dtype=np.float64)
    if len(right) < FEWEST_ROWS or int((answers.argmax(axis=1) != right).sum()) < FEWEST_MISTAKES:
        return 1.0
    logits = np.log(np.maximum(answers, _SMALLEST))
    own = logits[np.arange(len(right)), right]

    def loss(inverse: float) -> float:
        scaled = logits * inverse
        most = scaled.max(axis=1)
        return float((most + np.log(np.exp(scaled - most[:, None]).sum(axis=1)) - own * inverse).mean())

    found = minimize_scalar(loss, bounds=(1.0 / HOTTEST, HOTTEST), method="bounded", options={"xatol": 1e-4})
    return 1.0 / float(found.x)
