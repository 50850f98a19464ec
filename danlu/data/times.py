"""Dates and times as people write them, as seconds since 1970.

A value is read only where it can mean one thing. 03/04/2024 can be March or April: what the other values of the column
say decides, and where they say nothing it is not read. Times without a zone are taken as UTC: only their order counts.
"""

from __future__ import annotations

import datetime
import email.utils
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from danlu.core.errors import DataError
from danlu.data.mask.config import DEFAULT_KINDS, Kind
from danlu.data.mask.masker import mask

Integers = npt.NDArray[np.int64]

#: The time of a row that has none: before all others.
NO_TIME: Final = int(np.iinfo(np.int64).min)

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

#: Day 0 of Excel's 1900 date system for dates from March 1900 on: Excel counts a 29 February 1900 that never was
#: (Microsoft, "Excel incorrectly assumes that the year 1900 is a leap year").
_EXCEL_ZERO = datetime.datetime(1899, 12, 30, tzinfo=datetime.UTC)

#: Numbers are Excel's days between these two: 1954 to 2119.
_EXCEL_DAYS = (20_000, 80_000)

#: Numbers since 1970 are of the unit in which they lie between March 1973 and 2286 (10^8 and 10^10 seconds).
_EPOCH_UNITS = tuple((10**power, 10 ** (8 + power), 10 ** (10 + power)) for power in (0, 3, 6, 9))

#: Digits that are a date without separators, by their number.
_COMPACT = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
#: What is masked in the values that a message shows.
_PERSONAL: tuple[Kind, ...] = (*DEFAULT_KINDS, "person")

#: Said of times that have no other zone; without it they are taken for the same.
_UTC = re.compile(r"(?<=[0-9])\s*(?:UTC|GMT)$", re.IGNORECASE)
_WEEKDAY = re.compile(r"[(\[]?(?:星期|礼拜|周)[一二三四五六日天][)\]]?")
_CLOCK = (
    r"(?:[T\s]*(?P<half>上午|下午|晚上|中午|凌晨|早上|[AaPp][Mm])?\s*(?P<hour>\d{1,2})(?::|时|點|点)"
    r"(?:(?P<minute>\d{1,2})(?::|分)?(?:(?P<second>\d{1,2})(?:[.,]\d+)?秒?)?)?\s*(?P<half_after>[AaPp][Mm])?)?"
)
_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?:年|[-/.])\s*(?P<month>\d{1,2})(?:月|[-/.])?\s*(?:(?P<day>\d{1,2})[日号]?)?" + _CLOCK
)
_YEAR_LAST = re.compile(r"(?P<one>\d{1,2})[-/.](?P<two>\d{1,2})[-/.](?P<year>\d{4})" + _CLOCK)
_YEAR_ONLY = re.compile(r"(?P<year>\d{4})年?")
_HAN_DATE = re.compile(
    r"([〇零○一二三四五六七八九]{4})年([一二三四五六七八九十]{1,3})月(?:([一二三四五六七八九十]{1,3})[日号])?"
)
_HAN_DIGITS = {**dict(zip("〇一二三四五六七八九", range(10), strict=True)), "零": 0, "○": 0}

#: What the half of a day makes of an hour on a clock of twelve.
_HALVES: dict[str, Callable[[int], int]] = {
    **dict.fromkeys(("上午", "凌晨", "早上", "am"), lambda hour: 0 if hour == 12 else hour),
    **dict.fromkeys(("下午", "晚上", "pm"), lambda hour: hour + 12 if hour < 12 else hour),
    "中午": lambda hour: hour + 12 if hour < 3 else hour,
}


class DayOrder:
    """Whether the day comes first in dates like 13/04/2024, by what the values of a column say, some at a time."""

    def __init__(self) -> None:
        self._first = self._second = False

    def see(self, values: Iterable[object]) -> DayOrder:
        """Take note of more values of the column."""
        for value in values:
            # Four digits first are a year, and most columns have nothing else.
            if not isinstance(value, str) or value[:4].isdigit():
                continue
            if found := _YEAR_LAST.fullmatch(_plain(value)):
                self._first |= int(found["one"]) > 12
                self._second |= int(found["two"]) > 12
        return self

    @property
    def day_first(self) -> bool | None:
        """None where no value says so, or some say one thing and some the other."""
        return None if self._first == self._second else self._first


def to_epoch(values: Sequence[object], order: DayOrder | None = None) -> Integers:
    """Seconds since 1970-01-01 UTC, rounded down, of each value; `NO_TIME` where it cannot be read.

    Read are: `datetime` and `date`; ISO 8601 with or without a zone, also with `/` or `.`; 2024年3月1日 and
    二〇二四年三月一日, with 下午3点05分 or 15:05 after it; 01/03/2024 where another value of the column shows which is
    the day; RFC 2822 (Fri, 01 Mar 2024 10:00:00 +0800); digits without separators (20240301, 20240301150500); numbers
    since 1970 in seconds, milli-, micro- or nanoseconds; Excel's days. A year or month alone is its first day.

    `values` should be the whole column, or `order` what has seen all of it.
    """
    day_first = (order or DayOrder().see(values)).day_first
    return np.array(
        [_seconds(_plain(value) if isinstance(value, str) else value, day_first) for value in values], dtype=np.int64
    )


