"""Malformed workbooks, columnar files, archives and documents."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pyarrow as pa

from tests.unit.sources.malformed import (
    GOOD,
    TABLE,
    Case,
    arrow_file,
    arrow_stream,
    flipped,
    lines,
    orc_file,
    parquet,
    replaced,
    rows,
    tar,
    with_bad_sum,
    with_password,
    zstd,
)
from tests.unit.sources.reading import archive, excel, pdf, word

PACKED_CASES = [
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
