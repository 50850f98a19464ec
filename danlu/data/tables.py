"""The stage's tables on disk: their columns, and how they are written in flat memory and in one fixed order."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from danlu.data.columns.cells import BESIDE
from danlu.data.targets import COLUMNS

#: A batch ends at so many rows or characters, whichever comes first.
BATCH_ROWS = 4096
BATCH_CHARACTERS = 8 << 20

#: Bytes that are read of a column of a file at once.
_BUFFER_BYTES = 1 << 20

#: About how much text one file of a part holds, in bytes of UTF-8. Larger corpora get more files.
SHARD_BYTES = 64 << 20

_ROW_GROUP = 8_192

#: What the reader writes. `place` orders all records: the source's position, then the record's number in it. A record
#: of instruction data has its turns in `parts`, `roles` and `learn`, one entry a turn, and the answer that was liked
#: less in `rejected`; a plain text has `text` alone, a pair its two texts in `parts`. `columns` are the cells beside
#: the text as they are kept (`danlu.sources.cells`). `time` is as the file has it.
RAW = pa.schema(
    [
        ("id", pa.string()),
        ("place", pa.int64()),
        ("origin", pa.string()),
        ("source", pa.int32()),
        ("text", pa.string()),
        ("parts", pa.list_(pa.string())),
        ("roles", pa.list_(pa.string())),
        ("learn", pa.list_(pa.bool_())),
        ("rejected", pa.string()),
        ("label", pa.string()),
        ("columns", pa.string()),
        ("subject", pa.string()),
        ("conversation", pa.string()),
        ("time", pa.string()),
    ]
)

#: What the row-wise steps leave: masked text and its hash.
CLEAN = pa.schema([*RAW, pa.field("content", pa.string())])

_TURN = pa.struct([("role", pa.string()), ("text", pa.string()), ("learn", pa.bool_())])

#: The corpus, as every later stage reads it. `label` is there for classify, `labels` for tag, `value` for regress,
#: `turns` and `rejected` for generate, `pair` (the text that belongs to `text`) for embed and where the recipe names
#: it, `numbers` and `categories` (the cells beside the text, by name; a missing one is not there) where it names
#: columns. `content` is the hash of all that is asked. `text` is all turns, one below the other. Rows that were added
#: to train have a `parent` and the `operation` that made them. `time` is in seconds since 1970, UTC.
CORPUS = pa.schema(
    [
        ("id", pa.string()),
        ("content", pa.string()),
        ("text", pa.string()),
        ("pair", pa.string()),
        *BESIDE.items(),
        *COLUMNS.items(),
        ("turns", pa.list_(_TURN)),
        ("rejected", pa.string()),
        ("source", pa.string()),
        ("origin", pa.string()),
        ("licence", pa.string()),
        ("consent", pa.string()),
        ("subject", pa.string()),
        ("conversation", pa.string()),
        ("time", pa.int64()),
        ("cluster", pa.string()),
        ("fold", pa.int8()),
        ("parent", pa.string()),
        ("operation", pa.string()),
    ]
)

REJECTED = pa.schema(
    [
        ("id", pa.string()),
        ("origin", pa.string()),
        ("reason", pa.string()),
        ("step", pa.string()),
        ("text", pa.string()),
    ]
)


#: Values that look like an identity or card number but fail their checksum, for a person to look at: their kind, and
#: where the row came from. The value itself is not kept.
NEAR_MISSES = pa.schema([("id", pa.string()), ("origin", pa.string()), ("kind", pa.string())])


class Writer:
    """A Parquet file, written a batch at a time."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self.rows = 0

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def write(self, columns: Mapping[str, list[Any]] | pa.RecordBatch | pa.Table) -> None:
        """Append rows, given as lists by column name or as an Arrow table."""
        if isinstance(columns, pa.RecordBatch | pa.Table):
            table = pa.table(columns) if isinstance(columns, pa.RecordBatch) else columns
        else:
            table = pa.table(dict(columns), schema=self._schema)
        if table.num_rows:
            self._writer.write_table(table.cast(self._schema))
            self.rows += table.num_rows


#: About how many bytes of Arrow buffers a file of `Files` holds.
FILE_BYTES = 32 << 20