def check_times(values: Sequence[object], times: Integers, column: str) -> list[str]:
    """A warning when some of the `times` that `to_epoch` made of `values` cannot be read.

    Raises `DataError` when that is more than half of them: then the column is not one of times. What is shown of the
    values is masked: a column that is not one of times may hold anything, and the warning goes into the card.
    """
    bad = np.flatnonzero(times == NO_TIME)
    if not len(bad):
        return []
    shown = ", ".join(dict.fromkeys(repr(mask(str(values[row]), _PERSONAL)[0])[:40] for row in bad[:50].tolist()))[:120]
    told = f"{len(bad):,} of {len(times):,} values of the column {column!r} cannot be read as a time, such as {shown}."
    if 2 * len(bad) > len(times):
        raise DataError(
            f"{told} Write times as 2024-03-01 or 2024-03-01 15:05:00, name another column in data.time, or set "
            "data.split.by: hash."
        )
    return [f"{told} Rows without a time are left out of a split by time."]


def _plain(text: str) -> str:
    text = _WEEKDAY.sub(" ", unicodedata.normalize("NFKC", text)).strip()
    return _UTC.sub("", text) if text[-1:] in "CcTt" else text


def _seconds(value: object, day_first: bool | None) -> int:
    try:
        moment = _moment(value, day_first)
    except (ValueError, OverflowError):
        return NO_TIME
    if moment is None:
        return NO_TIME
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment - _EPOCH) // datetime.timedelta(seconds=1)


def _moment(value: object, day_first: bool | None) -> datetime.datetime | None:
    if isinstance(value, datetime.datetime):
        return value
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | np.integer | np.floating):
        return _of_number(repr(value.item() if isinstance(value, np.generic) else value))
    if not isinstance(value, str) or not value:
        return None
    if _NUMBER.fullmatch(value):
        return _of_number(value)
    if value[0].isdigit():
        try:
            return datetime.datetime.fromisoformat(value)
        except ValueError:
            return _of_parts(value, day_first)
    return _of_han(value) or email.utils.parsedate_to_datetime(value)


def _of_number(digits: str) -> datetime.datetime | None:
    """A number as a date without separators, as Excel's days or as time since 1970, whichever it can be."""
    if digits.isdigit() and len(digits) in _COMPACT and digits[:2] in ("19", "20"):
        try:
            return datetime.datetime.strptime(digits, _COMPACT[len(digits)])
        except ValueError:
            pass
    number = float(digits)
    if _EXCEL_DAYS[0] <= number <= _EXCEL_DAYS[1]:
        # A second is 1/86,400 of a day; fractions are rounded ones.
        return _EXCEL_ZERO + datetime.timedelta(seconds=round(number * 86_400))
    for unit, low, high in _EPOCH_UNITS:
        if low <= number < high:
            return _EPOCH + datetime.timedelta(seconds=number // unit)
    return None


def _of_parts(text: str, day_first: bool | None) -> datetime.datetime | None:
    if found := _YEAR_FIRST.fullmatch(text):
        month, day = int(found["month"]), int(found["day"] or 1)
    elif found := _YEAR_LAST.fullmatch(text):
        if day_first is None and found["one"] != found["two"]:
            return None
        one, two = int(found["one"]), int(found["two"])
        day, month = (one, two) if day_first else (two, one)
    elif found := _YEAR_ONLY.fullmatch(text):
        return datetime.datetime(int(found["year"]), 1, 1)
    else:
        return None
    hour = int(found["hour"] or 0)
    half = (found["half"] or found["half_after"] or "").lower()
    if half:
        hour = _HALVES[half](hour)
    return datetime.datetime(int(found["year"]), month, day, hour, int(found["minute"] or 0), int(found["second"] or 0))


def _of_han(text: str) -> datetime.datetime | None:
    """二〇二四年三月一日."""
    found = _HAN_DATE.fullmatch(text)
    if not found:
        return None
    year = int("".join(str(_HAN_DIGITS[digit]) for digit in found[1]))
    return datetime.datetime(year, _han_number(found[2]), _han_number(found[3] or "一"))


def _han_number(text: str) -> int:
    """三 is 3, 十 is 10, 二十一 is 21."""
    tens, ten, ones = text.rpartition("十")
    return (_HAN_DIGITS[tens] if tens else 1) * 10 * bool(ten) + (_HAN_DIGITS[ones] if ones else 0)
