"""What is chosen on validation rows for a form to answer by: the thresholds of labels, and the temperature.

All forms have those of the checkpoint, so that parity and evaluation see what else a form changes. Test rows take no
part.

Shapes: N validation rows, K columns of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from danlu.core.context import Context
from danlu.core.heads import columns, known, targets_in
from danlu.engines.base import FormHead
from danlu.metrics.temperature import FEWEST_MISTAKES, FEWEST_ROWS, fit_temperature
from danlu.metrics.thresholds import choose_thresholds, indicators


def temperature(
    ctx: Context, probabilities: np.ndarray, labels: Sequence[str], truth: Sequence[str | None], *, of: str = ""
) -> float:
    """The temperature that suits a checkpoint's answers [N, K]; says so, or why there is none. `of`: of which target.

    Whether it helps is for evaluate to say.
    """
    numbers = {label: place for place, label in enumerate(labels)}
    right = np.array([numbers.get(label or "", -1) for label in truth], dtype=np.int64)
    found = fit_temperature(probabilities[right >= 0], right[right >= 0])
    if found == 1.0:
        ctx.warn(
            f"compress.calibrate needs {FEWEST_ROWS} validation rows and {FEWEST_MISTAKES} mistakes among them; there "
            f"are fewer in {int((right >= 0).sum()):,} rows{of}, so the probabilities stay as they are."
        )
    else:
        ctx.say(f"temperature {found:.3g}{of}: the model was {'surer' if found > 1 else 'less sure'} than it should be")
    return found


def thresholds(probabilities: np.ndarray, labels: Sequence[str], truth: Sequence[Sequence[str]]) -> tuple[float, ...]:
    """From which probability [N, K] each label holds."""
    return tuple(choose_thresholds(probabilities, indicators(truth, labels)).tolist())


def for_heads(
    ctx: Context, heads: Sequence[FormHead], answers: np.ndarray, rows: Sequence[str], *, calibrate: bool
) -> tuple[FormHead, ...]:
    """The heads with what is chosen for each on the rows that have its target; `rows` are the targets as JSON."""
    targets = targets_in(rows)
    found = []
    for head, here in zip(heads, columns(heads), strict=True):
        places, truth = known(targets, head.name)
        ours = answers[places, here]
        chosen: dict[str, Any] = {}
        if head.task == "tag":
            chosen["thresholds"] = thresholds(ours, head.labels, truth)
        if head.task == "classify" and calibrate:
            chosen["temperature"] = temperature(ctx, ours, head.labels, truth, of=f" of the target {head.name}")
        found.append(replace(head, **chosen))
    return tuple(found)
