"""Malformed inputs of every format: what is said of each, and how many rows it costs."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from danlu.core.errors import DataError
from danlu.data.config import DataConfig
from danlu.plan.reading import look
from tests.unit.sources.reading import archive, excel, pdf, read, word

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


CASES = [
    # Encodings
    Case(
        id="broken-utf-8-in-the-middle",
        name="a.jsonl",
        data=lines(b'{"text": "\xff\xfe"}'),
        kept=200,
        rejected={11: "broken: not utf-8: byte 0xff"},
    ),
    Case(
        id="utf-8-cut-inside-a-character",
        name="a.txt",
        data=(GOOD + "\n").encode() * 9 + GOOD.encode()[:-1],
        kept=9,
        rejected={10: "broken: not utf-8: byte 0xe6"},
    ),
    Case(
        id="a-line-of-gbk-in-utf-8",
        name="a.jsonl",
        data=lines(json.dumps({"text": "好"}, ensure_ascii=False).encode("gbk")),
        kept=200,
        rejected={11: "broken: not utf-8: byte 0xba"},
    ),
    Case(
        id="gbk-with-a-broken-byte",
        name="a.txt",
        data=(GOOD + "\n").encode("gbk") * 50 + b"\xff\n",
        kept=50,
        rejected={51: "broken: not gb18030: byte 0xff"},
    ),
    Case(
        id="gbk-asked-for-as-utf-8",
        name="a.txt",
        data=(GOOD + "\n").encode("gbk") * 50,
        config={"encoding": "utf-8"},
        message="a.txt cannot be read as utf-8: line 1 has the byte 0xd5, which does not fit. It looks like gb18030",
    ),
    Case(
        id="an-encoding-that-does-not-exist",
        name="a.txt",
        data=GOOD.encode(),
        config={"encoding": "utf-9"},
        message="There is no encoding 'utf-9' (asked for to read a.txt). Use auto, utf-8, gb18030 or latin-1.",
    ),
    Case(
        id="utf-16-without-a-mark",
        name="a.csv",
        data=rows().decode().encode("utf-16-le") * 20,
        message="must start with a byte order mark; save it again as UTF-8",
    ),
    Case(
        id="utf-16-cut-inside-a-character",
        name="a.txt",
        data="one\ntwo\nthre".encode("utf-16")[:-1],
        kept=3,
    ),
    Case(
        id="neither-utf-8-nor-gbk",
        name="a.txt",
        data="un café près de l'hôtel à Orléans, déjà vu\n".encode("latin-1") * 3,
        kept=3,
        warning="a.txt is neither UTF-8 nor GBK and was read as Latin-1",
    ),
    Case(
        id="bytes-that-are-no-text",
        name="a.csv",
        data=bytes(random.Random(4).choices(range(256), k=20_000)),
        message="a.csv is no text file: it is neither UTF-8 nor GBK, and ",
    ),
    Case(
        id="latin-1-and-a-nul-byte",
        name="a.txt",
        data="un café\n".encode("latin-1") * 200 + b"\0\n",
        message="a.txt is no text file: it is neither UTF-8 nor GBK, and 1 of its 1,602 bytes are control characters",
    ),
    Case(
        id="utf-8-that-was-damaged-before",
        name="a.csv",
        data=b"text,label\n" + "".join(f"caf\ufffd num\ufffdro {n},x\n" for n in range(623)).encode(),
        kept=623,
    ),
    Case(
        id="a-few-nul-bytes",
        name="a.txt",
        data=b"fine text here\n" * 50 + b"one\0two\n",
        kept=51,
        warning="a.txt has 1 NUL bytes; they are removed.",
    ),
    Case(
        id="nothing-but-nul-bytes",
        name="a.jsonl",
        data=b"\0" * 4096,
        message="a.jsonl is no text file: 4,096 of its 4,096 bytes are NUL",
    ),
    Case(
        id="one-line-of-fifty-megabytes",
        name="a.jsonl",
        data=lambda: lines(b'{"text": "' + b"x" * 50_000_000 + b'"}', count=20),
        kept=20,
        rejected={11: "broken: longer than 16 MiB"},
    ),
    # CSV and TSV
    Case(id="empty-file", name="a.csv", data=b"", message="a.csv is empty (0 bytes); expected rows of data"),
    Case(id="only-blank-lines", name="a.csv", data=b"\n\n\n", message="a.csv has no header that can be read"),
    Case(id="only-a-header", name="a.csv", data=b"text,label\n", message="a.csv has no rows of data (only a header"),
    Case(
        id="header-not-utf-8",
        name="a.csv",
        data=b"te\xffxt,label\n" + f"{GOOD},x\n".encode() * 50,
        message="a.csv has no header that can be read (not utf-8: byte 0xff)",
    ),
    Case(
        id="columns-twice",
        name="a.csv",
        data=rows(header=b"text,text"),
        message="a.csv has two columns named 'text'; give each column its own name.",
    ),
    Case(
        id="no-such-column",
        name="a.csv",
        data=rows(header=b"review,label"),
        message="a.csv has no column 'text'. Its columns: 'review', 'label'.",
    ),
    Case(
        id="too-few-and-too-many-fields",
        name="a.csv",
        data=rows(b"alone", b"a,b,c"),
        kept=2,
        rejected={3: "broken: 1 field where the header has 2", 4: "broken: 3 fields where the header has 2"},
    ),
    Case(
        id="a-quote-never-closed",
        name="a.csv",
        data=rows(b'"open,x', b"three,x"),
        kept=3,
        rejected={3: "broken: a quote that is never closed"},
    ),
    Case(
        id="a-stray-quote",
        name="a.csv",
        data=rows(b'"7" inch, black,x', b"three,x"),
        kept=3,
        rejected={3: "broken: a quote inside a quoted field"},
    ),
    Case(
        id="a-byte-order-mark-in-the-middle",
        name="a.csv",
        data=rows("\ufeff三,x".encode()),
        kept=3,
    ),
    Case(
        id="tsv-with-commas",
        name="a.tsv",
        data=rows(),
        message="a.tsv has no column 'text'. Its columns: 'text,label'.",
    ),
    Case(
        id="too-many-bad-rows",
        name="a.csv",
        data=rows(*[b"alone"] * 30),
        most=20,
        message="More than 20 rows cannot be read (data.max_bad_rows). The first in a.csv: a.csv:3: 1 field",
    ),
    Case(
        id="csv-that-is-a-web-page",
        name="a.csv",
        data=b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n",
        message="a.csv is really an HTML page",
    ),
    Case(id="a-pickle", name="a.csv", data=b"\x80\x04\x95\x10\0\0\0", message="a.csv is a Python pickle"),
    # JSON
    Case(
        id="a-line-that-is-no-json",
        name="a.jsonl",
        data=lines(b'{"text": "two"', b"{'text': 'single quotes'}"),
        kept=200,
        rejected={11: "broken: not JSON: Expecting ',' delimiter", 12: "broken: not JSON: Expecting property name"},
    ),
    Case(
        id="lines-that-are-no-objects",
        name="a.jsonl",
        data=lines(b"[1]", b"3", b"null"),
        kept=200,
        rejected={
            11: "broken: a JSON list, not an object",
            12: "broken: a JSON number, not an object",
            13: "broken: a JSON null, not an object",
        },
    ),
    Case(
        id="lists-nested-too-deep",
        name="a.jsonl",
        data=lines(deep()),
        kept=200,
        rejected={11: "broken: not JSON: RecursionError"},
    ),
    Case(
        id="values-of-the-wrong-kind",
        name="a.jsonl",
        data=lines(b'{"text": ["a"]}', b'{"text": {"a": 1}}', b'{"text": "  "}', b'{"body": "b"}'),
        kept=200,
        rejected={
            11: "broken: column 'text' holds a list",
            12: "broken: column 'text' holds a dict",
            13: "no_text",
            14: "broken: no column 'text'",
        },
    ),
    Case(
        id="a-label-that-is-missing",
        name="a.jsonl",
        data=b'{"text": "a", "label": "x"}\n{"text": "b", "label": null}\n{"text": "c"}\n',
        label="label",
        kept=1,
        rejected={2: "no_label", 3: "broken: no column 'label'"},
    ),
    Case(
        id="a-list-cut-off",
        name="a.json",
        data=b'[{"text": "a"},\n {"text": "b"},\n {"te',
        message="a.json:3: the JSON list is broken here (Unterminated string",
    ),
    Case(
        id="a-list-never-closed",
        name="a.json",
        data=b'[{"text": "a"},\n',
        message="a.json:2: the JSON list is broken here (the list is never closed)",
    ),
    Case(
        id="a-list-broken-in-the-middle",
        name="a.json",
        data=b'[{"text": "a"},\n {"text": },\n {"text": "c"}]',
        message="a.json:2: the JSON list is broken here (Expecting value)",
    ),
    Case(
        id="json-that-is-one-word",
        name="a.json",
        data=b'"just a text"',
        message="a.json is not the JSON that Danlu reads: expected a list of objects",
    ),
    # Excel
    Case(
        id="a-workbook-that-is-a-web-page",
        name="a.xlsx",
        data=b"<html><table><tr><td>text</td></tr></table></html>",
        message="a.xlsx is really an HTML page: a web table saved under another name",
    ),
    Case(
        id="an-old-or-protected-workbook",
        name="a.xlsx",
        data=b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504,
        message="a.xlsx is an old Excel or Word file (.xls, .doc)",
    ),
    Case(
        id="a-workbook-cut-off",
        name="a.xlsx",
        data=lambda: excel([("text", "label"), ("a", "x")])[:-200],
        message="a.xlsx is not an Excel file that can be read",
    ),
    Case(
        id="no-such-sheet",
        name="a.xlsx",
        data=lambda: excel([("text", "label"), ("a", "x")]),
        config={"sheet": "data"},
        message="a.xlsx has no sheet 'data'. Its sheets: 'Sheet'.",
    ),
    Case(
        id="a-first-row-that-is-empty",
        name="a.xlsx",
        data=lambda: excel([(None, None), ("text", "label"), ("a", "x")]),
        message="a.xlsx: the first row of sheet 'Sheet' is empty; it must name the columns.",
    ),
    Case(
        id="cells-beyond-the-header",
        name="a.xlsx",
        data=lambda: excel([("text", "label"), ("a", "x"), ("b", "y", "z"), (None, "x")]),
        kept=1,
        rejected={3: "broken: 3 fields where the header has 2", 4: "no_text"},
    ),
    Case(
        id="a-workbook-that-is-a-bomb",
        name="a.xlsx",
        data=lambda: archive({"xl/workbook.xml": b"<workbook/>", "xl/worksheets/sheet1.xml": b" " * (70 << 20)}),
        message="a.xlsx unpacks to more than 200 times its size",
    ),
    # Columnar
    Case(
        id="parquet-cut-off",
        name="a.parquet",
        data=lambda: parquet()[:-100],
        message="a.parquet is not a Parquet file that can be read",
    ),
    Case(
        id="parquet-with-a-damaged-page",
        name="a.parquet",
        data=lambda: flipped(parquet(), 5_000, 200),
        message="a.parquet is not a Parquet file that can be read",
    ),
    Case(
        id="parquet-with-lists-for-text",
        name="a.parquet",
        data=lambda: parquet(pa.table({"text": [["a"], None, ["b"]]})),
        kept=0,
        rejected={1: "broken: column 'text' holds a list", 2: "no_text", 3: "broken: column 'text' holds a list"},
    ),
    Case(id="orc-cut-off", name="a.orc", data=lambda: orc_file()[:-50], message="a.orc is not an ORC file that can"),
    Case(
        id="arrow-file-cut-off",
        name="a.arrow",
        data=lambda: arrow_file()[:-20],
        message="a.arrow is not an Arrow file that can be read",
    ),
    Case(
        id="arrow-stream-cut-off",
        name="a.arrow",
        data=lambda: arrow_stream()[: len(arrow_stream()) * 2 // 3],
        message="a.arrow is not an Arrow file that can be read after row 2,000",
    ),
    Case(
        id="feather-of-version-1",
        name="a.feather",
        data=b"FEA1" + b"\0" * 100,
        message="a.feather is a Feather file of the old version 1, which Danlu does not read",
    ),
    # Compressed
    Case(
        id="gzip-cut-off",
        name="a.jsonl.gz",
        data=gzip.compress(lines())[:-300],
        message="a.jsonl.gz is damaged: the compressed data ends too early",
    ),
    Case(
        id="gzip-with-a-wrong-sum",
        name="a.jsonl.gz",
        data=flipped(gzip.compress(lines()), -6),
        message="a.jsonl.gz is damaged: CRC check failed",
    ),
    Case(
        id="zstd-cut-off",
        name="a.jsonl.zst",
        data=zstd(lines())[:-100],
        message="a.jsonl.zst is damaged: Truncated compressed stream",
    ),
    Case(
        id="bzip2-damaged",
        name="a.jsonl.bz2",
        data=flipped(bz2.compress(lines()), 400, 20),
        message="a.jsonl.bz2 is damaged: Invalid data stream",
    ),
    Case(
        id="xz-cut-off",
        name="a.jsonl.xz",
        data=lzma.compress(lines())[:-40],
        message="a.jsonl.xz is damaged: the compressed data ends too early",
    ),
    Case(
        id="compressed-twice",
        name="a.jsonl.gz",
        data=gzip.compress(gzip.compress(lines())),
        message="a.jsonl.gz is compressed twice, which Danlu does not read",
    ),
    Case(id="tar", name="a.tar.gz", data=gzip.compress(tar(rows())), message="a.tar.gz is a tar archive (unpack it"),
    Case(
        id="gzip-bomb",
        name="a.txt.gz",
        data=lambda: gzip.compress(b"x" * (70 << 20), compresslevel=1),
        message="a.txt.gz unpacks to more than 200 times its size",
    ),
    Case(
        id="zip-bomb",
        name="a.zip",
        data=lambda: archive({f"{n}.txt": b"x" * (10 << 20) for n in range(7)}),
        message="a.zip unpacks to more than 200 times its size",
    ),
    Case(
        id="zip-with-a-wrong-sum",
        name="a.zip",
        data=with_bad_sum({"a.csv": rows()}),
        message="a.zip/a.csv is damaged: Bad CRC-32 for file 'a.csv'",
    ),
    Case(
        id="zip-cut-off",
        name="a.zip",
        data=archive({"a.csv": rows()})[:-30],
        message="a.zip is not a zip archive that can be read (File is not a zip file)",
    ),
    Case(
        id="zip-with-a-password",
        name="a.zip",
        data=with_password({"a.csv": rows()}),
        message="a.zip is protected by a password",
    ),
    Case(
        id="zip-without-data",
        name="a.zip",
        data=archive({"a.png": b"1", "b.png": b"2"}),
        message="a.zip has no data file. It holds a.png, b.png.",
    ),
    Case(
        id="zip-in-a-zip",
        name="a.zip",
        data=archive({"inner.zip": archive({"a.csv": rows()})}),
        message="a.zip/inner.zip is an archive inside an archive. Unpack a.zip",
    ),
    Case(
        id="zip-with-a-bad-line-in-one-of-two",
        name="a.zip",
        data=archive({"a.csv": rows(b"alone"), "b.csv": rows()}),
        kept=4,
        rejected={3: "broken: 1 field where the header has 2"},
    ),
    Case(id="7z", name="a.7z", data=b"7z\xbc\xaf\x27\x1c" + b"\0" * 50, message="a.7z is an archive (.7z, .rar)"),
    # Documents
    Case(
        id="pdf-cut-off",
        name="a.pdf",
        data=pdf(["one", "two"])[:200],
        message="a.pdf is not a PDF file that can be read",
    ),
    Case(id="pdf-of-pictures", name="a.pdf", data=pdf(["", GOOD]), kept=1, rejected={1: "no_text"}),
    Case(
        id="word-that-is-another-archive",
        name="a.docx",
        data=archive({"a.png": b"1"}),
        config={"format": "word"},
        message="a.docx is not a Word document (.docx) that can be read",
    ),
    Case(
        id="word-cut-off",
        name="a.docx",
        data=word([GOOD])[:-60],
        message="a.docx is not a Word document (.docx) that can be read",
    ),
    Case(
        id="word-with-broken-xml",
        name="a.docx",
        data=lambda: replaced(word([GOOD]), "word/document.xml", b"<w:document><w:body"),
        message="a.docx is not a Word document (.docx) that can be read",
    ),
    # Values that Python has no type for, and cells that are none
    Case(
        id="parquet-with-a-moment-beyond-the-year-9999",
        name="a.parquet",
        data=lambda: parquet(TABLE.append_column("when", pa.array([400_000_000_000] * 3_000, pa.timestamp("s")))),
        kept=3_000,
    ),
    Case(
        id="excel-with-a-cell-that-is-no-number",
        name="a.xlsx",
        data=lambda: replaced(
            excel([("text", "price"), (GOOD, 17)]), "xl/worksheets/sheet1.xml", b"<v>x7</v>", b"<v>17</v>"
        ),
        message="a.xlsx is not an Excel file that can be read",
    ),
    Case(
        id="numbers-without-end",
        name="a.jsonl",
        data=lines(b'{"text": 1e999}', b'{"text": -1e999}'),
        kept=202,
    ),
    Case(
        id="two-members-of-one-name",
        name="a.zip",
        data=lambda: archive({"a.csv": rows(), "b.csv": rows()}).replace(b"b.csv", b"a.csv"),
        message="a.zip holds two files named 'a.csv'",
    ),
    Case(id="a-folder-called-_export", name="a.zip", data=archive({"_export/a.csv": rows()}), kept=2),
    # Other things
    Case(
        id="a-database-as-a-file",
        name="a.db",
        data=b"SQLite format 3\0" + b"\0" * 84,
        message="a.db is an SQLite database (read it with sql:",
    ),
]


def test_there_are_enough_cases_and_each_has_its_own_name() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 40


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_malformed_input_is_told_and_counted(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.data if isinstance(case.data, bytes) else case.data())

    def attempt() -> Any:
        return read(path, tmp_path / "out", label=case.label, max_bad_rows=case.most, **case.config)

    if case.message:
        with pytest.raises(DataError) as caught:
            attempt()
        assert case.message in str(caught.value)
        assert len(str(caught.value)) < 600
    else:
        found = attempt()
        assert len(found.rows) == case.kept
        reasons = {int(origin.rpartition(":")[2]): reason for origin, reason in found.reasons.items()}
        assert reasons.keys() == case.rejected.keys()
        for line, reason in case.rejected.items():
            assert reasons[line].startswith(reason)
        assert found.tally.rows == case.kept + len(case.rejected)
        assert found.tally.bad_rows == sum(reason.startswith("broken") for reason in case.rejected.values())
        assert any(case.warning in warning for warning in found.tally.warnings) == bool(case.warning)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_plan_says_the_same_or_counts_the_same(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.data if isinstance(case.data, bytes) else case.data())
    config = DataConfig.model_validate({"sources": [{"path": str(path), **case.config}]})
    if case.id == "too-many-bad-rows":
        assert look(config, [path]).rows == 2  # the data stage is the one that counts bad rows
    elif case.message and case.id != "only-a-header":
        with pytest.raises(DataError) as caught:
            look(config, [path])
        assert case.message in str(caught.value)
    elif case.kept == 0:
        with pytest.raises(DataError, match=r"No row of|has no rows"):
            look(config, [path])
    elif case.label is None:
        assert look(config, [path]).rows == case.kept
