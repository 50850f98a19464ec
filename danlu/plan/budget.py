"""The plan beside the caps of the recipe. Light: the command line calls it before and after a plan."""

from __future__ import annotations

from typing import Any

from danlu.plan.config import BudgetConfig

_GIB = 1 << 30


def check_budget(plan: dict[str, Any], budget: BudgetConfig) -> list[str]:
    """A sentence for every cap of `budget` that `plan` (the content of plan.json) exceeds or may exceed.

    A cap is compared with the upper bound of the interval: a plan that may exceed it is said, too. The caps are no part
    of the plan's fingerprint, so what they mean is said here and not in the artifact.
    """
    warnings = []
    if budget.hours is not None:
        warnings += _compare("budget.hours", budget.hours, plan["total"]["seconds"], 3600.0, "hours")
    if budget.memory_gib is not None:
        warnings += _compare("budget.memory_gib", budget.memory_gib, plan["total"]["memory_bytes"], _GIB, "GiB")
    if budget.kwh is not None:
        warnings += _compare("budget.kwh", budget.kwh, plan["total"]["kwh"], 1.0, "kWh")
    if budget.usd is not None:
        warnings += _compare("budget.usd", budget.usd, plan["total"]["usd"], 1.0, "USD")
    return warnings


def _compare(field: str, cap: float, predicted: dict[str, float], unit: float, name: str) -> list[str]:
    value, low, high = (predicted[key] / unit for key in ("value", "low", "high"))
    if high <= cap:
        return []
    how = "The plan exceeds" if value > cap else "The plan may exceed"
    advice = _ADVICE[field]
    return [
        f"{how} {field}: {_number(value)} {name} predicted ({_number(low)} to {_number(high)}), the cap is "
        f"{_number(cap)}. {advice}"
    ]


_STOPS = (
    "The run would stop at the cap, save, and go on when started again. Lower train.max_samples or train.epochs, or "
    "raise the cap."
)
_ADVICE = {
    "budget.hours": _STOPS,
    "budget.kwh": _STOPS,
    "budget.usd": _STOPS,
    "budget.memory_gib": "Lower train.batch_size or model.max_length, take a smaller model, or raise the cap.",
}


def _number(value: float) -> str:
    return f"{value:,.1f}" if value >= 10 else f"{value:.2g}"
