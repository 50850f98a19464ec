"""A number that admits its error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A prediction: its value, and between what it may come out."""

    value: float
    low: float
    high: float

    @classmethod
    def around(cls, value: float, low: float, high: float) -> Interval:
        """From `value` and two factors, such as 0.7 and 1.6."""
        return cls(value=value, low=low * value, high=high * value)

    def times(self, factor: float) -> Interval:
        """In another unit."""
        return Interval(value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def as_json(self, digits: int = 6) -> dict[str, float]:
        """As `{"value", "low", "high"}`, rounded to `digits` significant digits."""
        return {
            name: float(f"{number:.{digits}g}")
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }


def add(parts: Iterable[Interval]) -> Interval:
    """The sum. Bounds add up too: the errors have one cause (the machine), so they do not cancel."""
    parts = list(parts)
    return Interval(
        value=sum(part.value for part in parts),
        low=sum(part.low for part in parts),
        high=sum(part.high for part in parts),
    )


def largest(parts: Iterable[Interval]) -> Interval:
    """The largest of several, bound by bound."""
    parts = list(parts)
    return Interval(
        value=max(part.value for part in parts),
        low=max(part.low for part in parts),
        high=max(part.high for part in parts),
    )
