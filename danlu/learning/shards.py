"""The token rows of a corpus part on disk, so that memory does not grow with the tokens.

    FOLDER/
      tokens.bin    token numbers of all rows end to end, little-endian uint16, or uint32 for a larger vocabulary
      learned.bin   one byte a token, 1 where it is to be learned; only where some are not
      starts.bin    int64 [N + 1]: row i is the tokens starts[i] to starts[i + 1]
      rows.bin      int64 [N]: the row of the corpus part that it was made from
      shard.json    counts; written last: without it, nothing here is whole

What stays in memory is 16 bytes a row. Rows are read with `pread`: a memory map is no quicker for pieces of a few
kilobytes, and its pages would count as this process's memory until they are given back.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from danlu.core.errors import DataError
from danlu.core.store import write_json_atomically
from danlu.learning.batching import Examples, TokenRow

INDEX = "shard.json"
TOKENS, LEARNED, STARTS, ROWS = "tokens.bin", "learned.bin", "starts.bin", "rows.bin"

#: Raised when the files mean something else than before.
FORMAT = 1

#: What is gathered in memory before it is written.
_BUFFER_BYTES = 1 << 20

#: Token numbers are stored in the first of these that holds them all.
_KINDS = (np.dtype("<u2"), np.dtype("<u4"))
_FLAG, _POSITION = np.dtype("?"), np.dtype("<i8")


class FileArray:
    """A row of numbers in a file, read by slices: `array[begin:end]` is a copy. Raises `DataError` if it is cut off."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self.dtype = dtype
        self._length = os.fstat(self._file.fileno()).st_size // dtype.itemsize

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> np.ndarray:
        begin, end, _ = part.indices(self._length)
        size = max(0, end - begin) * self.dtype.itemsize
        content = os.pread(self._file.fileno(), size, begin * self.dtype.itemsize)
        if len(content) != size:
            raise DataError(f"{self._path} ends too early. {_AGAIN}")
        return np.frombuffer(content, dtype=self.dtype)


_AGAIN = "The folder was changed after it was written; remove it and run again."


def write(rows: Iterable[TokenRow], folder: Path, *, largest: int) -> Examples:
    """Write rows of token numbers from 0 to `largest` into `folder`, in place of what a killed call left there.

    Equal rows give equal bytes. Raises `OverflowError` for a token number that cannot be stored.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kind = next(kind for kind in _KINDS if largest <= np.iinfo(kind).max)
    with _Writer(folder, kind) as writer:
        for row in rows:
            writer.add(row)
        writer.finish()
    return _open(folder)


def read(folder: Path) -> Examples | None:
    """What `write` left in `folder`; None where it did not come to its end. Raises `DataError` for changed files."""
    return _open(folder) if (folder / INDEX).exists() else None


def _index(folder: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        known = index["format"] == FORMAT and np.dtype(index["dtype"]) in _KINDS
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / INDEX} is not an index of tokens. {_AGAIN}") from error
    if not known:
        raise DataError(f"{folder / INDEX} has format {index['format']!r}; expected {FORMAT}. {_AGAIN}")
    return index


def _open(folder: Path) -> Examples:
    index = _index(folder)
    kind = np.dtype(index["dtype"])
    expected = {
        TOKENS: index["tokens"] * kind.itemsize,
        STARTS: (index["rows"] + 1) * _POSITION.itemsize,
        ROWS: index["rows"] * _POSITION.itemsize,
    } | ({LEARNED: index["tokens"]} if index["marked"] else {})
    for name, size in expected.items():
        found = (folder / name).stat().st_size if (folder / name).exists() else 0
        if found != size:
            raise DataError(f"{folder / name} has {found} bytes; expected {size}. {_AGAIN}")
    return Examples(
        tokens=FileArray(folder / TOKENS, kind),
        starts=np.fromfile(folder / STARTS, dtype=_POSITION),
        rows=np.fromfile(folder / ROWS, dtype=_POSITION),
        learned=FileArray(folder / LEARNED, _FLAG) if index["marked"] else None,
    )


class _Writer:
    """Rows in, files out; holds 16 bytes a row."""

    def __init__(self, folder: Path, kind: np.dtype[Any]) -> None:
        self._folder = folder
        self._kind = kind
        self._tokens = (folder / TOKENS).open("wb", buffering=_BUFFER_BYTES)
        self._learned: Any = None
        self._starts = array("q", [0])
        self._rows = array("q")

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._tokens, self._learned):
            if file is not None:
                file.close()

    def add(self, row: TokenRow) -> None:
        if row.learned is not None and self._learned is None:
            self._start_marking()
        self._tokens.write(np.array(row.ids, dtype=self._kind).data)
        if self._learned is not None:
            learned = [True] * len(row.ids) if row.learned is None else row.learned
            self._learned.write(np.array(learned, dtype=_FLAG).data)
        self._starts.append(self._starts[-1] + len(row.ids))
        self._rows.append(row.origin)

    def _start_marking(self) -> None:
        """Every token before the first row with marks is learned."""
        self._learned = (self._folder / LEARNED).open("wb", buffering=_BUFFER_BYTES)
        for begin in range(0, self._starts[-1], _BUFFER_BYTES):
            self._learned.write(b"\1" * min(_BUFFER_BYTES, self._starts[-1] - begin))

    def finish(self) -> None:
        files = [self._tokens] + ([] if self._learned is None else [self._learned])
        for name, values in ((STARTS, self._starts), (ROWS, self._rows)):
            file = (self._folder / name).open("wb")
            file.write(np.frombuffer(values, dtype=np.int64).astype(_POSITION, copy=False).data)
            files.append(file)
        for file in files:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        index = {
            "format": FORMAT,
            "dtype": self._kind.str,
            "tokens": self._starts[-1],
            "rows": len(self._rows),
            "marked": self._learned is not None,
        }
        write_json_atomically(self._folder / INDEX, index)
