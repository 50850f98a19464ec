"""The plan and the data stage read the same rows of every file: they go through the same code."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest

from danlu.core.errors import DataError
from danlu.data.config import DataConfig
from danlu.data.reader import Input, read_sources
from danlu.data.rows import Columns
from danlu.data.tables import Rejects
from danlu.plan.reading import look

LINES = [f"row {number}, with a comma" for number in range(30)]
OBJECTS = "".join(json.dumps({"text": line}) + "\n" for line in LINES)


def read_by_data(config: DataConfig, path: Path, folder: Path) -> list[str]:
    source = Input(position=0, path=path, digest="d" * 64, config=config.sources[0])
    rejects = Rejects(folder / "rejected", folder / "scratch")
    read_sources(
        [source],
        columns=Columns(text=config.text, label=None),
        max_bad_rows=config.max_bad_rows,
        out=folder / "raw",
        rejects=rejects,
        advance=lambda _: None,
    )
    return [text.strip() for text in pq.read_table(folder / "raw").column("text").to_pylist()]


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.json", OBJECTS, 30),
        ("a.json", json.dumps([{"text": line} for line in LINES]), 30),
        ("a.jsonl", "".join(json.dumps(line) + "\n" for line in LINES), 30),
        ("a.json", json.dumps(LINES), 30),
        ("a.jsonl", "".join(json.dumps({"text": number}) + "\n" for number in range(10, 40)), 30),
        ("a.dat", "\n".join(LINES), 30),
        ("a.dat", OBJECTS, 30),
        ("a", "text\tlabel\n" + "".join(f"{line}\tx\n" for line in LINES), 30),
        ("a.csv", "text;label\n" + "".join(f"{line};x\n" for line in LINES), 30),
        ("a.csv", "text,label\n" + "".join(f"{number},x,more\n{number + 100},x\n" for number in range(30)), 30),
        ("a.csv", 'text,label\n"open,x\n' + "".join(f"row {number},x\n" for number in range(30)), 30),
    ],
)
def test_both_read_the_same_rows(name: str, content: str, rows: int, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    config = DataConfig.model_validate({"sources": [{"path": str(path)}]})
    texts = read_by_data(config, path, tmp_path)
    seen = look(config, [path])
    assert len(texts) == seen.rows == rows
    assert sorted(texts) == sorted(row.text for row in seen.sample)


def test_both_read_a_workbook_named_csv(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in [("text", "label"), *((number, "x") for number in range(10, 40))]:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    path = (tmp_path / "a.xlsx").rename(tmp_path / "a.csv")
    config = DataConfig.model_validate({"sources": [{"path": str(path)}]})
    texts = read_by_data(config, path, tmp_path)
    seen = [row.text for row in look(config, [path]).sample]
    assert sorted(texts) == sorted(seen) == [str(number) for number in range(10, 40)]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "body,label\na,x\n"), ("a.jsonl", '{"body": "a"}\n'), ("a.xlsx", "PK no"), ("a.pdf", "%PDF-1.7")],
)
def test_both_refuse_in_the_same_words(name: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    config = DataConfig.model_validate({"sources": [{"path": str(path)}]})
    said = []
    for attempt in (lambda: look(config, [path]), lambda: read_by_data(config, path, tmp_path)):
        with pytest.raises(DataError) as caught:
            attempt()
        said.append(str(caught.value))
    assert said[0] == said[1]
