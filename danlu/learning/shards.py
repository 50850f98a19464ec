"""Token rows on disk, memory-mapped: flat memory however many there are.

    SHARDS/
      tokens-00000.bin …   token numbers end to end, little-endian uint16, or uint32 for a vocabulary above 65,536
      offsets.npy          int64 [N + 1]: document i is the tokens offsets[i] to offsets[i + 1] of all shards together
      shards.json          counts and the kind of number; written last: without it, nothing here is whole

A document never straddles two shards. `danlu.learning.packing` says which documents share a row of a model.
Shapes: N documents, T tokens.
"""

from __future__ import annotations

import bisect
import itertools
import json
import mmap
import operator
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from danlu.core.errors import DataError
from danlu.core.store import write_json_atomically
from danlu.learning.packing import Bin, Integers, Positions

INDEX = "shards.json"
OFFSETS = "offsets.npy"

#: Names that only `write` gives; what is there without an index was left by a call that was killed.
_OWN = re.compile(r"(tokens-\d{5,}\.bin|offsets\.npy)(\.part)?|\.shards\.json\.\d+\.tmp")

#: Raised when the files mean something else than before.
FORMAT = 1

#: Tokens of a shard unless said otherwise: 256 MiB of uint16.
SHARD_TOKENS = 1 << 27

#: What is gathered in memory before it is written: so many tokens, or so many documents.
TOKENS_AT_ONCE = 1 << 20
DOCUMENTS_AT_ONCE = 1 << 14

#: Mapped pages are given back when so many bytes may have been mapped, so that they do not count as this process's
#: memory for ever. What is smaller than this altogether is left alone.
MAPPED_BYTES = 64 << 20

#: What a single read may map: not the page that is asked for alone, but the whole folio of the file cache that it lies
#: in, up to a huge page. Measured on ext4 of Linux 6.18: 0.5 to 1 MiB for 2 kB.
FOLIO_BYTES = 2 << 20

#: A vocabulary of up to so many tokens is stored in numbers of this kind.
_KINDS: dict[int, np.dtype[Any]] = {1 << 16: np.dtype("<u2"), 1 << 32: np.dtype("<u4")}


def write(
    token_rows: Iterable[Sequence[int] | Integers],
    folder: Path,
    *,
    vocabulary_size: int,
    shard_tokens: int = SHARD_TOKENS,
) -> Shards:
    """Write documents, each a row of token numbers from 0 to `vocabulary_size` - 1, as shards in `folder`.

    A shard ends before the document with which it would exceed `shard_tokens`; a document longer than that has a shard
    of its own. Equal rows give equal bytes. What a killed call left in the folder is removed first.

    Raises `DataError` for a row that is not one-dimensional whole numbers, for a number outside the vocabulary, and
    when the folder already holds a whole set; `ValueError` for sizes that make no sense.
    """
    kind = _kind_for(vocabulary_size)
    if shard_tokens < 1:
        raise ValueError(f"shard_tokens is {shard_tokens}; a shard must have room for at least 1 token.")
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / INDEX).exists():
        raise DataError(f"{folder} already holds token shards. Give another folder, or remove this one first.")
    for left in [file for file in folder.iterdir() if _OWN.fullmatch(file.name)]:
        left.unlink()
    with _Writer(folder, kind, vocabulary_size, shard_tokens) as writer:
        for row in token_rows:
            writer.add(row)
        writer.finish()
    return Shards(folder)


def _kind_for(vocabulary_size: int) -> np.dtype[Any]:
    for most, kind in _KINDS.items():
        if 1 <= vocabulary_size <= most:
            return kind
    raise ValueError(f"vocabulary_size is {vocabulary_size}; 1 to {max(_KINDS)} tokens can be stored.")


def _shard_file(folder: Path, shard: int) -> Path:
    return folder / f"tokens-{shard:05d}.bin"


