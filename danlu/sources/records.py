"""What reading a file yields, and what the formats share."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from danlu.core.errors import DataError
from danlu.sources.encoding import MAX_LINE_BYTES, Encoding, bytes_in_file, check, detect, line_encoding, lines
from danlu.sources.files import File, Readable

TEXT_COLUMN = "text"

#: Formats without columns: each record is a text (a line of it, a page, a document).
TEXT_FORMATS = ("text", "word", "pdf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One record: the line of the file (row of the sheet, page) it starts at, counted from 1, and its values.

    `values` is None for a record that cannot be read; `reason` then says why.
    """

    line: int
    values: Mapping[str, Any] | None
    reason: str = ""


@dataclass(kw_only=True)
class Position:
    """About how many (unpacked) bytes of a file were needed so far; 0 where that is not known (Excel)."""

    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A file ready to be read. `columns` is empty where every record names its own (JSON)."""

    format: str
    encoding: Encoding | None
    columns: tuple[str, ...]
    rows: Iterator[Row]
    position: Position = field(default_factory=Position)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the recipe says about a file."""

    path: File
    encoding: str = "auto"
    sheet: str | None = None


def encoding_of(asked: Asked) -> Encoding:
    """The encoding asked for, checked, or the one detected."""
    return detect(asked.path) if asked.encoding == "auto" else check(asked.path, asked.encoding)


def decoded(
    path: Readable, encoding: Encoding, position: Position | None = None
) -> Iterator[tuple[int, str | None, str]]:
    """`(line number, text or None, reason)` of each line; moves `position` behind it."""
    position = position or Position()
    name = line_encoding(encoding.name)
    for number, line in enumerate(lines(path, encoding.name), 1):
        position.bytes += MAX_LINE_BYTES if line is None else bytes_in_file(line, encoding.name)
        if line is None:
            yield number, None, f"longer than {MAX_LINE_BYTES >> 20} MiB"
            continue
        try:
            yield number, line.decode(name), ""
        except UnicodeDecodeError as error:
            yield number, None, f"not {encoding.name}: byte 0x{line[error.start]:02x}"


def named_once(path: Readable, header: Iterable[Any]) -> tuple[str, ...]:
    """The column names of a header; one without a name is called after its place, such as `column 3`.

    Raises `DataError` when two are equal.
    """
    cells = ("" if cell is None else str(cell).strip() for cell in header)
    columns = tuple(cell or f"column {number}" for number, cell in enumerate(cells, 1))
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise DataError(f"{path.name} has two columns named {twice[0]!r}; give each column its own name.")
    return columns


def wrong_width(fields: int, columns: int) -> str:
    """Why a record of a table with too many or too few fields is refused."""
    return f"{fields} field{'s' * (fields != 1)} where the header has {columns}"


def short(error: Exception) -> str:
    """An error's message without its place, which is told in our own words."""
    return getattr(error, "msg", None) or type(error).__name__


def missing_column(name: str, column: str, opened: Opened, columns: tuple[str, ...] = ()) -> DataError:
    """The error for a column that a file does not have; names the nearest ones."""
    if opened.format in TEXT_FORMATS:
        kind = "plain text" if opened.format == "text" else f"a {opened.format.capitalize()} document"
        return DataError(
            f"{name} is {kind}, which has no column {column!r}. Give the source one label for all of it "
            "(label: NAME beside its path), or set task: generate."
        )
    columns = columns or opened.columns
    folded = {known.casefold(): known for known in columns}
    near = [folded[key] for key in difflib.get_close_matches(column.casefold(), list(folded), n=3, cutoff=0.5)]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    listed = ", ".join(map(repr, columns[:20]))
    return DataError(
        f"{name} has no column {column!r}. Its columns: {listed}.{hint} Set data.text and data.label to the columns of "
        "your file; the first line of a table must name them."
    )
