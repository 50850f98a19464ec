"""Files as they lie on disk: plain, compressed, or in a zip archive; read as a stream, never unpacked as a whole.

A compressed file that unpacks to far more than any text does is a bomb, and is refused.
"""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import io
import lzma
import re
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import pyarrow as pa

from danlu.core.errors import DataError, first_line

CHUNK_BYTES = 1 << 20

#: Real texts and tables shrink to a hundredth at most; deflate, the weakest of the methods, can reach 1 : 1032.
MAX_RATIO = 200

#: Below so many unpacked bytes no ratio does harm.
_HARMLESS_BYTES = 64 << 20

#: More members than this are no collection of data files.
_MAX_MEMBERS = 100_000


class Readable(Protocol):
    """What has a name and can be opened more than once: a path, or a `File`."""

    @property
    def name(self) -> str:
        """What messages and origins call it."""
        ...

    def open(self, mode: str = "rb") -> IO[bytes]:
        """A fresh stream of its bytes."""
        ...


def _zstandard(stream: IO[bytes]) -> Any:
    return pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")


#: How compressed data is known, what it is called, and how it is read. A new one is one row.
_COMPRESSIONS: tuple[tuple[re.Pattern[bytes], str, Callable[[IO[bytes]], Any]], ...] = (
    (re.compile(rb"\x1f\x8b"), "gzip", lambda stream: gzip.GzipFile(fileobj=stream)),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "zstd", _zstandard),
    (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2", bz2.BZ2File),
    (re.compile(rb"\xfd7zXZ\x00"), "xz", lzma.LZMAFile),
)
_OPENERS = {name: opener for _, name, opener in _COMPRESSIONS}

_COMPRESSED_ENDINGS = (".gz", ".zst", ".zstd", ".bz2", ".xz")

_DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)


def compression_of(head: bytes) -> str | None:
    """How data that starts with `head` is compressed, or None."""
    return next((name for magic, name, _ in _COMPRESSIONS if magic.match(head)), None)


@dataclass(frozen=True, kw_only=True)
class File:
    """One data file: its name in origins and messages, and how its bytes are had.

    `member` is its place in the zip archive at `path`; `compression` a name of `compression_of`.
    """

    name: str
    path: Path
    member: str | None = None
    compression: str | None = None

    @property
    def packed(self) -> bool:
        return self.member is not None or self.compression is not None

    @property
    def plain_name(self) -> str:
        """The name without the ending that says how it is compressed."""
        name = PurePosixPath(self.name).name
        return next((name[: -len(end)] for end in _COMPRESSED_ENDINGS if name.lower().endswith(end)), name)

    @property
    def ending(self) -> str:
        """The ending that says the format, in small letters: `.csv` for `a.CSV.gz`."""
        return PurePosixPath(self.plain_name).suffix.lower()

    def open(self, mode: str = "rb") -> IO[bytes]:
        """The unpacked bytes as a stream, seekable where the file is plain.

        Reading raises `DataError` for damaged data and for a bomb.
        """
        if mode != "rb":
            raise ValueError(f"A data file is opened with mode 'rb', not {mode!r}")
        if not self.packed:
            return self.path.open("rb")
        return io.BufferedReader(_Unpacking(self), CHUNK_BYTES)

    def packed_bytes(self) -> int:
        """Its size as it lies on disk."""
        if self.member is None:
            return self.path.stat().st_size
        return _archive(self.path).getinfo(self.member).compress_size

    def unpacked_bytes(self) -> int:
        """Its size when read; counted by reading where it is written nowhere."""
        if not self.packed:
            return self.path.stat().st_size
        if self.member is not None and self.compression is None:
            return _archive(self.path).getinfo(self.member).file_size
        with self.open() as stream:
            return sum(len(chunk) for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""))

    @contextlib.contextmanager
    def seekable(self) -> Iterator[IO[bytes]]:
        """A stream that can seek, for formats that keep their table of contents at the end; on disk, not in memory."""
        with self.open() as stream:
            if not self.packed:
                yield stream
                return
            with tempfile.TemporaryFile() as unpacked:
                shutil.copyfileobj(stream, unpacked, CHUNK_BYTES)
                unpacked.seek(0)
                yield unpacked


