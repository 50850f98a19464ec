"""Cells as text: what numbers, dates and empty cells of every format mean."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any


def as_text(value: Any) -> str | None:
    """A cell as text: empty for an empty cell, None for a value that is no text (a list, bytes).

    Whole numbers lose the `.0` that spreadsheets and Parquet give them, so that the label 1 stays "1".
    """
    for kind, convert in _AS_TEXT:
        if isinstance(value, kind):
            return convert(value)
    return None


def _whole(value: str) -> str:
    """Without halves of surrogate pairs, which JSON can spell and UTF-8 cannot."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "ignore").decode("utf-8")
    return value


def _number(value: float) -> str:
    if value != value:
        return ""
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(value)


_AS_TEXT: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (str, _whole),
    (type(None), lambda _: ""),
    (bool, lambda value: "true" if value else "false"),
    (int, str),
    (float, _number),
    (Decimal, str),
    (datetime.datetime, lambda value: value.isoformat(sep=" ")),
    (datetime.date, lambda value: value.isoformat()),
    (datetime.time, lambda value: value.isoformat()),
)
