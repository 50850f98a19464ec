"""Several tests at once: with twenty comparisons, one will look significant by chance alone."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Each p-value adjusted for having made them all; below a level, the chance of any false alarm is below it.

    Holm 1979, Scandinavian Journal of Statistics 6, 65-70: the smallest of m is multiplied by m, the next by m - 1,
    and so on; none is smaller than the one before, or larger than 1. A comparison without a p-value was not made.
    """
    made = sorted((value, place) for place, value in enumerate(p_values) if value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, place) in enumerate(made):
        largest = max(largest, min(1.0, value * (len(made) - rank)))
        adjusted[place] = largest
    return adjusted
