"""What a gate reads: the facts of a model, and how a number is found among them and said.

A fact that is missing, null or NaN is no number: what was not measured is not taken for good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: Facts of one model as `facts.gather` returns them: numbers, scores `{"value", "low", "high"}` (with "rows" where
#: they were not measured on the test rows), and under
#: "comparisons" the paired comparisons by what the model was compared with.
Facts = Mapping[str, Any]

#: Passed, observed, reason, further: see `GateResult`.
Found = tuple[bool, float | None, str, int | None]


def observe(facts: Facts, name: str, end: str) -> tuple[float | None, str]:
    """The number a gate looks at, or None and the reason why there is none."""
    if name not in facts or facts[name] is None:
        return None, f"{name} was not measured"
    value: object = facts[name]
    if isinstance(value, Mapping):
        value = value.get(end)
    elif end != "value":
        return None, f"{name} was measured without an interval"
    if value is None:
        return None, f"{name} has no {'value' if end == 'value' else end + ' end of its interval'}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, f"{name} is not a number"
    if not math.isfinite(value):
        return None, f"{name} is not a finite number"
    return value, ""


def measured_on(value: object) -> str:
    """On how many texts, for a fact that says so because they are not the test rows."""
    rows = value.get("rows") if isinstance(value, Mapping) else None
    return f" on {rows:,} held-out texts" if isinstance(rows, int) else ""


def wanted(further: int | None) -> str:
    return "" if further is None else f"; about {further:,} more test rows would tell"


def show(number: float) -> str:
    return f"{number:.4g}" if abs(number) < 10_000 else f"{number:,.0f}"
