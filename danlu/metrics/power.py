"""How many test rows a decision needs: power analysis from what the rows at hand have shown.

An interval shrinks with the square root of the rows. So from its half-width on `n` rows follows on how many it would
leave out what it must leave out, if the estimate is what it seems to be. This is a plan for the next test set, not a
verdict on this one: the estimate itself may be off (Hoenig and Heisey 2001, The American Statistician 55, 19-24).
"""

from __future__ import annotations

import math
from statistics import NormalDist

#: How often the larger test would come to a decision, if the estimate is right.
POWER = 0.8

#: How many standard errors a 95 % interval reaches to each side, and how many more are needed for `POWER`.
_INTERVAL = NormalDist().inv_cdf(0.975)
_REACH = _INTERVAL + NormalDist().inv_cdf(POWER)

#: How much narrower an interval can be made at all: this takes 10**12 times the rows.
_HOPELESS = 1e6

#: Beyond this many further rows nobody should be sent for more: the difference is too small to matter.
MOST_FURTHER = 100_000


def rows_needed(gap: float, half_width: float, rows: int) -> int | None:
    """Rows at which an estimate clears what it is `gap` away from, in `POWER` of all test sets of that size.

    `half_width` is how far its 95 % interval reaches on `rows` rows, towards what it must clear; a paired difference
    must clear zero. With z the normal quantiles this is n = rows · ((z(0.975) + z(power)) · standard error / gap)²
    (Lehr 1992, Statistics in Medicine 11, 1099-1102, in its general form), where half_width is z(0.975) standard
    errors. None where no number of rows would do: without a gap, or an interval.
    """
    if not (gap > 0.0 and half_width > 0.0 and rows > 0):
        return None
    wider = half_width / _INTERVAL * _REACH / gap
    return math.ceil(rows * wider**2) if wider < _HOPELESS else None


def further_rows(gap: float, half_width: float, rows: int) -> int | None:
    """`rows_needed` beyond the `rows` there are, to two digits, upwards; at least 1. None above `MOST_FURTHER`."""
    needed = rows_needed(gap, half_width, rows)
    if needed is None:
        return None
    further = _up_to_two_digits(max(1, needed - rows))
    return further if further <= MOST_FURTHER else None


def _up_to_two_digits(count: int) -> int:
    unit = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // unit) * unit
