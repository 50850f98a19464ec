"""File formats as rows of a table: each opens a file and yields its records one by one, in flat memory.

A record that cannot be read is yielded too, with the reason, so that it can be counted and traced.
"""

from __future__ import annotations

import itertools
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl.utils.exceptions import InvalidFileException

from danlu.core.errors import DataError
from danlu.sources.delimited import open_csv, open_tsv
from danlu.sources.encoding import CHUNK_BYTES
from danlu.sources.json_files import open_json, open_jsonl
from danlu.sources.records import (
    TEXT_COLUMN,
    Asked,
    Opened,
    Position,
    Row,
    decoded,
    encoding_of,
    named_once,
    short,
    wrong_width,
)


def open_file(path: Path, *, format: str = "auto", encoding: str = "auto", sheet: str | None = None) -> Opened:
    """Open a data file.

    Raises `DataError` for a file that is missing, empty, a folder, of another format than asked for, or without a
    header.
    """
    if not path.exists():
        raise DataError(f"There is no file {str(path)!r}. Check the path in data.sources.")
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
        hint = f" It holds {', '.join(names[:5])}." if names else " It is empty."
        raise DataError(f"{str(path)!r} is a folder; expected a data file. List its files under data.sources.{hint}")
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty (0 bytes); expected rows of data. Was it saved or copied whole?")
    try:
        name = guess_format(path) if format == "auto" else format
        return FORMATS[name](Asked(path=path, encoding=encoding, sheet=sheet))
    except PermissionError:
        raise DataError(f"No permission to read {str(path)!r}. Give yourself read access to it.") from None


def guess_format(path: Path) -> str:
    """The format of a file, by its first bytes where they are plain, by its ending, then by what its text looks like.

    Raises `DataError` for a format that Danlu does not read.
    """
    with path.open("rb") as file:
        head = file.read(CHUNK_BYTES)
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    for magic, what in _REFUSED:
        if head.startswith(magic):
            raise DataError(
                f"{path.name} is {what}, which Danlu does not read. Save it as CSV, Excel (.xlsx), JSON Lines, Parquet "
                "or plain text."
            )
    ending = path.suffix.lower()
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text[:1] in {"{", "["}:
        return "jsonl" if text[0] == "{" else "json"
    first = text.split("\n", 1)[0]
    return "tsv" if "\t" in first else "text"


def _open_text(asked: Asked) -> Opened:
    encoding = encoding_of(asked)
    position = Position()

    def rows() -> Iterator[Row]:
        for number, text, reason in decoded(asked.path, encoding, position):
            if text is None:
                yield Row(line=number, values=None, reason=reason)
            elif text.strip():
                yield Row(line=number, values={TEXT_COLUMN: text})

    return Opened(format="text", encoding=encoding, columns=(TEXT_COLUMN,), rows=rows(), position=position)


def _open_excel(asked: Asked) -> Opened:
    # An open file, for openpyxl refuses a path by its ending; it stays open while rows are read from it.
    file = asked.path.open("rb")
    try:
        with warnings.catch_warnings():
            # Missing styles and the like say nothing about the cells.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, ElementTree.ParseError, KeyError, ValueError, OSError) as error:
        file.close()
        raise _broken_excel(asked.path, error) from None
    if asked.sheet is not None and asked.sheet not in book.sheetnames:
        raise DataError(
            f"{asked.path.name} has no sheet {asked.sheet!r}. Its sheets: {', '.join(map(repr, book.sheetnames))}."
        )
    sheet = book[asked.sheet] if asked.sheet is not None else book.worksheets[0]
    # Some programs write a wrong size into the file; without it, every row is read to its end.
    sheet.reset_dimensions()
    cells = sheet.iter_rows(values_only=True)
    header = next(cells, None)
    if not header or all(cell is None for cell in header):
        raise DataError(
            f"{asked.path.name}: the first row of sheet {sheet.title!r} is empty; it must name the columns."
        )
    columns = named_once(asked.path, _filled(header))

    def rows() -> Iterator[Row]:
        try:
            for number, values in enumerate(cells, 2):
                filled = _filled(values)
                if len(filled) > len(columns):
                    yield Row(line=number, values=None, reason=wrong_width(len(filled), len(columns)))
                elif filled:
                    # Excel keeps no empty cells at a row's end.
                    padded = itertools.chain(filled, itertools.repeat(None))
                    yield Row(line=number, values=dict(zip(columns, padded, strict=False)))
        except (zipfile.BadZipFile, ElementTree.ParseError) as error:
            raise _broken_excel(asked.path, error) from None

    return Opened(format="excel", encoding=None, columns=columns, rows=rows())


def _filled(cells: Sequence[Any]) -> Sequence[Any]:
    """A row without the empty cells at its end."""
    width = next((place for place in range(len(cells), 0, -1) if cells[place - 1] not in (None, "")), 0)
    return cells[:width]


def _broken_excel(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path.name} is not an Excel file that can be read ({short(error)}). Expected .xlsx; save it again from "
        "Excel, or as CSV."
    )


def _open_parquet(asked: Asked) -> Opened:
    try:
        file = pq.ParquetFile(asked.path)
    except (pa.ArrowInvalid, OSError) as error:
        raise _broken_parquet(asked.path, error) from None

    position, size = Position(), asked.path.stat().st_size

    def rows() -> Iterator[Row]:
        number = 0
        try:
            for batch in file.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    position.bytes = size * number // file.metadata.num_rows
                    yield Row(line=number, values=values)
        except (pa.ArrowInvalid, OSError) as error:
            raise _broken_parquet(asked.path, error) from None

    return Opened(
        format="parquet", encoding=None, columns=tuple(file.schema_arrow.names), rows=rows(), position=position
    )


def _broken_parquet(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path.name} is not a Parquet file that can be read ({str(error).splitlines()[0][:120]}). Was it copied whole?"
    )


#: How each format is opened. A new format is one function and one row.
FORMATS: dict[str, Callable[[Asked], Opened]] = {
    "csv": open_csv,
    "tsv": open_tsv,
    "excel": _open_excel,
    "jsonl": open_jsonl,
    "json": open_json,
    "parquet": _open_parquet,
    "text": _open_text,
}

_ENDINGS: dict[str, str] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".txt": "text",
}

_MAGIC: tuple[tuple[bytes, str], ...] = ((b"PAR1", "parquet"), (b"PK\x03\x04", "excel"))

_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file (.xls, .doc)"),
    (b"%PDF", "a PDF file"),
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)"),
    (b"SQLite format 3", "an SQLite database"),
)