class _Unpacking(io.RawIOBase):
    """Unpacks a `File` as it is read; says in our own words what is wrong with it."""

    def __init__(self, file: File) -> None:
        super().__init__()
        self._file = file
        self._open = contextlib.ExitStack()
        self._count = 0
        self._most = max(_HARMLESS_BYTES, file.packed_bytes() * MAX_RATIO)
        try:
            stream: Any = self._open.enter_context(
                file.path.open("rb") if file.member is None else _archive(file.path).open(file.member)
            )
            if file.compression is not None:
                stream = self._open.enter_context(_OPENERS[file.compression](stream))
        except _DAMAGED as error:
            self._open.close()
            raise self._damaged(error) from None
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            chunk = self._stream.read(len(buffer))
        except _DAMAGED as error:
            raise self._damaged(error) from None
        self._count += len(chunk)
        if self._count > self._most:
            raise bomb(self._file.name)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        if not self.closed:
            self._open.close()
        super().close()

    def _damaged(self, error: BaseException) -> DataError:
        why = "the compressed data ends too early" if isinstance(error, EOFError) else first_line(error, 120)
        return DataError(
            f"{self._file.name} is damaged: {why} (after {self._count:,} unpacked bytes). Was it copied whole? Copy or "
            "compress it anew."
        )


def refuse_bomb(members: Iterable[zipfile.ZipInfo], size: int, name: str) -> None:
    """Raises `DataError` for a zip archive (an Office file is one) of `size` bytes whose directory tells of a bomb."""
    if sum(info.file_size for info in members) > max(_HARMLESS_BYTES, size * MAX_RATIO):
        raise bomb(name)


def bomb(name: str) -> DataError:
    """The error for a file that unpacks to more than it should."""
    return DataError(
        f"{name} unpacks to more than {MAX_RATIO} times its size, which no text or table does: it may be made to fill "
        "memory or disk (a zip bomb). If you know better, unpack it yourself and name the unpacked file."
    )


def members(path: Path, name: str) -> list[zipfile.ZipInfo]:
    """The files in a zip archive, without folders and what operating systems put beside them.

    Raises `DataError` for an archive that cannot be read, is protected by a password, or is a bomb.
    """
    try:
        found = [info for info in _archive(path).infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(
            f"{name} is not a zip archive that can be read ({first_line(error, 120)}). Was it copied whole?"
        ) from None
    if len(found) > _MAX_MEMBERS:
        raise DataError(f"{name} holds {len(found):,} files; at most {_MAX_MEMBERS:,} are read from one archive.")
    refuse_bomb(found, path.stat().st_size, name)
    if any(info.flag_bits & 1 for info in found):
        raise DataError(f"{name} is protected by a password, which Danlu cannot open. Unpack it and name the files.")
    kept = [info for info in found if not any(_is_beside(part) for part in info.filename.split("/"))]
    names = Counter(info.filename for info in kept)
    twice = next((name for name, times in names.items() if times > 1), None)
    if twice is not None:
        raise DataError(f"{name} holds two files named {twice!r}, of which only one can be read. Pack it anew.")
    return kept


def _is_beside(part: str) -> bool:
    """Whether a part of a member's name is that of a file or folder which nobody meant to pack."""
    return part.startswith(".") or part == "__MACOSX"


def _archive(path: Path) -> zipfile.ZipFile:
    state = path.stat()
    return _opened(path, (state.st_size, state.st_mtime_ns, state.st_ino))


@functools.lru_cache(maxsize=4)
def _opened(path: Path, _state: tuple[int, int, int]) -> zipfile.ZipFile:
    # Kept, for the directory of an archive is read anew, whole, whenever it is opened.
    return zipfile.ZipFile(path)


def member_name(info: zipfile.ZipInfo) -> str:
    """A member's name. Chinese Windows writes GBK and says nothing; Python reads that as code page 437."""
    if info.flag_bits & 0x800 or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("gb18030")
    except UnicodeError:
        return info.filename
