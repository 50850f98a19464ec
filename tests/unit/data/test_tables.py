"""Parts on disk: sorted, the same bytes in whatever order rows came, in memory that does not grow with them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from danlu.data import tables
from danlu.data.tables import Buckets, SortedPart

SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string()), ("parts", pa.list_(pa.string()))])


def rows(count: int) -> list[dict[str, object]]:
    return [
        {
            "id": hashlib.md5(str(number).encode()).hexdigest(),
            "text": f"text {number} " * (number % 9),
            "parts": [str(number)] if number % 3 else None,
        }
        for number in range(count)
    ]


def write(folder: Path, found: list[dict[str, object]], size: int, shards: int = 1) -> dict[str, str]:
    part = SortedPart(folder / "part", folder / "scratch", SCHEMA, shards)
    for start in range(0, len(found), size):
        part.write(pa.Table.from_pylist(found[start : start + size], schema=SCHEMA))
    part.close()
    assert not (folder / "scratch").exists()
    assert part.rows == len(found)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "part").iterdir()}


@pytest.mark.parametrize(("waiting", "sorted_whole"), [(1, 1 << 30), (10_000, 2_000), (10_000, 1), (1 << 30, 1 << 30)])
def test_bytes_depend_on_neither_order_nor_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int, sorted_whole: int
) -> None:
    monkeypatch.setattr(tables, "SHARD_BYTES", 20_000)
    found = rows(3_000)
    expected = write(tmp_path / "expected", found, size=3_000)
    assert len(expected) > 3
    monkeypatch.setattr(tables, "_WAITING_BYTES", waiting)
    monkeypatch.setattr(tables, "_SORTED_BYTES", sorted_whole)
    random.Random(1).shuffle(found)
    assert write(tmp_path / "shuffled", found, size=77) == expected
    read = [
        row for path in sorted((tmp_path / "shuffled" / "part").iterdir()) for row in pq.read_table(path).to_pylist()
    ]
    assert read == sorted(found, key=lambda row: str(row["id"]))


def test_a_large_file_is_sorted_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_WAITING_BYTES", 10_000)
    monkeypatch.setattr(tables, "_SORTED_BYTES", 20_000)
    found = rows(6_000)
    buckets = Buckets(tmp_path / "scratch", SCHEMA, 2, "id")
    buckets.write(pa.Table.from_pylist(found, schema=SCHEMA))
    buckets.close()
    portions = [portion for number in range(2) for portion in buckets.in_order(number)]
    assert max(portion.nbytes for portion in portions) < 40_000
    told = [row for portion in portions for row in portion.to_pylist()]
    assert told == sorted(found, key=lambda row: str(row["id"]))


def test_files_go_by_the_text_however_well_it_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A template of a letter packs a hundredfold: what goes by packed bytes would read all of it into one table.
    monkeypatch.setattr(tables, "SHARD_BYTES", 100_000)
    found = [{**row, "text": "Dear customer, thank you for your message. " * 20} for row in rows(1_200)]
    files = write(tmp_path, found, size=500)
    assert len(files) == 1 + (1_200 * (32 + 860)) // 100_000
    assert max(pq.read_metadata(tmp_path / "part" / name).num_rows for name in files) < 400


def test_an_empty_part_has_its_columns(tmp_path: Path) -> None:
    assert list(write(tmp_path, [], size=1)) == ["part-00000.parquet"]
    assert pq.read_schema(tmp_path / "part" / "part-00000.parquet").names == SCHEMA.names


def test_files_are_begun_anew_before_they_get_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "FILE_BYTES", 10_000)
    schema = pa.schema([("id", pa.string()), ("text", pa.string())])
    with tables.Files(tmp_path, "0003", schema) as files:
        for number in range(30):
            files.write({"id": [f"{number:04d}"] * 10, "text": ["x" * (5_000 if number == 7 else 100)] * 10})
    found = [pq.read_table(path) for path in sorted(tmp_path.glob("0003-*.parquet"))]
    assert len(found) > 4
    assert all(table.nbytes <= 10_000 or len(set(table["id"].to_pylist())) == 1 for table in found)
    assert pa.concat_tables(found)["id"].to_pylist() == [f"{number:04d}" for number in range(30) for _ in range(10)]
    with tables.Files(tmp_path, "0004", schema):
        pass
    assert pq.read_table(tmp_path / "0004-00000.parquet").num_rows == 0


def test_row_groups_do_not_tell_how_rows_were_dealt_out(tmp_path: Path) -> None:
    rows = [{"id": f"{number * 40_503 % 65_536:04x}{number:028x}"} for number in range(20_000)]
    schema = pa.schema([("id", pa.string())])
    written = []
    for shards in (1, 20):
        part = tables.SortedPart(tmp_path / str(shards), tmp_path / "scratch", schema, shards)
        part.write(pa.Table.from_pylist(rows, schema=schema))
        part.close()
        written.append((tmp_path / str(shards) / "part-00000.parquet").read_bytes())
    assert written[0] == written[1]
    metadata = pq.ParquetFile(tmp_path / "1" / "part-00000.parquet").metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [8_192, 8_192, 3_616]
