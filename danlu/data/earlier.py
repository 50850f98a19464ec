"""What a corpus leaves for one that extends it: on which side each row is, without a word of its text.

`sides.parquet` has a row for each content, subject and conversation that the corpus, or one that it extends itself,
has put on a side. A later corpus reads it by `data.extends`, and moves none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from danlu.core.errors import DataError
from danlu.data.keys import Integers, Keys
from danlu.data.sides import NONE
from danlu.data.split import Assignment, Pinned

SIDES = "sides.parquet"

_SCHEMA = pa.schema(
    [
        ("content", pa.uint64()),
        ("part", pa.int8()),
        ("fold", pa.int8()),
        ("subject", pa.string()),
        ("conversation", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """The rows of an earlier corpus, as a table of `_SCHEMA`."""

    table: pa.Table

    def pinned(self, keys: Keys, *, folds: bool) -> Pinned:
        """The rows with subjects and conversations numbered as in `keys`; those that it does not know come behind."""
        return Pinned(
            contents=self.table["content"].to_numpy(),
            parts=self.table["part"].to_numpy(),
            folds=self.table["fold"].to_numpy() if folds else None,
            subjects=_numbered(self.table["subject"], keys.subjects),
            conversations=_numbered(self.table["conversation"], keys.conversations),
        )


def read_earlier(path: Path) -> Earlier:
    """The file that `write_sides` left. Raises `DataError` for anything else."""
    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"data.extends leads to {path.name!r}, which is not the {SIDES} of a corpus ({type(error).__name__}). "
            "Write corpus://NAME for the corpus of the last run of NAME, or the path of a corpus's sides.parquet."
        ) from None
    if table.schema.names != _SCHEMA.names:
        raise DataError(
            f"data.extends leads to {path.name!r} with the columns {', '.join(table.schema.names[:8])}; expected "
            f"those of a corpus's {SIDES}: {', '.join(_SCHEMA.names)}."
        )
    return Earlier(table=table.cast(_SCHEMA))


def write_sides(path: Path, keys: Keys, sides: Assignment, earlier: Earlier | None) -> None:
    """Write the side of every row that has one, and of those of the earlier corpus that are here no more.

    Sorted, each once: the same rows give the same file.
    """
    placed = sides.part >= 0
    here = pa.table(
        {
            "content": pa.array(keys.contents[keys.text[placed]], pa.uint64()),
            "part": pa.array(sides.part[placed], pa.int8()),
            "fold": pa.array(sides.fold[placed], pa.int8()),
            "subject": _named(keys.subject, keys.subjects, placed),
            "conversation": _named(keys.conversation, keys.conversations, placed),
        },
        schema=_SCHEMA,
    )
    every = here if earlier is None else pa.concat_tables([here, earlier.table])
    order = [(name, "ascending") for name in _SCHEMA.names]
    every = every.group_by(_SCHEMA.names, use_threads=False).aggregate([]).sort_by(order)
    parquet.write_table(every.select(_SCHEMA.names), path, compression="zstd")


def compared(keys: Keys, sides: Assignment, earlier: Earlier) -> dict[str, Any]:
    """For the card: rows of the earlier corpus, how many contents of them are here again, and how many rows are new."""
    known = np.isin(keys.contents, earlier.table["content"].to_numpy())
    again = known[keys.text]
    return {
        "earlier_rows": earlier.table.num_rows,
        "again": int(again.sum()),
        "new": int((~again).sum()),
        "rejected": int((~again & (sides.reason > 0)).sum()),
    }


def _numbered(names: pa.ChunkedArray, known: Mapping[str, int]) -> Integers | None:
    if names.null_count == len(names):
        return None
    numbers = dict(known)
    return np.array(
        [NONE if name is None else numbers.setdefault(name, len(numbers)) for name in names.to_pylist()], dtype=np.int64
    )


def _named(numbers: Integers | None, known: Mapping[str, int], chosen: np.ndarray) -> pa.Array:
    if numbers is None:
        return pa.nulls(int(chosen.sum()), pa.string())
    names = pa.array(sorted(known, key=known.__getitem__), pa.string())
    wanted = numbers[chosen]
    return pc.take(names, pa.array(np.maximum(wanted, 0), mask=wanted < 0))
