"""The first steps of a training hold the plan to account, before the money is spent. Light: it runs in the parent.

It watches the events of a run. Once a few steps are done, their speed says how long the rest takes; where that lies
outside the plan's interval, people are told at once, and again in the other direction never.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Observer = Callable[[dict[str, Any]], None]

#: Steps that are waited for, the first one aside, in which memory is taken and kernels are made.
STEPS = 5
#: The speed of steps varies with their lengths: what is foreseen from a few of them may be off by this factor.
SPREAD = (0.8, 1.25)


@dataclass(kw_only=True)
class Pilot:
    """Hands every event on to `observer`, and adds a warning where training leaves the plan's interval.

    `plan()` is the content of plan.json, asked for when training begins; None where there is none.
    """

    observer: Observer
    plan: Callable[[], dict[str, Any] | None]
    clock: Callable[[], float] = time.monotonic
    _first: tuple[float, float] | None = field(default=None, init=False)
    _begun: float | None = field(default=None, init=False)
    _told: bool = field(default=False, init=False)

    def __call__(self, event: dict[str, Any]) -> None:
        self.observer(event)
        watched = event.get("type") == "progress" and (event.get("stage"), event.get("what")) == ("train", "train")
        if self._told or not watched or not event.get("total"):
            return
        warning = self._look(float(event["done"]), float(event["total"]))
        if warning is not None:
            self.observer({"type": "warn", "stage": "train", "text": warning})

    def _look(self, done: float, total: float) -> str | None:
        """What to tell after `done` of `total` samples; None while it is too early or all is well."""
        now = self.clock()
        if self._begun is None:
            self._begun = now
            self._told = done > 0.0  # a run that goes on: what it took before is not known here
        if done <= 0.0:
            return None
        if self._first is None:
            self._first = (now, done)
            return None
        plan = self.plan()
        if plan is None or not plan.get("steps") or "train" not in plan.get("stages", {}):
            self._told = True
            return None
        since, before = self._first
        if (done - before) * plan["steps"] < STEPS * total or done >= total:
            return None
        self._told = True
        seconds = since - self._begun + (now - since) * (total - before) / (done - before)
        return _judged(seconds, plan["stages"]["train"]["seconds"], round((done - before) / total * plan["steps"]))


def _judged(seconds: float, predicted: dict[str, float], steps: int) -> str | None:
    low, high = (factor * seconds for factor in SPREAD)
    if low <= predicted["high"] and high >= predicted["low"]:
        return None
    longer = low > predicted["high"]
    advice = (
        "If that is too much, set budget.hours: the run then stops in time and goes on from there when it is run "
        "again, as after Ctrl-C. With a lower train.max_samples or train.epochs training is shorter, but begins anew."
        if longer
        else "The rest of the plan's figures for training are too high by as much."
    )
    return (
        f"At the speed of the first {steps} steps training takes about {_duration(seconds)} ({_duration(low)} to "
        f"{_duration(high)}); the plan said {_duration(predicted['value'])} ({_duration(predicted['low'])} to "
        f"{_duration(predicted['high'])}). {advice}"
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
