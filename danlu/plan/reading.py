"""A quick look at the data: how many rows there are, and how long their texts are.

This is no reader for training (the data stage is): it reads at most `_MOST_BYTES` of each source, counts what it
finds there, and scales up to the size of the file. What it cannot read it skips; the data stage says why a row is
bad. Encoding is one guess for the file.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq

from danlu.core.errors import DataError
from danlu.plan.config import DataConfig, SourceConfig

#: Most bytes of one source that are looked at; the rest is counted by proportion.
_MOST_BYTES = 48 << 20
#: Most texts kept for the tokenizer.
_MOST_TEXTS = 2_000
#: Longest CSV field in characters; a longer one is a quote that was not closed.
_MOST_FIELD = 4 << 20

_ENDINGS: dict[str, str] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".txt": "text",
    ".text": "text",
}
_SEPARATORS = (",", "\t", ";", "|")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look at the sources gave.

    `rows`: records in all sources, `distinct`: different texts among them that the length limits of the recipe
    keep, both scaled up where a file was not read to its end (then `whole` is False). `texts`: a random sample of
    the distinct texts, in a fixed order. `characters`: mean length of a distinct text.
    """

    rows: int
    distinct: int
    texts: list[str]
    characters: float
    bytes: int
    whole: bool


@dataclass(frozen=True, kw_only=True)
class _Prefix:
    """The first part of a file as text. `share` is how much of the file it is, from 0 to 1."""

    text: str
    share: float


def look(config: DataConfig, paths: list[Path]) -> Look:
    """Look at every source of `config`; `paths` are its local files in the same order.

    Raises `DataError` for an empty or unreadable file, an encoding that does not exist or does not fit, a text
    column that is not there, and sources without a single readable row.
    """
    rows = distinct = 0.0
    characters = seen_texts = 0
    whole = True
    known: set[bytes] = set()
    keep: list[str] = []
    draw = random.Random(config.seed)
    for source, path in zip(config.sources, paths, strict=True):
        share, found = _open(config, source, path)
        count = new = 0
        for text in found:
            count += 1
            if not config.min_characters <= len(text) <= config.max_characters:
                continue
            mark = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).digest()
            if mark in known:
                continue
            known.add(mark)
            new += 1
            characters += len(text)
            seen_texts += 1
            if len(keep) < _MOST_TEXTS:
                keep.append(text)
            elif (place := draw.randrange(seen_texts)) < _MOST_TEXTS:
                keep[place] = text
        if count == 0:
            raise DataError(
                f"No row of {path.name} could be read. Expected records with a column {config.text!r}; up to "
                f"data.max_bad_rows ({config.max_bad_rows}) bad rows are passed over, but here every one is bad. "
                "Check the file and data.sources[].format."
            )
        rows += count / share
        distinct += new / share
        whole = whole and share == 1.0
    return Look(
        rows=round(rows),
        distinct=round(distinct),
        texts=keep,
        characters=characters / max(1, seen_texts),
        bytes=sum(path.stat().st_size for path in paths),
        whole=whole,
    )


def _open(config: DataConfig, source: SourceConfig, path: Path) -> tuple[float, Iterator[str]]:
    """`(share of the file that is read, its texts)`."""
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; expected a data file. List its files under data.sources.")
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty (0 bytes); expected rows of data. Was it saved or copied whole?")
    name = _format(path) if source.format == "auto" else source.format
    if name in _BY_LIBRARY:
        return _BY_LIBRARY[name](config, source, path)
    prefix = _prefix(path, source.encoding)
    return prefix.share, _FROM_TEXT[name](prefix.text, config.text, path.name)


def _format(path: Path) -> str:
    known = _ENDINGS.get(path.suffix.lower())
    if known is not None:
        return known
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"PK\x03\x04"):
        return "excel"
    stripped = start.lstrip(b"\xef\xbb\xbf \r\n\t")
    if stripped.startswith(b"{"):
        return "jsonl"
    if stripped.startswith(b"["):
        return "json"
    return "csv" if b"," in start.partition(b"\n")[0] else "text"


