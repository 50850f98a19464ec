"""Parquet, ORC and Arrow (Feather, Hugging Face data sets), a batch at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

from danlu.core.errors import DataError, first_line
from danlu.sources.files import File
from danlu.sources.records import Asked, Opened, Position, Row

#: Rows turned into Python values at once.
_ROWS = 1024
_BUFFER_BYTES = 1 << 20

#: A batch, and the share of the file that is behind it once it is read.
_Batches = Iterator[tuple[pa.RecordBatch, float]]
_Reader = Callable[[IO[bytes], File], tuple[pa.Schema, _Batches]]

_BROKEN = (pa.ArrowException, OSError, EOFError)


def open_parquet(asked: Asked) -> Opened:
    return _open(asked, "parquet", _parquet)


def open_orc(asked: Asked) -> Opened:
    return _open(asked, "orc", _orc)


def open_arrow(asked: Asked) -> Opened:
    return _open(asked, "arrow", _arrow)


def _open(asked: Asked, format: str, reader: _Reader) -> Opened:
    # Closed when the last row was read, or when it is thrown away.
    stack = contextlib.ExitStack()
    try:
        stream = stack.enter_context(asked.path.seekable())
        schema, found = reader(stream, asked.path)
    except _BROKEN as error:
        stack.close()
        raise _broken(asked.path, format, error) from None
    if len(set(schema.names)) < len(schema.names):
        stack.close()
        twice = next(name for name in schema.names if schema.names.count(name) > 1)
        raise DataError(f"{asked.path.name} has two columns named {twice!r}; give each column its own name.")
    position, size = Position(), asked.path.unpacked_bytes()

    def rows() -> Iterator[Row]:
        number = 0
        with stack:
            try:
                for batch, behind in found:
                    before = position.bytes
                    for start in range(0, batch.num_rows, _ROWS):
                        for place, values in enumerate(_values(batch.slice(start, _ROWS)), start + 1):
                            number += 1
                            position.bytes = round(before + (size * behind - before) * place / batch.num_rows)
                            yield Row(line=number, values=values)
            except (*_BROKEN, ValueError, OverflowError) as error:
                raise _broken(asked.path, format, error, number) from None

    return Opened(format=format, encoding=None, columns=tuple(schema.names), rows=rows(), position=position)


def _values(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch. A moment that Python has no type for, such as one beyond the year 9999, comes as text."""
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError):
        columns = {
            name: column.cast(pa.string()) if pa.types.is_temporal(column.type) else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        return list(pa.RecordBatch.from_pydict(columns).to_pylist())


def _parquet(stream: IO[bytes], _file: File) -> tuple[pa.Schema, _Batches]:
    # With its buffers filled in advance, a reader holds all that it has read of a file until it is closed.
    file = pq.ParquetFile(stream, pre_buffer=False, buffer_size=_BUFFER_BYTES)

    def found() -> _Batches:
        number = 0
        for batch in file.iter_batches(batch_size=_ROWS):
            number += batch.num_rows
            yield batch, number / file.metadata.num_rows

    return file.schema_arrow, found()


def _orc(stream: IO[bytes], _file: File) -> tuple[pa.Schema, _Batches]:
    file = orc.ORCFile(stream)
    # A stripe is at most some hundred MB; ORC writers choose 64 to 256 MiB.
    return file.schema, ((file.read_stripe(n), (n + 1) / file.nstripes) for n in range(file.nstripes))


def _arrow(stream: IO[bytes], file: File) -> tuple[pa.Schema, _Batches]:
    """The file form (Feather) starts with a magic word; the stream form, which `datasets` writes, does not."""
    source = stream if file.packed else pa.memory_map(str(file.path))
    if source.read(6) == b"ARROW1":
        reader = pa.ipc.open_file(source)
        count = reader.num_record_batches
        return reader.schema, ((reader.get_batch(n), (n + 1) / count) for n in range(count))
    source.seek(0)
    stream_reader = pa.ipc.open_stream(source)
    size = file.unpacked_bytes()
    return stream_reader.schema, ((batch, min(1.0, source.tell() / size)) for batch in stream_reader)


_NAMES = {"parquet": "a Parquet file", "orc": "an ORC file", "arrow": "an Arrow file"}


def _broken(file: File, format: str, error: Exception, rows: int = 0) -> DataError:
    said = first_line(error, 120)
    where = f" after row {rows:,}" if rows else ""
    return DataError(f"{file.name} is not {_NAMES[format]} that can be read{where} ({said}). Was it copied whole?")
