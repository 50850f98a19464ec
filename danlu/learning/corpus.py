"""Reading a part of a Corpus artifact, for all who do: in the order in which it was written, which is by id.

A mask over the rows of a part, as `training.json` has one, counts them in this order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from danlu.core.errors import DataError


def read_rows(folder: Path, part: str, columns: list[str]) -> dict[str, list[Any]]:
    """The named columns of `train`, `validation` or `test` as lists; files are read in the order of their names.

    A column that the corpus does not have (a label where there are none) is empty, and so is a part without rows.
    """
    values: dict[str, list[Any]] = {name: [] for name in columns}
    for file in sorted((folder / part).glob("*.parquet")):
        known = set(parquet.read_schema(file).names)
        table = parquet.read_table(file, columns=[name for name in columns if name in known])
        for name in table.column_names:
            values[name] += table.column(name).to_pylist()
    return values


def read_part(folder: Path, part: str, columns: list[str]) -> dict[str, list[Any]]:
    """`read_rows` of a part that must have some; raises `DataError` when it has none."""
    values = read_rows(folder, part, columns)
    if not values[columns[0]]:
        raise DataError(f"The corpus has no rows in its {part} part. Give more data, or a larger data.split.{part}.")
    return values
