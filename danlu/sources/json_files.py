"""JSON Lines, and one large JSON list, in flat memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from danlu.core.errors import DataError
from danlu.sources.encoding import MAX_LINE_BYTES, Encoding
from danlu.sources.files import CHUNK_BYTES, File
from danlu.sources.records import TEXT_COLUMN, Asked, Opened, Position, Row, decoded, encoding_of, short


def open_jsonl(asked: Asked) -> Opened:
    encoding = encoding_of(asked)
    position = Position()

    def rows() -> Iterator[Row]:
        for number, text, reason in decoded(asked.path, encoding, position):
            if text is None:
                yield Row(line=number, values=None, reason=reason)
            elif text.strip():
                yield _json_row(number, text)

    return Opened(format="jsonl", encoding=encoding, columns=(), rows=rows(), position=position)


def _json_row(line: int, text: str) -> Row:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Row(line=line, values=None, reason=f"not JSON: {short(error)}")
    return _as_row(line, value)


def _as_row(line: int, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(line=line, values=value)
    if isinstance(value, str):
        return Row(line=line, values={TEXT_COLUMN: value})
    return Row(line=line, values=None, reason=f"a JSON {_JSON_NAMES.get(type(value), 'value')}, not an object")


_JSON_NAMES: dict[type, str] = {list: "list", int: "number", float: "number", bool: "true or false", type(None): "null"}


def open_json(asked: Asked) -> Opened:
    encoding = encoding_of(asked)
    first = next((text for _, text, _ in decoded(asked.path, encoding) if text and text.strip()), "").lstrip()
    if first.startswith("{"):
        try:
            single = json.loads(first)
        except ValueError:
            single = None
        if isinstance(single, dict):
            return open_jsonl(asked)
    if not first.startswith("["):
        raise DataError(
            f"{asked.path.name} is not the JSON that Danlu reads: expected a list of objects, [{{...}}, ...], or one "
            f"object a line. It starts with {first[:20]!r}."
        )
    position = Position()
    rows = _json_list(asked.path, encoding, position)
    return Opened(format="json", encoding=encoding, columns=(), rows=rows, position=position)


def _json_list(path: File, encoding: Encoding, position_in_file: Position) -> Iterator[Row]:
    """The items of one large JSON list; only a few items are in memory at a time.

    Raises `DataError` where the list itself is broken: what follows cannot be told apart any more.
    """
    decoder = json.JSONDecoder()
    source = decoded(path, encoding, position_in_file)
    buffer = _take(path, source, CHUNK_BYTES)
    position = buffer.index("[") + 1
    line = 1 + buffer.count("\n", 0, position)
    ended = False
    while True:
        start = position
        while position < len(buffer) and buffer[position] in " \t\r\n,":
            position += 1
        line += buffer.count("\n", start, position)
        problem = "the list is never closed"
        if position < len(buffer):
            if buffer[position] == "]":
                return
            try:
                value, end = decoder.raw_decode(buffer, position)
            except (ValueError, RecursionError) as error:
                problem = short(error)
            else:
                # A number or word at the buffer's end may go on in the next line.
                if end < len(buffer) or ended:
                    yield _as_row(line, value)
                    line += buffer.count("\n", position, end)
                    position = end
                    continue
        rest = buffer[position:]
        if ended or len(rest) > MAX_LINE_BYTES:
            raise _broken_list(path, line, problem)
        more = _take(path, source, max(CHUNK_BYTES, len(rest)))
        buffer, position, ended = rest + more, 0, not more


def _take(path: File, source: Iterator[tuple[int, str | None, str]], characters: int) -> str:
    """The next lines, until there are so many characters; empty at the end of the file."""
    pieces: list[str] = []
    for number, text, reason in source:
        if text is None:
            raise _broken_list(path, number, reason)
        pieces.append(text)
        characters -= len(text)
        if characters <= 0:
            break
    return "".join(pieces)


def _broken_list(path: File, line: int, reason: str) -> DataError:
    return DataError(
        f"{path.name}:{line}: the JSON list is broken here ({reason}). Mend it, or save one object a line (JSON "
        "Lines), where a broken line costs only itself."
    )
