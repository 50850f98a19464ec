"""Cells beside a text: how they are read, and how they are kept until the corpus is written.

They are kept as one string, equal for equal cells: a JSON object, sorted by name, without those that are missing. A
number is a JSON number, a category's value a JSON string. The plan and the data stage both read cells by it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from danlu.sources.values import as_text

#: A longer value is a text, and may be anybody's.
MOST_CHARACTERS = 200


def read_cells(values: Mapping[str, Any], numeric: Sequence[str], categorical: Sequence[str]) -> str:
    """The cells of a record in the named columns, which must be there, as they are kept.

    Raises `ValueError` that says what is wrong with a cell, and nothing of what it holds.
    """
    found: dict[str, float | str] = {}
    for name in numeric:
        number = _number(values[name], name)
        if number is not None:
            found[name] = number
    for name in categorical:
        word = _word(values[name], name)
        if word is not None:
            found[name] = word
    return json.dumps(found, ensure_ascii=False, sort_keys=True)


def _number(cell: Any, name: str) -> float | None:
    if cell is None:
        return None
    text = None if isinstance(cell, bool) else as_text(cell)
    if text is None:
        raise ValueError(f"column {name!r} holds a {type(cell).__name__}; expected a number")
    if not text.strip():
        return None
    try:
        number = float(text.strip())
    except ValueError:
        raise ValueError(f"column {name!r} holds no number such as 4.5, nor is it empty") from None
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise ValueError(f"column {name!r} holds an infinite number")
    return number


def _word(cell: Any, name: str) -> str | None:
    text = None if cell is None else as_text(cell)
    if cell is not None and text is None:
        raise ValueError(f"column {name!r} holds a {type(cell).__name__}; expected a word")
    word = (text or "").strip()
    if len(word) > MOST_CHARACTERS:
        raise ValueError(f"column {name!r} holds {len(word):,} characters; a category has at most {MOST_CHARACTERS}")
    return word or None
