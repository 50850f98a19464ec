"""File formats as rows of a table: each opens a file and yields its records one by one, in flat memory.

A record that cannot be read is yielded too, with the reason, so that it can be counted and traced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from danlu.core.errors import DataError
from danlu.sources.columnar import open_arrow, open_orc, open_parquet
from danlu.sources.delimited import open_csv, open_tsv
from danlu.sources.documents import open_pdf, open_word
from danlu.sources.excel import open_excel
from danlu.sources.files import CHUNK_BYTES, File
from danlu.sources.json_files import open_json, open_jsonl
from danlu.sources.places import ENDINGS, office_format, place_of
from danlu.sources.records import TEXT_COLUMN, Asked, Opened, Position, Row, decoded, encoding_of
from danlu.sources.tagged import open_tagged


def open_file(path: Path | File, *, format: str = "auto", encoding: str = "auto", sheet: str | None = None) -> Opened:
    """Open one data file, which may be compressed.

    Raises `DataError` for a file that is missing, empty, a folder, an archive of several files, of another format
    than asked for, or without a header.
    """
    file = path if isinstance(path, File) else _only_file(path)
    try:
        name = guess_format(file) if format == "auto" else format
        return FORMATS[name](Asked(path=file, encoding=encoding, sheet=sheet))
    except PermissionError:
        raise DataError(f"No permission to read {str(file.path)!r}. Give yourself read access to it.") from None


def _only_file(path: Path) -> File:
    if not path.exists():
        raise DataError(f"There is no file {str(path)!r}. Check the path in data.sources.")
    try:
        files = place_of(path).files
    except PermissionError:
        raise DataError(f"No permission to read {str(path)!r}. Give yourself read access to it.") from None
    if path.is_dir() or len(files) != 1:
        names = ", ".join(file.name for file in files[:5])
        kind = "a folder" if path.is_dir() else "an archive"
        raise DataError(
            f"{str(path)!r} is {kind}; expected one data file here. It holds {names}. A recipe may name the whole of "
            "it under data.sources."
        )
    return files[0]


def guess_format(path: Path | File) -> str:
    """The format of a file, by its first bytes where they are plain, by its ending, then by what its text looks like.

    Raises `DataError` for a format that Danlu does not read.
    """
    file = path if isinstance(path, File) else File(name=path.name, path=path)
    with file.open() as stream:
        head = stream.read(CHUNK_BYTES)
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    for pattern, what in _REFUSED:
        if pattern.match(head):
            raise DataError(
                f"{file.name} is {what}, which Danlu does not read. Save it as CSV, Excel (.xlsx), JSON Lines, Parquet "
                "or plain text."
            )
    if head.startswith(b"PK\x03\x04"):
        return _office(file)
    if file.ending not in (".txt", "") and _HTML.match(head):
        raise DataError(
            f"{file.name} is really an HTML page: a web table saved under another name, or the error or login page of "
            "a failed download. Open it in Excel or a browser and save it as CSV or .xlsx, or download it again."
        )
    if file.ending in ENDINGS:
        return ENDINGS[file.ending]
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text[:1] in {"{", "["}:
        return "jsonl" if text[0] == "{" else "json"
    first = text.split("\n", 1)[0]
    return "tsv" if "\t" in first else "text"


def _office(file: File) -> str:
    if file.packed:
        return "word" if file.ending == ".docx" else "excel"
    return office_format(file.path) or ("word" if file.ending == ".docx" else "excel")


def _open_text(asked: Asked) -> Opened:
    encoding = encoding_of(asked)
    position = Position()

    def rows() -> Iterator[Row]:
        for number, text, reason in decoded(asked.path, encoding, position):
            if text is None:
                yield Row(line=number, values=None, reason=reason)
            elif text.strip():
                yield Row(line=number, values={TEXT_COLUMN: text})

    return Opened(format="text", encoding=encoding, columns=(TEXT_COLUMN,), rows=rows(), position=position)


#: How each format is opened. A new format is one function and one row.
FORMATS: dict[str, Callable[[Asked], Opened]] = {
    "csv": open_csv,
    "tsv": open_tsv,
    "excel": open_excel,
    "jsonl": open_jsonl,
    "json": open_json,
    "parquet": open_parquet,
    "orc": open_orc,
    "arrow": open_arrow,
    "text": _open_text,
    "tagged": open_tagged,
    "word": open_word,
    "pdf": open_pdf,
}

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "parquet"),
    (b"ORC", "orc"),
    (b"ARROW1", "arrow"),
    # The stream form of Arrow: a continuation mark, then the length of the first message.
    (b"\xff\xff\xff\xff", "arrow"),
    (b"%PDF-", "pdf"),
)

_REFUSED: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an old Excel or Word file (.xls, .doc)"),
    (re.compile(rb"SQLite format 3"), "an SQLite database (read it with sql: {url: sqlite:///FILE, query: ...})"),
    (re.compile(rb"FEA1"), "a Feather file of the old version 1"),
    (re.compile(rb"(?s:.{257})ustar"), "a tar archive (unpack it and name the folder)"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07"), "an archive (.7z, .rar)"),
    (re.compile(rb"\x80[\x02-\x05]"), "a Python pickle"),
    (re.compile(rb"\x1f\x8b|\x28\xb5\x2f\xfd|BZh[1-9]1AY&SY|\xfd7zXZ\x00"), "compressed twice"),
)

_HTML = re.compile(rb"(?i)(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|table|meta)\b")
