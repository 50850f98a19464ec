"""A part read in blocks is the part read at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from danlu.core.errors import DataError
from danlu.learning import corpus
from danlu.learning.corpus import Part, read_rows

COLUMNS = ["text", "turns"]


def write(folder: Path, rows: int, turns: list[Any] | None = None) -> Path:
    texts = [f"text {number} " * (number % 5) for number in range(rows)]
    table = pa.table({"text": texts, "label": ["a"] * rows} | ({} if turns is None else {"turns": turns}))
    for number, begin in enumerate(range(0, rows, 40)):
        (folder / "train").mkdir(parents=True, exist_ok=True)
        parquet.write_table(table[begin : begin + 40], folder / "train" / f"part-{number}.parquet", row_group_size=16)
    return folder


def joined(part: Part) -> dict[str, list[Any]]:
    blocks = list(part.blocks())
    return {name: [value for block in blocks for value in block[name]] for name in part.columns}


@pytest.mark.parametrize("characters", [1, 30, 1 << 20])
def test_blocks_are_the_rows_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, characters: int) -> None:
    monkeypatch.setattr(corpus, "CHARACTERS_IN_BLOCK", characters)
    monkeypatch.setattr(corpus, "ROWS_IN_BLOCK", 7)
    part = Part.of(write(tmp_path, 100), "train", COLUMNS)
    assert len(part) == 100
    assert part.rows() == joined(part) == read_rows(tmp_path, "train", COLUMNS)
    assert all(len(block["text"]) == 1 or sum(map(len, block["text"])) <= characters for block in part.blocks())
    assert max(len(block["text"]) for block in part.blocks()) <= 7
    assert part.characters(["text"]) == sum(map(len, part.rows()["text"]))
    for every in (1, 3, 11, 1000):
        assert list(part.texts(["text"], every=every)) == part.rows()["text"][::every]


def test_chosen_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "ROWS_IN_BLOCK", 7)
    chosen = np.array([0, 6, 7, 39, 40, 41, 99])
    part = Part(files=Part.of(write(tmp_path, 100), "train", COLUMNS).files, columns=COLUMNS, chosen=chosen)
    texts = read_rows(tmp_path, "train", ["text"])["text"]
    assert len(part) == len(chosen)
    assert joined(part)["text"] == [texts[row] for row in chosen]


def test_whether_a_column_has_values(tmp_path: Path) -> None:
    said = [[{"role": "user", "text": "a"}]]
    assert not Part.of(write(tmp_path / "none", 50), "train", COLUMNS).has("turns")
    empty = pa.array([None] * 50, type=pa.array([said]).type)
    assert not Part.of(write(tmp_path / "empty", 50, empty), "train", COLUMNS).has("turns")
    some = Part.of(write(tmp_path / "some", 50, [None] * 49 + said), "train", COLUMNS)
    assert some.has("turns")
    assert not some.has("label")
    assert some.column("label") == ["a"] * 50
    assert some.column("pair") == []


def test_a_part_without_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no rows in its test part.*data\.split\.test"):
        Part.of(write(tmp_path, 50), "test", COLUMNS)
