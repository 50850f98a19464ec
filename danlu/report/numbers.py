"""Numbers as people read them, the same in English and Chinese: few digits, a unit, never a bare float."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MISSING = "–"
MINUS = "−"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

#: Scores that are shares, told in per cent wherever they stand; the others are plain numbers.
SHARES = frozenset(
    (
        "accuracy",
        "micro_f1",
        "macro_f1",
        "weighted_f1",
        "micro_precision",
        "micro_recall",
        "macro_precision",
        "macro_recall",
        "subset_accuracy",
        "hamming_loss",
        "ece",
        "recall_at_1",
        "recall_at_5",
        "recall_at_10",
    )
)

_SIZES = ("B", "KB", "MB", "GB", "TB")


def one_line(text: str) -> str:
    """A label as a line of text can show it: line breaks and other controls are written as escapes."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def count(value: float | None) -> str:
    """A whole number with thousands apart: 38,158."""
    return MISSING if value is None else f"{round(value):,}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share between 0 and 1: 77.3%."""
    return MISSING if value is None else f"{100 * value:.{digits}f}%"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number with `digits` significant digits, no exponent for everyday sizes: 0.773, 12.3, 4,120."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -4:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - magnitude)}f}".replace("-", MINUS)


def base_of(metric: str) -> str:
    """A score without the name of the target that it is of."""
    return metric.rpartition(".")[2]


def form_of(metric: str) -> Callable[[float | None], str]:
    """How a score is told: a share in per cent, another one as a plain number."""
    return percent if base_of(metric) in SHARES else number


def size(value: float | None) -> str:
    """Bytes in powers of 1000, as disks are sold: 22.9 MB."""
    if value is None:
        return MISSING
    step = 0
    while abs(value) >= 1000 and step < len(_SIZES) - 1:
        value, step = value / 1000, step + 1
    return f"{value:.0f} {_SIZES[step]}" if step == 0 or value >= 100 else f"{value:.3g} {_SIZES[step]}"


def duration(seconds: float | None) -> str:
    """Seconds in the largest fitting units: < 0.1 s, 0.4 s, 12 s, 3 min 05 s, 18 min, 2 h 10 min."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if 0 < seconds < _LITTLE["seconds"][0]:
        return _LITTLE["seconds"][1]
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def milliseconds(value: float | None) -> str:
    """A latency in milliseconds: 4.21 ms, 38 ms."""
    return MISSING if value is None else f"{number(value, 3 if value < 10 else 2)} ms"


def money(usd: float | None) -> str:
    """US dollars, down to a cent: $1.79, $1,240, < $0.01."""
    if usd is None:
        return MISSING
    if 0 < usd < _LITTLE["usd"][0]:
        return _LITTLE["usd"][1]
    return f"${usd:,.0f}" if usd >= 100 or usd == 0 else f"${usd:.2f}"


def energy_known(ways: Sequence[str], said: Mapping[str, str]) -> str:
    """How a run's energy is known, by the `kwh_by` of its stages: a part that was estimated makes the whole so."""
    return said["energy_estimated" if any("estimated" in way for way in ways) else "energy_read"]


#: Below this nobody cares how much it is: kind -> (how much, how it is told).
_LITTLE = {"seconds": (0.1, "< 0.1 s"), "usd": (0.01, "< $0.01"), "kilograms": (1e-4, "< 0.1 g")}

#: What a prediction may be told in: kind -> (how much one is, its name), the smallest first.
_UNITS: dict[str, tuple[tuple[float, str], ...]] = {
    "seconds": ((1, "s"), (60, "min"), (3600, "h"), (86400, "days")),
    "bytes": tuple((1000.0**power, name) for power, name in enumerate(_SIZES)),
    "kilograms": ((1e-3, "g"), (1, "kg"), (1e3, "t")),
    "usd": ((1, ""),),
}
#: How many of a unit the value must be for that unit to be used: 0.6 min says less than 36 s.
_LEAST = {"seconds": 3.0, "bytes": 1.0, "kilograms": 1.0, "usd": 1.0}


def within(score: Mapping[str, float | None] | None, kind: str) -> tuple[str, str]:
    """A value and its interval in a few signs and in one unit, the one that fits the value: 40 s and 23–580 s.

    `kind` is "seconds", "bytes", "kilograms" or "usd"; `score` has `value`, `low` and `high`. Two digits or whole
    numbers, for no prediction is known better; what is too little to matter is 0 at the low end, and "< 0.1 s"
    elsewhere. The interval is empty where there is none or it says no more than the value.
    """
    value = None if score is None else score.get("value")
    if score is None or value is None or not math.isfinite(value):
        return MISSING, ""
    low, high = score.get("low"), score.get("high")
    least, little = _LITTLE.get(kind, (0.0, ""))
    units = _UNITS[kind]
    one, name = next((unit for unit in reversed(units) if value >= _LEAST[kind] * unit[0]), units[0])

    def told(*amounts: float) -> str:
        if 0 < amounts[-1] < least:
            return little
        ends = [0.0 if amount < least else amount for amount in amounts]
        if kind == "usd":
            digits = 0 if max(value, high or 0.0) >= 100 else 2
            return "$" + "–".join(f"{end:,.{digits}f}" for end in ends)
        return "–".join(number(end / one, 2) for end in ends) + f" {name}"

    said, ends = told(value), "" if low is None or high is None else told(low, high)
    return said, "" if ends == said else ends


def moment(text: str) -> str:
    """An ISO time without its fractions and zone: `2026-11-23 14:05 UTC`."""
    return f"{text[:10]} {text[11:16]} UTC"


def taught_rows(data: Mapping[str, Any] | None) -> int:
    """How many test rows a teacher has answered (`data.teacher`), by what the summary has of the data stage's card."""
    held_out = ((data or {}).get("teacher") or {}).get("held_out") or {}
    return int((held_out.get("test") or {}).get("teacher", 0))
