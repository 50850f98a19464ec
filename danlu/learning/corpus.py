"""Reading a part of a Corpus artifact, for all who do: in the order in which it was written, which is by id.

A mask over the rows of a part, as `training.json` has one, counts them in this order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
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


#: Most rows of a block, and of the characters of a block's texts; a single text may have more.
ROWS_IN_BLOCK = 256
CHARACTERS_IN_BLOCK = 1 << 20

#: What is read of a file at once, in bytes.
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a Corpus that has rows, read block by block: memory does not grow with its size.

    `columns` are those that are read, the texts first; one that the corpus does not have is empty. `chosen` are the
    numbers of the rows that count, sorted; None takes all. The order of rows is that of `read_rows`.
    """

    files: Sequence[Path]
    columns: Sequence[str]
    chosen: np.ndarray | None = None

    @classmethod
    def of(cls, folder: Path, name: str, columns: Sequence[str]) -> Part:
        """`train`, `validation` or `test` of the corpus in `folder`. Raises `DataError` when it has no rows."""
        part = cls(files=sorted((folder / name).glob("*.parquet")), columns=columns)
        if not len(part):
            raise DataError(
                f"The corpus has no rows in its {name} part. Give more data, or a larger data.split.{name}."
            )
        return part

    def __len__(self) -> int:
        if self.chosen is not None:
            return len(self.chosen)
        return sum(int(parquet.read_metadata(file).num_rows) for file in self.files)

    def rows(self) -> dict[str, list[Any]]:
        """All rows at once, a list a column."""
        values: dict[str, list[Any]] = {name: [] for name in self.columns}
        for block in self.blocks():
            for name, column in block.items():
                values[name] += column
        return values

    def column(self, name: str) -> list[Any]:
        """All values of one column; empty where the corpus does not have it."""
        return [value for batch in self._batches([name]) for value in batch.column(0).to_pylist()]

    def blocks(self) -> Iterator[dict[str, list[Any]]]:
        """The rows in portions, a list a column."""
        for batch in self._batches(self.columns):
            block: dict[str, list[Any]] = {name: [] for name in self.columns}
            block |= {name: batch.column(name).to_pylist() for name in batch.schema.names}
            yield from _portions(block)

    def texts(self, columns: Sequence[str], *, every: int = 1) -> Iterator[str]:
        """The texts in these columns of the rows 0, `every`, 2 `every`, and so on, column by column."""
        for column in columns:
            number = 0
            for batch in self._batches([column]):
                yield from batch.column(0)[-number % every :: every].to_pylist()
                number += len(batch)

    def characters(self, columns: Sequence[str]) -> int:
        """Characters of all texts in these columns together."""
        batches = (batch for column in columns for batch in self._batches([column]))
        lengths = (compute.sum(compute.utf8_length(batch.column(0))) for batch in batches)
        return sum(length.as_py() or 0 for length in lengths)

    def has(self, column: str) -> bool:
        """Whether any row has a value there."""
        if column not in self.columns:
            return False
        return any(batch.column(0).null_count < len(batch) for batch in self._batches([column]))

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Record batches with what the corpus has of `columns`."""
        number = 0
        for path in self.files:
            with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
                known = [name for name in columns if name in file.schema_arrow.names]
                for batch in file.iter_batches(ROWS_IN_BLOCK, columns=known) if known else ():
                    begin, number = number, number + len(batch)
                    if self.chosen is None:
                        yield batch
                        continue
                    low, high = np.searchsorted(self.chosen, [begin, number])
                    if low < high:
                        yield batch.take(pa.array(self.chosen[low:high] - begin))


def _portions(block: dict[str, list[Any]]) -> Iterator[dict[str, list[Any]]]:
    """`block` in portions of at most so many characters of its first column."""
    lengths = [len(text) for text in next(iter(block.values()))]
    begin = characters = 0
    for end, length in enumerate([*lengths, CHARACTERS_IN_BLOCK + 1]):
        if end > begin and characters + length > CHARACTERS_IN_BLOCK:
            yield {name: column[begin:end] for name, column in block.items()}
            begin, characters = end, 0
        characters += length
