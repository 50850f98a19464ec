"""Cells beside a text as numbers, by what the training rows hold: the same for the model and for its baseline.

A number x becomes (x - mean) / std, with the mean and the standard deviation of the training rows that have one; a
missing one becomes 0, the mean, and an indicator beside it 1. A category's value becomes its place in the list of
values that the training rows have: 0 is a value that is not in the list, 1 is a missing one. A value of too few
training rows is not in the list: from these rows a model learns what an unknown value means, and a value of one row
alone is spelt out in no model. Rows are counted, not people: a value that one person has in several rows is.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from danlu.core.asked import Cell

#: Places of a category's values that are none of the list.
UNKNOWN, MISSING = 0, 1
_KNOWN_FROM = 2

#: A value is learned by its name from so many training rows on, and at most so many values a column, the most frequent.
FEWEST_ROWS = 2
MOST_VALUES = 1_000


@dataclass(frozen=True, kw_only=True)
class Numeric:
    """A column with numbers: mean and standard deviation of the training rows that have one."""

    name: str
    mean: float
    std: float

    def coded(self, cell: Cell) -> tuple[float, float]:
        """The number in standard deviations from the mean, and whether it is missing, as 0 or 1."""
        if not isinstance(cell, (int, float)) or not math.isfinite(cell):
            return 0.0, 1.0
        return (cell - self.mean) / self.std, 0.0


@dataclass(frozen=True, kw_only=True)
class Categorical:
    """A column with one of a few words: those that training rows have, sorted."""

    name: str
    values: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many places there are."""
        return _KNOWN_FROM + len(self.values)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {value: number for number, value in enumerate(self.values, _KNOWN_FROM)}

    def place(self, cell: Cell) -> int:
        """The place of a value: that in the list, `UNKNOWN` or `MISSING`.

        White space around it does not count, and one of nothing else is missing: so training reads its cells.
        """
        word = "" if cell is None else str(cell).strip()
        return self._places.get(word, UNKNOWN) if word else MISSING


@dataclass(frozen=True, kw_only=True)
class Codes:
    """What all columns of a model are coded by, in order."""

    numeric: tuple[Numeric, ...]
    categorical: tuple[Categorical, ...]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Cell]], numeric: Iterable[str], categorical: Iterable[str]) -> Codes:
        """The codes by the training rows' cells; a column in which no row has anything is always missing."""
        return cls(
            numeric=tuple(_numeric(name, [row.get(name) for row in rows]) for name in numeric),
            categorical=tuple(_categorical(name, [row.get(name) for row in rows]) for name in categorical),
        )

    def numbers(self, cells: Mapping[str, Cell]) -> list[float]:
        """Of each numeric column the standardised number and the indicator, [2 M]."""
        return [value for column in self.numeric for value in column.coded(cells.get(column.name))]

    def categories(self, cells: Mapping[str, Cell]) -> list[int]:
        """Of each categorical column the place of the value, [C]."""
        return [column.place(cells.get(column.name)) for column in self.categorical]

    def as_json(self) -> dict[str, Any]:
        """As `columns.json` has it, beside the weights; `read_codes` reads it."""
        return {
            "numeric": [asdict(column) for column in self.numeric],
            "categorical": [{"name": column.name, "values": list(column.values)} for column in self.categorical],
        }


def read_codes(values: Mapping[str, Any]) -> Codes:
    """What `Codes.as_json` wrote. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    return Codes(
        numeric=tuple(
            Numeric(name=str(column["name"]), mean=float(column["mean"]), std=float(column["std"]))
            for column in values["numeric"]
        ),
        categorical=tuple(
            Categorical(name=str(column["name"]), values=tuple(map(str, column["values"])))
            for column in values["categorical"]
        ),
    )


def _numeric(name: str, cells: Sequence[Cell]) -> Numeric:
    known = [float(cell) for cell in cells if isinstance(cell, (int, float))]
    if not known:
        return Numeric(name=name, mean=0.0, std=1.0)
    # math.fsum: exact, so the order of the rows does not matter.
    mean = math.fsum(known) / len(known)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / len(known))
    # Equal numbers differ from their mean by rounding.
    return Numeric(name=name, mean=mean, std=std if std > 1e-12 * abs(mean) else 1.0)


def _categorical(name: str, cells: Sequence[Cell]) -> Categorical:
    counts = Counter(cell for cell in cells if isinstance(cell, str))
    ranked = sorted((value for value, rows in counts.items() if rows >= FEWEST_ROWS), key=lambda v: (-counts[v], v))
    return Categorical(name=name, values=tuple(sorted(ranked[:MOST_VALUES])))
