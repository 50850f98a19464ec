"""What a text is to be answered with, by task: how a cell is read, and how it is kept until the corpus is written.

It is kept as one string, equal for equal answers: the label; for tag the labels as a JSON list, sorted, each once; for
regress the number as Python spells it. The plan and the data stage both read cells by it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from danlu.sources.values import as_text


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the cells are read: what stands between the labels of one cell, and whether a row may have none."""

    separator: str | None = None
    keep_unlabelled: bool = False


@dataclass(frozen=True, kw_only=True)
class Target:
    """The answers of one task.

    `spellings(cell, reading)`: the labels of a cell as the file has them, white space and all. `kept(spellings,
    reading)`: them as one string, empty where the row has no answer and is of no use. Both raise `ValueError` that says
    what is wrong with the cell, to be read behind its column's name, and nothing of what it holds. `names(kept)`: the
    labels in it, by which the split is stratified and rows are counted; none where answers are no labels.
    `renamed(kept, name)`: the same with each label as `name` calls it. `values(kept)`: what the corpus holds.
    """

    spellings: Callable[[Any, Reading], list[str]]
    kept: Callable[[Sequence[str], Reading], str]
    names: Callable[[str], tuple[str, ...]]
    renamed: Callable[[str, Callable[[str], str]], str]
    values: Callable[[str], Any]


def _text(cell: Any, reading: Reading) -> list[str]:
    del reading
    text = as_text(cell)
    if text is None:
        raise ValueError(f"holds a {type(cell).__name__}")
    return [text]


def _one(spellings: Sequence[str], reading: Reading) -> str:
    del reading
    return spellings[0].strip()


def _several(cell: Any, reading: Reading) -> list[str]:
    """The labels of a list, of a JSON list in text, or of text with separators; empty ones are no labels."""
    parts = cell
    text = as_text(cell)
    if text is not None:
        parts = _listed(text)
        if parts is None:
            parts = text.split(reading.separator) if reading.separator else [text]
    if not isinstance(parts, list | tuple | set | np.ndarray):
        raise ValueError(f"holds a {type(cell).__name__}; expected labels, as a list or as text between separators")
    found = [as_text(part) for part in parts]
    if None in found:
        raise ValueError("holds a list of something else than labels")
    return [label for label in found if label is not None and label.strip()]


def _listed(text: str) -> list[Any] | None:
    """The list that `text` spells as JSON, or None where it spells none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        parts = json.loads(text)
    except ValueError:
        return None
    return parts if isinstance(parts, list) else None


def _set(spellings: Sequence[str], reading: Reading) -> str:
    labels = sorted({label.strip() for label in spellings})
    return joined(labels) if labels or reading.keep_unlabelled else ""


def joined(labels: Sequence[str]) -> str:
    """Labels, sorted and each once, as they are kept."""
    return json.dumps(sorted(set(labels)), ensure_ascii=False)


def _names_of_set(kept: str) -> tuple[str, ...]:
    return tuple(json.loads(kept)) if kept else ()


def _number(spellings: Sequence[str], reading: Reading) -> str:
    del reading
    text = spellings[0].strip()
    if not text:
        return ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("holds no number such as 4.5")
    return repr(value)


TARGETS: dict[str, Target] = {
    "classify": Target(
        spellings=_text,
        kept=_one,
        names=lambda kept: (kept,) if kept else (),
        renamed=lambda kept, name: name(kept),
        values=lambda kept: kept,
    ),
    "tag": Target(
        spellings=_several,
        kept=_set,
        names=_names_of_set,
        renamed=lambda kept, name: joined([name(label) for label in _names_of_set(kept)]),
        values=lambda kept: list(_names_of_set(kept)),
    ),
    "regress": Target(
        spellings=_text,
        kept=_number,
        names=lambda _: (),
        renamed=lambda kept, _: kept,
        values=float,
    ),
}


def kept_or_nothing(task: str, cell: Any, reading: Reading) -> str:
    """What is kept of a cell; empty where it is of no use to `task`, for whoever only looks at the data."""
    target = TARGETS[task]
    try:
        return target.kept(target.spellings(cell, reading), reading)
    except ValueError:
        return ""
