"""How the learning rate goes: a line up to its peak, then by the schedule's kind. Pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from danlu.learning.optimizers.config import ScheduleConfig

#: Factor on the peak by the share of the way after warm-up, 0 to 1. What a plateau reduces is the peak.
SHAPES: dict[str, Callable[[float], float]] = {
    "cosine": lambda share: 0.5 * (1.0 + math.cos(math.pi * share)),
    "linear": lambda share: 1.0 - share,
    "constant": lambda _: 1.0,
    "plateau": lambda _: 1.0,
}


def rate_at(step: int, *, steps: int, schedule: ScheduleConfig, peak: float) -> float:
    """Learning rate of `step` (from 0) of `steps`: a line up to `peak` in the warm-up, then the schedule's shape."""
    rising = math.ceil(steps * schedule.warmup)
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    return peak * SHAPES[schedule.kind]((step - rising) / max(1, steps - rising))
