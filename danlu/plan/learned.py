"""The plan's figures, moved by how earlier ones came out on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from danlu.plan.history import QUANTITIES, Learned, Tried, learn
from danlu.plan.interval import Interval
from danlu.plan.predict import StageCost

#: Fields of a `StageCost` by quantity.
_FIELDS = dict(zip(QUANTITIES, ("seconds", "memory"), strict=True))
_CALLED = {"seconds": "time", "memory_bytes": "memory"}
#: A factor nearer to 1 than this is not worth a sentence.
_WORTH_SAYING = 0.05


def with_history(
    costs: dict[str, StageCost], tried: Iterable[Tried], machine: str
) -> tuple[dict[str, StageCost], dict[str, dict[str, dict[str, Any]]]]:
    """`costs` as the record of this machine corrects them, and what was learned by stage and quantity."""
    here = [one for one in tried if one.machine == machine]
    learned: dict[str, dict[str, dict[str, Any]]] = {}
    moved = {}
    for stage, cost in costs.items():
        for quantity, field in _FIELDS.items():
            interval: Interval = getattr(cost, field)
            if interval.value <= 0.0:
                continue
            spread = (interval.low / interval.value, interval.high / interval.value)
            found = learn((one for one in here if (one.stage, one.quantity) == (stage, quantity)), spread=spread)
            if found is not None:
                cost = replace(cost, **{field: _moved(interval, found)})
                learned.setdefault(stage, {})[quantity] = asdict(found)
        moved[stage] = cost
    return moved, learned


def _moved(interval: Interval, found: Learned) -> Interval:
    return Interval.around(found.factor * interval.value, found.low, found.high)


def sentences(learned: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """What moved, for people."""
    return [
        f"The {_CALLED[quantity]} of {stage} is multiplied by {one['factor']:.2f}, the median of the last "
        f"{one['count']} predictions on this machine (danlu plan history)."
        for stage, quantities in learned.items()
        for quantity, one in quantities.items()
        if abs(one["factor"] - 1.0) >= _WORTH_SAYING
    ]