class _File:
    """A file that has its name only once it is whole and on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(path.name + ".part")
        self.stream: BinaryIO = self._beside.open("wb")

    def finish(self) -> None:
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()
        self._beside.replace(self._path)


class _Writer:
    """Documents in, shards and offsets out; holds no more than what is written at once."""

    def __init__(self, folder: Path, kind: np.dtype[Any], vocabulary_size: int, shard_tokens: int) -> None:
        self._folder = folder
        self._kind = kind
        self._vocabulary_size = vocabulary_size
        self._shard_tokens = shard_tokens
        self._waiting: list[Integers] = []
        self._waiting_tokens = 0
        self._shards: list[int] = []
        self._shard: _File | None = None
        self._in_shard = 0
        self._documents = 0
        self._tokens = 0
        self._longest = 0
        self._offsets = _File(folder / OFFSETS)
        self._offsets_header()
        self._offsets.stream.write(np.zeros(1, dtype="<i8").tobytes())

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._shard, self._offsets):
            if file is not None:
                file.stream.close()

    def add(self, row: Sequence[int] | Integers) -> None:
        values = self._values(row)
        if self._in_shard and self._in_shard + len(values) > self._shard_tokens:
            self._end_shard()
        self._waiting.append(values)
        self._waiting_tokens += len(values)
        self._in_shard += len(values)
        if self._waiting_tokens >= TOKENS_AT_ONCE or len(self._waiting) >= DOCUMENTS_AT_ONCE:
            self._flush()

    def finish(self) -> None:
        self._end_shard()
        self._offsets.stream.seek(0)
        self._offsets_header()
        self._offsets.finish()
        _sync_folder(self._folder)
        index = {
            "format": FORMAT,
            "dtype": self._kind.name,
            "vocabulary_size": self._vocabulary_size,
            "documents": self._documents,
            "tokens": self._tokens,
            "longest": self._longest,
            "shards": self._shards,
        }
        write_json_atomically(self._folder / INDEX, index)

    def _values(self, row: Sequence[int] | Integers) -> Integers:
        """A copy of the row: who hands rows over may use one buffer for all of them."""
        number = self._documents + len(self._waiting)
        try:
            values = np.array(row)
        except (TypeError, ValueError) as error:
            raise DataError(f"Document {number} is not a row of token numbers: {error}.") from error
        if values.ndim == 1 and not len(values):
            return np.zeros(0, dtype=self._kind)
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise DataError(
                f"Document {number} (counted from 0) has the shape {values.shape} and values of type {values.dtype}; "
                "expected one dimension of whole numbers, as a tokenizer's input_ids are."
            )
        # Together with signed numbers these would become floating-point; one that wraps is refused as negative.
        return values.astype(np.int64) if values.dtype == np.uint64 else values

    def _flush(self) -> None:
        if not self._waiting:
            return
        lengths = np.array([len(values) for values in self._waiting], dtype=np.int64)
        joined = np.concatenate(self._waiting)
        if len(joined):
            self._check(joined, lengths)
            if self._shard is None:
                self._shard = _File(_shard_file(self._folder, len(self._shards)))
            self._shard.stream.write(joined.astype(self._kind).data)
        self._offsets.stream.write((self._tokens + np.cumsum(lengths)).astype("<i8").data)
        self._documents += len(lengths)
        self._tokens += len(joined)
        self._longest = max(self._longest, int(lengths.max()))
        self._waiting, self._waiting_tokens = [], 0

    def _check(self, joined: Integers, lengths: Positions) -> None:
        if joined.min() >= 0 and joined.max() < self._vocabulary_size:
            return
        first = int(np.argmax((joined < 0) | (joined >= self._vocabulary_size)))
        document = self._documents + int(np.searchsorted(np.cumsum(lengths), first, side="right"))
        raise DataError(
            f"Document {document} (counted from 0) has the token number {joined[first]}; a vocabulary of "
            f"{self._vocabulary_size} has 0 to {self._vocabulary_size - 1}. Tokenize with the tokenizer of the model, "
            "and give the size of its vocabulary with the tokens that were added."
        )

    def _end_shard(self) -> None:
        self._flush()
        if self._shard is not None:
            self._shard.finish()
            self._shards.append(self._in_shard)
        self._shard, self._in_shard = None, 0

    def _offsets_header(self) -> None:
        # NumPy leaves room in the header for a first dimension that grows: it is as long whatever the count.
        header = {"descr": "<i8", "fortran_order": False, "shape": (self._documents + 1,)}
        np.lib.format.write_array_header_1_0(self._offsets.stream, header)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Shards:
    """The documents that `write` left in `folder`; `shards[i]` is a copy of document i, [T] of `dtype`.

    `tokens` is how many there are in all, `longest` those of the longest document. Memory does not grow with what is
    read: mapped pages are given back at `MAPPED_BYTES` (where the system has `madvise`; elsewhere it takes them back
    when it is short of memory). Raises `DataError` where nothing whole is found.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = _read_index(folder)
        self.dtype = np.dtype(index["dtype"]).newbyteorder("<")
        self.vocabulary_size: int = index["vocabulary_size"]
        self.tokens: int = index["tokens"]
        self.longest: int = index["longest"]
        #: The first token of each shard, and the end.
        self._begins = list(itertools.accumulate(index["shards"], initial=0))
        self._maps: dict[int, Integers] = {}
        self._mapped = 0
        for shard, count in enumerate(index["shards"]):
            _check_size(_shard_file(folder, shard), count * self.dtype.itemsize)
        try:
            self._offsets: Positions = np.load(folder / OFFSETS, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{folder / OFFSETS} cannot be read: {error}. {_AGAIN}") from error
        fits = self._offsets.shape == (index["documents"] + 1,) and self._offsets.dtype == np.dtype("<i8")
        if not fits or int(self._offsets[-1]) != self.tokens:
            raise DataError(f"{folder / OFFSETS} does not fit {INDEX}. {_AGAIN}")
        self._large = self.tokens * self.dtype.itemsize + self._offsets.nbytes > MAPPED_BYTES

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __repr__(self) -> str:
        return f"Shards({str(self.folder)!r}: {len(self)} documents, {self.tokens} tokens, {self.dtype})"

    @property
    def lengths(self) -> Positions:
        """Tokens of each document, [N]; made anew at each call, 8 bytes a document."""
        offsets = np.asarray(self._offsets)
        lengths: Positions = offsets[1:] - offsets[:-1]
        _give_back(self._offsets)
        return lengths

    def __iter__(self) -> Iterator[Integers]:
        return (self.piece(document) for document in range(len(self)))

    def __getitem__(self, document: int) -> Integers:
        number = operator.index(document)
        return self.piece(number + len(self) if number < 0 else number)

    def piece(self, document: int, begin: int = 0, end: int | None = None) -> Integers:
        """The tokens `begin` to `end` (None: the last) of a document, [T], as a copy.

        Raises `IndexError` where there is no such document, or it does not have them.
        """
        if not 0 <= document < len(self):
            raise IndexError(f"There is no document {document}: there are {len(self)}, counted from 0.")
        start, stop = int(self._offsets[document]), int(self._offsets[document + 1])
        end = stop - start if end is None else end
        if not 0 <= begin <= end <= stop - start:
            raise IndexError(f"Document {document} has {stop - start} tokens; {begin} to {end} are not among them.")
        if begin == end:
            return np.zeros(0, dtype=self.dtype)
        shard = bisect.bisect_right(self._begins, start) - 1
        from_begin = start - self._begins[shard]
        piece = np.array(self._map(shard)[from_begin + begin : from_begin + end])
        self._count(piece.nbytes, 2 * self._offsets.itemsize)
        return piece

    def of_bin(self, pieces: Bin) -> Integers:
        """The tokens of a bin end to end, [T]; piece k is at `pieces.starts[k]` to `pieces.starts[k + 1]`."""
        rows = zip(pieces.documents.tolist(), pieces.begins.tolist(), pieces.ends.tolist(), strict=True)
        return np.concatenate([self.piece(*row) for row in rows])

    def _map(self, shard: int) -> Integers:
        if shard not in self._maps:
            self._maps[shard] = np.memmap(_shard_file(self.folder, shard), dtype=self.dtype, mode="r")
        return self._maps[shard]

    def _count(self, *sizes: int) -> None:
        """Reads of these sizes were made; gives mapped pages back when there may be too many."""
        self._mapped += sum(size + FOLIO_BYTES for size in sizes)
        if self._large and self._mapped > MAPPED_BYTES:
            self._mapped = 0
            for mapped in (self._offsets, *self._maps.values()):
                _give_back(mapped)


_AGAIN = "The folder was changed after it was written; remove it and write the shards again."


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        known = {kind.name for kind in _KINDS.values()}
        whole = index["format"] == FORMAT and index["dtype"] in known and sum(index["shards"]) == index["tokens"]
        whole = whole and all(type(index[name]) is int for name in ("documents", "vocabulary_size", "longest"))
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} holds no whole token shards: {INDEX} is missing, which is written last. A write that was "
            "stopped is not continued; write them again."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / INDEX} is not an index of token shards. {_AGAIN}") from error
    if not whole:
        raise DataError(
            f"{folder / INDEX} has format {index['format']!r} and {index['dtype']!r} numbers; this version of Danlu "
            f"reads format {FORMAT} and {' or '.join(sorted(known))}, with the tokens of all shards as sum. {_AGAIN}"
        )
    return index


def _check_size(file: Path, expected: int) -> None:
    size = file.stat().st_size if file.exists() else None
    if size != expected:
        found = "is missing" if size is None else f"has {size} bytes"
        raise DataError(f"{file} {found}; expected {expected} bytes. {_AGAIN}")


def _give_back(array: Positions | Integers) -> None:
    """Let go of the pages of a memory-mapped array."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
