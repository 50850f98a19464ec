"""Which targets of a multitask recipe the sources have."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from danlu.core.errors import DataError
from danlu.core.heads import BETWEEN
from danlu.sources.targets import HeadReading


def lacking(heads: Mapping[str, HeadReading], columns: Collection[str]) -> list[str]:
    """A column that a source with `columns` should have: it may lack those of some targets, not of all."""
    wanted = [head.column for head in heads.values()]
    return [] if any(column in columns for column in wanted) else wanted[:1]


def labels_among(spellings: Sequence[str], heads: Mapping[str, HeadReading]) -> list[str]:
    """The labels among the spellings of a record's targets, each under its target's name."""
    return [spelling for spelling in spellings if heads[spelling.partition(BETWEEN)[0]].task != "regress"]


def check_found(heads: Mapping[str, HeadReading], rows: Mapping[str, int]) -> None:
    """Raise `DataError` for a target that no row has."""
    for name, head in heads.items():
        if not rows.get(name):
            raise DataError(
                f"No row has the target {name!r}: the column {head.column!r} is in none of the sources, or empty in "
                f"every row. Set data.targets.{name}.column to the column with it, or leave the target out."
            )