class Files:
    """Parquet files `PREFIX-NNNNN.parquet` in a folder, written a batch at a time, none much larger than `FILE_BYTES`.

    What reads one file after the other needs no more memory for many rows than for some.
    """

    def __init__(self, folder: Path, prefix: str, schema: pa.Schema) -> None:
        self._folder = folder
        self._prefix = prefix
        self._schema = schema
        self._number = 0
        self._bytes = 0
        self._writer = self._next()

    def _next(self) -> Writer:
        return Writer(self._folder / f"{self._prefix}-{self._number:05d}.parquet", self._schema)

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def write(self, columns: Mapping[str, list[Any]]) -> None:
        """Append rows, given as lists by column name."""
        table = pa.table(dict(columns), schema=self._schema)
        if self._bytes and self._bytes + table.nbytes > FILE_BYTES:
            with self._writer:
                pass
            self._number, self._bytes = self._number + 1, 0
            self._writer = self._next()
        self._writer.write(table)
        self._bytes += table.nbytes


#: Rows that wait in memory before they are dealt out, in bytes of Arrow buffers.
_WAITING_BYTES = 16 << 20

#: Files that rows are dealt out to: enough that one of them fits in memory, few enough to be open at once.
_LEAST_BUCKETS, _MOST_BUCKETS = 16, 128

#: From so many bytes on a file is dealt out to others again rather than sorted whole, which takes three copies of it.
_SORTED_BYTES = 16 << 20

#: Ends of what the first eight hex digits of a hash may say.
_ALL = (0, 1 << 32)


