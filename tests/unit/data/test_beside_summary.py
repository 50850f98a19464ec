"""What is told of columns beside the text, in memory that hardly grows with them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from danlu.data.columns.cells import BESIDE
from danlu.data.columns.summary import summarise, warnings

NAMES = {"numeric": ["amount"], "categorical": ["shop", "order"]}


def write(folder: Path, rows: int) -> Path:
    """Rows with a number, a shop of three, and an order number of their own."""
    numbers = [[("amount", float(number))] for number in range(rows)]
    words = [[("shop", f"shop {number % 3}"), ("order", f"order number {number}")] for number in range(rows)]
    columns = [pa.array(values, kind) for values, kind in zip((numbers, words), BESIDE.values(), strict=True)]
    folder.mkdir(parents=True)
    pq.write_table(pa.table(dict(zip(BESIDE, columns, strict=True))), folder / "part.parquet")
    return folder


def test_a_column_of_few_rows_is_told_in_full(tmp_path: Path) -> None:
    found = summarise(write(tmp_path / "train", 30), NAMES)
    assert found["amount"]["numbers"]["median"] == 14.5 and found["amount"]["missing"] == 0
    assert found["shop"] == {
        "rows": 30,
        "missing": 0,
        "values": 3,
        "most": {"shop 0": 10, "shop 1": 10, "shop 2": 10},
    }
    assert found["order"]["values"] == 30
    (told,) = warnings(found)
    assert "'order' has 30 different values in 30 training rows" in told


def test_memory_does_not_grow_with_what_is_no_category(tmp_path: Path) -> None:
    folder = write(tmp_path / "train", 80_000)
    tracemalloc.start()
    try:
        found = summarise(folder, NAMES)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A list of floats takes 32 bytes each, a counter of as many words more than 100.
    assert peak < 8e6
    assert found["amount"]["numbers"]["most"] == 79_999 and found["amount"]["missing"] == 0
    assert found["shop"]["values"] == 3 and found["shop"]["missing"] == 0
    assert found["order"]["missing"] == 0
    (told,) = warnings(found)
    assert "'order' has more than 10,000 different values in 80,000 training rows" in told