def _prefix(path: Path, encoding: str) -> _Prefix:
    size = path.stat().st_size
    with path.open("rb") as file:
        raw = file.read(_MOST_BYTES)
    if size > len(raw):
        raw = raw[: raw.rfind(b"\n") + 1] or raw
    share = 1.0 if size <= len(raw) else len(raw) / size
    if encoding != "auto":
        try:
            text = codecs.lookup(encoding).decode(raw, "replace")[0]
        except LookupError:
            raise DataError(
                f"There is no encoding {encoding!r}. Known ones are utf-8, gb18030, utf-16; or leave it at auto."
            ) from None
        if text.count("�") > max(20, len(text) // 50):
            raise DataError(
                f"{path.name} is not {encoding} text: {text.count('�'):,} of {len(text):,} characters cannot be read. "
                "Set the right encoding of this source, or leave it at auto."
            )
        return _Prefix(text=text.removeprefix("﻿"), share=share)
    return _Prefix(text=_guess(raw), share=share)


def _guess(raw: bytes) -> str:
    """Decode by byte-order mark, else as UTF-8, else as GB18030 when that has fewer broken places."""
    for mark, name in (
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
        (codecs.BOM_UTF8, "utf-8-sig"),
    ):
        if raw.startswith(mark):
            return raw.decode(name, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        tries = [raw.decode(name, "replace") for name in ("utf-8", "gb18030")]
        return min(tries, key=lambda text: text.count("�"))


def _of_text(text: str, _column: str, _name: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip())


def _of_delimited(separator: str | None) -> Callable[[str, str, str], Iterator[str]]:
    def read(text: str, column: str, name: str) -> Iterator[str]:
        header = text[:65_536].partition("\n")[0]
        delimiter = separator or max(_SEPARATORS, key=header.count)
        csv.field_size_limit(_MOST_FIELD)
        reader = csv.reader(io.StringIO(text.replace("\0", "")), delimiter=delimiter)
        try:
            names = [cell.strip() for cell in next(reader, [])]
        except csv.Error:
            names = []
        place = _place(names, column, name)
        while True:
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error:
                continue
            if len(record) > place and record[place].strip():
                yield record[place].strip()

    return read


def _place(names: list[str], column: str, name: str) -> int:
    if column in names:
        return names.index(column)
    shown = ", ".join(repr(cell[:40]) for cell in names[:12]) or "none"
    raise DataError(f"{name} has no column {column!r}. Its columns: {shown}. Set data.text to the one with the text.")


def _of_jsonl(text: str, column: str, name: str) -> Iterator[str]:
    def records() -> Iterator[Any]:
        for line in text.splitlines():
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError):
                    continue

    return _of_records(records(), column, name)


def _of_json(text: str, column: str, name: str) -> Iterator[str]:
    def records() -> Iterator[Any]:
        decoder = json.JSONDecoder()
        position = text.find("[") + 1
        while position:
            while position < len(text) and text[position] in " \t\r\n,":
                position += 1
            try:
                record, position = decoder.raw_decode(text, position)
            except (ValueError, RecursionError):
                return
            yield record

    return _of_records(records(), column, name)


def _of_records(records: Iterable[Any], column: str, name: str) -> Iterator[str]:
    """Texts of JSON objects. Raises `DataError` when there are objects and none has the column."""
    found = False
    names: dict[str, None] = {}
    for record in records:
        if not isinstance(record, dict):
            continue
        value = record.get(column)
        if isinstance(value, str) and value.strip():
            found = True
            yield value.strip()
        elif not found and len(names) < 12:
            names.update(dict.fromkeys(record))
    if not found and names:
        _place(list(names), column, name)


def _of_parquet(config: DataConfig, _source: SourceConfig, path: Path) -> tuple[float, Iterator[str]]:
    try:
        file = pq.ParquetFile(path)
    except Exception as error:  # pyarrow raises its own and OSError for every kind of bad file
        raise DataError(f"{path.name} is not a Parquet file: {str(error).splitlines()[0]}.") from error
    _place(file.schema_arrow.names, config.text, path.name)
    rows = file.metadata.num_rows
    limit = max(1, round(rows * min(1.0, _MOST_BYTES / max(1, path.stat().st_size))))

    def texts() -> Iterator[str]:
        left = limit
        for batch in file.iter_batches(batch_size=8_192, columns=[config.text]):
            for value in batch.column(0).to_pylist()[:left]:
                if isinstance(value, str) and value.strip():
                    yield value.strip()
            left -= batch.num_rows
            if left <= 0:
                return

    return (limit / rows if rows else 1.0), texts()


def _of_excel(config: DataConfig, source: SourceConfig, path: Path) -> tuple[float, Iterator[str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl lets errors of zip, XML and its own through
        raise DataError(f"{path.name} is not an Excel workbook (.xlsx): {error}.") from error
    if source.sheet is not None and source.sheet not in book.sheetnames:
        raise DataError(f"{path.name} has no sheet {source.sheet!r}. Its sheets: {', '.join(book.sheetnames)}.")
    sheet = book[source.sheet] if source.sheet is not None else book[book.sheetnames[0]]
    rows = sheet.iter_rows(values_only=True)
    header = ["" if cell is None else str(cell).strip() for cell in next(rows, ())]
    place = _place(header, config.text, path.name)

    def texts() -> Iterator[str]:
        for row in rows:
            if len(row) > place and row[place] is not None and str(row[place]).strip():
                yield str(row[place]).strip()
        book.close()

    return 1.0, texts()


_FROM_TEXT: dict[str, Callable[[str, str, str], Iterator[str]]] = {
    "text": _of_text,
    "csv": _of_delimited(None),
    "tsv": _of_delimited("\t"),
    "jsonl": _of_jsonl,
    "json": _of_json,
}
_BY_LIBRARY: dict[str, Callable[[DataConfig, SourceConfig, Path], tuple[float, Iterator[str]]]] = {
    "parquet": _of_parquet,
    "excel": _of_excel,
}