class Buckets:
    """Rows dealt out to `count` files by the first eight hex digits of a column of hashes: file n has the n-th range.

    `ends`: those digits as a number are at least the first of these and below the second. What has not been written is
    at most 16 MiB and a batch, and what is written leaves nothing behind (as the footers of many Parquet files that are
    written at once would). `text_bytes` counts what came in columns of text.
    """

    def __init__(self, scratch: Path, schema: pa.Schema, count: int, column: str, ends: tuple[int, int] = _ALL) -> None:
        self.count = count
        self.rows = 0
        self._ends = ends
        self._bytes: Counter[int] = Counter()
        self.text_bytes = 0
        self._scratch = scratch
        self._schema = schema
        self._column = column
        self._files: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0

    def write(self, table: pa.Table) -> None:
        """Add rows, in any order."""
        if not table.num_rows:
            return
        table = table.select(self._schema.names).cast(self._schema)
        self.rows += table.num_rows
        self.text_bytes += sum(
            pc.sum(pc.binary_length(table[field.name])).as_py() or 0
            for field in self._schema
            if pa.types.is_string(field.type)
        )
        self._waiting.append(table)
        self._waiting_bytes += table.nbytes
        if self._waiting_bytes >= _WAITING_BYTES:
            self._deal_out()

    def _deal_out(self) -> None:
        """Sort what waits by its file, once, rather than look through it for each of them."""
        for table in self._waiting:
            numbers = self._numbers(table)
            order = np.argsort(numbers, kind="stable")
            dealt = table.take(pa.array(order))
            present, starts = np.unique(numbers[order], return_index=True)
            for number, start, stop in zip(
                present.tolist(), starts.tolist(), [*starts[1:].tolist(), len(numbers)], strict=True
            ):
                if number not in self._files:
                    self._scratch.mkdir(parents=True, exist_ok=True)
                    self._files[number] = pa.ipc.new_stream(
                        self._path(number), self._schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
                    )
                some = dealt.slice(start, stop - start)
                self._files[number].write_table(some)
                self._bytes[number] += some.nbytes
        self._waiting, self._waiting_bytes = [], 0

    def _numbers(self, table: pa.Table) -> npt.NDArray[np.int64]:
        first, end = self._ends
        prefixes = (int(value[:8], 16) for value in table[self._column].to_pylist())
        return (np.fromiter(prefixes, dtype=np.int64, count=table.num_rows) - first) * self.count // (end - first)

    def _path(self, number: int) -> str:
        return str(self._scratch / f"{number:05d}.arrows")

    def close(self) -> None:
        """To be called before anything is read. Few rows stay where they are."""
        if self._files:
            self._deal_out()
        for writer in self._files.values():
            writer.close()

    def read(self, number: int) -> pa.Table:
        """The rows of one file."""
        found = [self._schema.empty_table()]
        if number in self._files:
            with pa.ipc.open_stream(self._path(number)) as reader:
                found.append(reader.read_all())
        found += [table.filter(pa.array(self._numbers(table) == number)) for table in self._waiting]
        return pa.concat_tables(found)

    def in_order(self, number: int) -> Iterator[pa.Table]:
        """The rows of one file by the column, in portions of a few MiB however many there are."""
        first, end = (
            self._ends[0] + -(-place * (self._ends[1] - self._ends[0]) // self.count) for place in (number, number + 1)
        )
        if self._bytes[number] < _SORTED_BYTES or end - first < _LEAST_BUCKETS:
            yield self.read(number).sort_by(self._column)
            return
        parts = Buckets(self._scratch / f"{number:05d}", self._schema, _LEAST_BUCKETS, self._column, (first, end))
        with pa.ipc.open_stream(self._path(number)) as reader:
            for batch in reader:
                parts.write(pa.Table.from_batches([batch]))
        for table in self._waiting:
            parts.write(table.filter(pa.array(self._numbers(table) == number)))
        parts.close()
        for part in range(parts.count):
            yield from parts.in_order(part)
        parts.remove()

    def remove(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)


class SortedPart:
    """A folder of Parquet files whose rows, taken together, are sorted by id.

    An id is a hash, so its first digits deal rows out evenly to files of one's own, each of which is sorted in memory
    when the part is closed. How many files come of it goes by the text that came, `SHARD_BYTES` for each; neither that
    nor their bytes depend on the order in which rows came. Memory does not grow with the rows.
    """

    def __init__(self, folder: Path, scratch: Path, schema: pa.Schema, shards: int) -> None:
        """`shards` is a guess at how many files there will be: rows are dealt out to four times as many, or more."""
        self._folder = folder
        self._schema = schema
        self._buckets = Buckets(scratch, schema, min(_MOST_BUCKETS, max(_LEAST_BUCKETS, 4 * shards)), "id")

    @property
    def rows(self) -> int:
        return self._buckets.rows

    def write(self, table: pa.Table) -> None:
        """Add rows, in any order."""
        self._buckets.write(table)

    def close(self) -> None:
        """Sort and write the files; an empty part still gets one file, so that its columns can be read."""
        self._folder.mkdir(parents=True, exist_ok=True)
        count = self._buckets.count
        files = min(count, 1 + self._buckets.text_bytes // SHARD_BYTES)
        self._buckets.close()
        for number in range(files):
            self._write(number, range(-(-number * count // files), -(-(number + 1) * count // files)), files == 1)
        self._buckets.remove()

    def _write(self, number: int, buckets: range, always: bool) -> None:
        """One file from the rows of some buckets, a row group at a time; none where there are no rows, but `always`."""
        left = self._schema.empty_table()
        writer = None
        portions = (portion for bucket in buckets for portion in self._buckets.in_order(bucket))
        for portion, last in _with_last(portions):
            left = pa.concat_tables([left, portion])
            while left.num_rows >= _ROW_GROUP or (last and (left.num_rows or (always and writer is None))):
                if writer is None:
                    path = self._folder / f"part-{number:05d}.parquet"
                    writer = pq.ParquetWriter(path, self._schema, compression="zstd")
                writer.write_table(left.slice(0, _ROW_GROUP), row_group_size=_ROW_GROUP)
                # A copy, so that what was written is let go.
                left = pa.concat_tables([left.slice(_ROW_GROUP)]).combine_chunks()
        if writer is not None:
            writer.close()


def _with_last(portions: Iterable[pa.Table]) -> Iterator[tuple[pa.Table, bool]]:
    """Each of them, at least one, and whether it is the last."""
    each = iter(portions)
    held = next(each)
    for portion in each:
        yield held, False
        held = portion
    yield held, True


class Rejects:
    """Collects the rows that are dropped, wherever that happens: nothing disappears uncounted."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._part = SortedPart(folder, scratch, REJECTED, shards=_LEAST_BUCKETS)

    def add(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._part.write(pa.Table.from_pylist(rows, schema=REJECTED))

    def add_table(self, table: pa.Table) -> None:
        self._part.write(table.select(REJECTED.names))

    def close(self) -> None:
        self._part.close()


def as_rejected(rows: pa.Table, keep_text: bool) -> pa.Table:
    """Rows with `step` and `reason` as rows of rejected/; without their text unless that is asked for."""
    if not keep_text:
        position = rows.schema.get_field_index("text")
        rows = rows.set_column(position, "text", pa.nulls(rows.num_rows, pa.string()))
    return rows.select(REJECTED.names).cast(REJECTED)


def batches(folder: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of every Parquet file in `folder`, in the files' order, some thousand at a time."""
    for path in sorted(folder.glob("*.parquet")):
        yield from file_batches(path, columns)


def file_batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of one Parquet file, some thousand at a time."""
    # With its buffers filled in advance, a reader holds all that it has read of a file until it is closed.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
        yield from file.iter_batches(batch_size=BATCH_ROWS, columns=columns)


def column(folder: Path, name: str) -> pa.ChunkedArray:
    """One whole column of a folder of Parquet files, in the order of `batches`."""
    chunks: Iterable[pa.Array] = (batch.column(0) for batch in batches(folder, [name]))
    return pa.chunked_array(list(chunks), type=CLEAN.field(name).type)
