"""Cells beside a text, as the columns of a corpus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

#: The columns of a corpus that hold cells, with their types: names and values of a row's numbers and categories.
BESIDE = {"numbers": pa.map_(pa.string(), pa.float64()), "categories": pa.map_(pa.string(), pa.string())}


def columns(kept: Sequence[str | None]) -> dict[str, pa.Array]:
    """Both of `BESIDE` for rows [N] whose cells are `kept` (`danlu.sources.cells`); null where none are asked for."""
    rows = [None if one is None else json.loads(one) for one in kept]
    return {
        "numbers": pa.array([_of_kind(row, float) for row in rows], BESIDE["numbers"]),
        "categories": pa.array([_of_kind(row, str) for row in rows], BESIDE["categories"]),
    }


def _of_kind(row: dict[str, Any] | None, kind: type) -> list[tuple[str, Any]] | None:
    return None if row is None else [(name, cell) for name, cell in row.items() if isinstance(cell, kind)]
