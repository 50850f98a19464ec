"""CSV and TSV, in flat memory, through Python's csv module."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator

from danlu.core.errors import DataError
from danlu.sources.encoding import MAX_LINE_BYTES, Encoding
from danlu.sources.files import File
from danlu.sources.records import Asked, Opened, Position, Row, decoded, encoding_of, named_once, wrong_width

#: A quoted CSV field longer than this many characters is a quote that somebody forgot to close.
MAX_FIELD_CHARACTERS = 1 << 20

_NEVER_CLOSED = "a quote that is never closed"

#: What the csv module says, in words for people.
_SAID_BETTER = {"unexpected end of data": _NEVER_CLOSED, "',' expected after '\"'": "a quote inside a quoted field"}


def open_csv(asked: Asked) -> Opened:
    return _open_delimited(asked, "csv", None)


def open_tsv(asked: Asked) -> Opened:
    return _open_delimited(asked, "tsv", "\t")


def _open_delimited(asked: Asked, format: str, delimiter: str | None) -> Opened:
    encoding = encoding_of(asked)
    delimiter = delimiter or _delimiter(asked.path, encoding)
    position = Position()
    records = _csv_records(decoded(asked.path, encoding, position), delimiter)
    header = next(records, None)
    if header is None or header[1] is None:
        why = header[2] if header else "it has no lines"
        raise DataError(
            f"{asked.path.name} has no header that can be read ({why}). The first line must name the columns, "
            "such as: text,label"
        )
    columns = named_once(asked.path, header[1])

    def rows() -> Iterator[Row]:
        for line, fields, reason in records:
            if fields is None:
                yield Row(line=line, values=None, reason=reason)
            elif len(fields) == len(columns):
                yield Row(line=line, values=dict(zip(columns, fields, strict=True)))
            elif fields:
                yield Row(line=line, values=None, reason=wrong_width(len(fields), len(columns)))

    return Opened(format=format, encoding=encoding, columns=columns, rows=rows(), position=position)


def _delimiter(path: File, encoding: Encoding) -> str:
    """The sign that splits most lines of the file's start into the same number of fields, more than one."""
    start = itertools.islice(decoded(path, encoding), 50)
    sample = [text.replace("\r", " ") for _, text, _ in start if text]
    best, found = (0.0, 0), ","
    for sign in (",", "\t", ";", "|"):
        header = len(next(csv.reader(sample[:1], delimiter=sign), []))
        same = sum(len(fields) == header for fields in csv.reader(sample, delimiter=sign)) / max(1, len(sample))
        if header > 1 and (same, header) > best:
            best, found = (same, header), sign
    return found


class _Lines:
    """Feeds csv.reader, and remembers what it took since the last record, so that it can be given back.

    A quote that is never closed makes csv.reader swallow the rest of the file. When that happens, the lines after
    the first are handed out again, and only the first is lost.
    """

    def __init__(self, source: Iterator[tuple[int, str | None, str]]) -> None:
        self._source = source
        self._again: list[tuple[int, str | None, str]] = []
        self.taken: list[tuple[int, str | None, str]] = []
        self.characters = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.characters > MAX_FIELD_CHARACTERS:
            raise csv.Error(_NEVER_CLOSED)
        entry = self._again.pop() if self._again else next(self._source, None)
        if entry is None:
            raise StopIteration
        self.taken.append(entry)
        if entry[1] is None:
            raise csv.Error(entry[2])
        self.characters += len(entry[1])
        return entry[1]

    def begin(self) -> None:
        """A new record starts with the next line."""
        self.taken.clear()
        self.characters = 0

    def give_back(self, start: int) -> None:
        """Hand out the lines taken since `begin` again, from number `start` on."""
        self._again.extend(reversed(self.taken[start:]))


def _leniently(text: str | None, delimiter: str, width: int) -> list[str]:
    """The fields of one line with stray quotes, if they are as many as the header's; else none."""
    if not text or not width:
        return []
    try:
        fields = next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return []
    return fields if len(fields) == width else []


def _csv_records(
    source: Iterator[tuple[int, str | None, str]], delimiter: str
) -> Iterator[tuple[int, list[str] | None, str]]:
    """`(first line, fields or None, reason)` of each record; the first record is the header.

    Where a record of several lines goes wrong, only its first line is lost: reading starts over behind it.
    """
    csv.field_size_limit(2 * MAX_FIELD_CHARACTERS + MAX_LINE_BYTES)
    feed = _Lines(source)
    # Strict, for else a stray quote glues rows together that look whole.
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    width = 0
    while True:
        feed.begin()
        fields: list[str] = []
        reason = ""
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not feed.taken:
                return
            fields = _leniently(feed.taken[0][1], delimiter, width)
            reason = "" if fields else feed.taken[0][2] or _SAID_BETTER.get(str(error), str(error))
            feed.give_back(1)
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
        line = feed.taken[0][0]
        if len(feed.taken) > 1 and width and len(fields) != width and not reason:
            # Several lines that make no whole record: a quote swallowed them.
            reason = _NEVER_CLOSED
            feed.give_back(1)
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
        if reason:
            yield line, None, reason
        elif fields:
            width = width or len(fields)
            yield line, fields, ""
