"""How the learning rate goes: a line up to its peak, then by the schedule's kind. Pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from danlu.learning.optimizers.config import ScheduleConfig

#: Factor on the peak from (share of the way after warm-up, 0 to 1; the schedule's section; reductions so far).
SHAPES: dict[str, Callable[[float, Any, int], float]] = {
    "cosine": lambda share, section, reductions: 0.5 * (1.0 + math.cos(math.pi * share)),
    "linear": lambda share, section, reductions: 1.0 - share,
    "constant": lambda share, section, reductions: 1.0,
    "plateau": lambda share, section, reductions: section.factor**reductions,
}


def rate_at(step: int, *, steps: int, schedule: ScheduleConfig, peak: float, reductions: int = 0) -> float:
    """Learning rate of `step` (from 0) of `steps`. `reductions`: how often a plateau has reduced it so far."""
    rising = math.ceil(steps * schedule.warmup)
    shape = SHAPES[schedule.kind]
    if step < rising:
        return peak * shape(0.0, schedule, reductions) * (step + 1) / (rising + 1)
    return peak * shape((step - rising) / max(1, steps - rising), schedule, reductions)
