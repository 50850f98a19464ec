"""How far into a file the records read so far reach, by which a reader can tell what share it has seen."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from danlu.sources.formats import open_file

TEXTS = [f"第 {number} 行 with some words" for number in range(4_000)]


def as_lines(path: Path, encoding: str) -> Path:
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS), encoding=encoding)
    return path


def as_table(path: Path, encoding: str) -> Path:
    path.write_text("text,label\n" + "".join(f"{text},x\n" for text in TEXTS), encoding=encoding)
    return path


def as_parquet(path: Path, _encoding: str) -> Path:
    pq.write_table(pa.table({"text": TEXTS}), path)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize(("write", "name"), [(as_lines, "a.jsonl"), (as_table, "a.csv"), (as_lines, "a.txt")])
def test_half_of_the_records_is_half_of_the_bytes(write, name: str, encoding: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = write(tmp_path / name, encoding)
    opened = open_file(path)
    list(itertools.islice(opened.rows, 2_000))
    assert opened.position.bytes / path.stat().st_size == pytest.approx(0.5, abs=0.02)
    list(opened.rows)
    assert opened.position.bytes / path.stat().st_size == pytest.approx(1.0, abs=0.002)


def test_parquet_counts_by_rows(tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "a.parquet", "")
    opened = open_file(path)
    list(itertools.islice(opened.rows, 1_000))
    assert opened.position.bytes == pytest.approx(path.stat().st_size / 4, abs=1)
