"""What malformed inputs are made of, and what a case says of one."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
from pyarrow import orc

from tests.unit.sources.reading import archive

GOOD = "这家酒店的服务非常好，下次还来"
TABLE = pa.table({"text": [f"{GOOD} {number}" for number in range(3_000)], "label": ["x", "y"] * 1_500})


def lines(*odd: bytes, count: int = 200, encoding: str = "utf-8") -> bytes:
    """Good lines of JSON, and after the tenth of them the odd ones."""
    good = [json.dumps({"text": f"{GOOD} {n}"}, ensure_ascii=False).encode(encoding) for n in range(count)]
    return b"\n".join([*good[:10], *odd, *good[10:]]) + b"\n"


def rows(*odd: bytes, header: bytes = b"text,label") -> bytes:
    return b"\n".join([header, b"one,x", *odd, b"two,y"]) + b"\n"


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def as_file(write: Callable[[io.BytesIO], Any]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def parquet(table: pa.Table = TABLE) -> bytes:
    return as_file(lambda stream: pq.write_table(table, stream, compression="zstd", row_group_size=1_000))


def arrow_stream() -> bytes:
    def write(stream: io.BytesIO) -> None:
        with pa.ipc.new_stream(stream, TABLE.schema) as writer:
            writer.write_table(TABLE, max_chunksize=1_000)

    return as_file(write)


def arrow_file() -> bytes:
    return as_file(lambda stream: feather.write_feather(TABLE, stream, compression="uncompressed"))


def orc_file() -> bytes:
    return as_file(lambda stream: orc.write_table(TABLE, stream))


def flipped(data: bytes, place: int, count: int = 1) -> bytes:
    """`data` with some bytes changed from `place` on (from the end where it is negative)."""
    place %= len(data)
    return data[:place] + bytes(byte ^ 0xFF for byte in data[place : place + count]) + data[place + count :]


def tar(data: bytes) -> bytes:
    def write(stream: io.BytesIO) -> None:
        with tarfile.open(fileobj=stream, mode="w") as packed:
            entry = tarfile.TarInfo("a.csv")
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))

    return as_file(write)


def with_bad_sum(files: dict[str, bytes]) -> bytes:
    """A zip archive without compression in which one byte of the data was changed."""
    packed = archive(files, zipfile.ZIP_STORED)
    return packed.replace(b"one,x", b"oni,x", 1)


def with_password(files: dict[str, bytes]) -> bytes:
    """A zip archive whose directory says that its members are encrypted (bit 0 of the flags, APPNOTE 4.4.4)."""
    packed = archive(files)
    place = packed.index(b"PK\x01\x02") + 8
    return packed[:place] + struct.pack("<H", 1) + packed[place + 2 :]


def replaced(packed: bytes, member: str, new: bytes, old: bytes | None = None) -> bytes:
    """A zip archive with another member of that name, or with `old` in it replaced."""
    with zipfile.ZipFile(io.BytesIO(packed)) as read_from:
        files = {name: read_from.read(name) for name in read_from.namelist()}
    assert old is None or old in files[member]
    return archive(files | {member: new if old is None else files[member].replace(old, new)})


def deep(levels: int = 200_000) -> bytes:
    return b"[" * levels + b"]" * levels


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file, how it is asked for, and what is to come of it.

    Either it is refused with `message`, or it is read: `kept` rows stay, and `rejected` says why the others go, by
    line. `warning` is what the card says beside that.
    """

    id: str
    name: str
    data: bytes | Callable[[], bytes]
    message: str = ""
    kept: int = 0
    rejected: dict[int, str] = field(default_factory=dict)
    warning: str = ""
    label: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    most: int = 1_000
