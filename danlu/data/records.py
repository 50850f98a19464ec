"""What reading a file yields, and what the formats share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.core.errors import DataError
from danlu.data.encoding import MAX_LINE_BYTES, Encoding, check, detect, line_encoding, lines

TEXT_COLUMN = "text"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One record: the line of the file (or row of the sheet) it starts at, counted from 1, and its values.

    `values` is None for a record that cannot be read; `reason` then says why.
    """

    line: int
    values: Mapping[str, Any] | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A file ready to be read. `columns` is empty where every record names its own (JSON)."""

    format: str
    encoding: Encoding | None
    columns: tuple[str, ...]
    rows: Iterator[Row]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the recipe says about a file."""

    path: Path
    encoding: str = "auto"
    sheet: str | None = None


def encoding_of(asked: Asked) -> Encoding:
    """The encoding asked for, checked, or the one detected."""
    return detect(asked.path) if asked.encoding == "auto" else check(asked.path, asked.encoding)


def decoded(path: Path, encoding: Encoding) -> Iterator[tuple[int, str | None, str]]:
    """`(line number, text or None, reason)` of each line."""
    name = line_encoding(encoding.name)
    for number, line in enumerate(lines(path, encoding.name), 1):
        if line is None:
            yield number, None, f"longer than {MAX_LINE_BYTES >> 20} MiB"
            continue
        try:
            yield number, line.decode(name), ""
        except UnicodeDecodeError as error:
            yield number, None, f"not {encoding.name}: byte 0x{line[error.start]:02x}"


def named_once(path: Path, header: Iterable[Any]) -> tuple[str, ...]:
    """The column names of a header; raises `DataError` when two are equal."""
    columns = tuple("" if cell is None else str(cell).strip() for cell in header)
    twice = [name for name, count in Counter(columns).items() if count > 1 and name]
    if twice:
        raise DataError(f"{path.name} has two columns named {twice[0]!r}; give each column its own name.")
    return columns


def short(error: Exception) -> str:
    """An error's message without its place, which is told in our own words."""
    return getattr(error, "msg", None) or type(error).__name__
