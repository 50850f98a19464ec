"""Word documents and PDF files as text: a Word document is one record, a PDF one record a page."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.parsers.expat import ExpatError

from danlu.core.errors import DataError
from danlu.core.lazy import need
from danlu.sources.files import File, refuse_bomb
from danlu.sources.records import TEXT_COLUMN, Asked, Opened, Position, Row

#: A larger document is no document; PDF libraries hold much of it in memory.
MAX_BYTES = 512 << 20


def open_word(asked: Asked) -> Opened:
    """A .docx as Markdown (headings, lists, tables), in one record."""
    markitdown: Any = need("markitdown", extra="documents")
    converters: Any = need("markitdown.converters", extra="documents")
    _check_size(asked.path)
    try:
        with asked.path.seekable() as stream:
            with zipfile.ZipFile(stream) as archive:
                refuse_bomb(archive.infolist(), asked.path.packed_bytes(), asked.path.name)
            stream.seek(0)
            information = markitdown.StreamInfo(extension=".docx")
            text = converters.DocxConverter().convert(io.BytesIO(stream.read()), information).markdown
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, AttributeError, SyntaxError, ExpatError) as error:
        raise _broken(asked.path, "a Word document (.docx)", type(error).__name__) from None
    rows = iter([Row(line=1, values={TEXT_COLUMN: text})])
    return Opened(format="word", encoding=None, columns=(TEXT_COLUMN,), rows=rows)


def open_pdf(asked: Asked) -> Opened:
    """A PDF's pages; `line` is the page. A page that is only a picture has an empty text."""
    pdfium: Any = need("pypdfium2", extra="documents")
    _check_size(asked.path)
    with asked.path.seekable() as stream:
        data = stream.read()
    try:
        document = pdfium.PdfDocument(data)
        pages = len(document)
    except pdfium.PdfiumError as error:
        why = "it asks for a password" if "password" in str(error).lower() else str(error)
        raise _broken(asked.path, "a PDF file", why) from None
    position, size = Position(), len(data)

    def rows() -> Iterator[Row]:
        with contextlib.closing(document):
            for number in range(pages):
                yield _page(document, number, pdfium)
                position.bytes = size * (number + 1) // pages

    return Opened(format="pdf", encoding=None, columns=(TEXT_COLUMN,), rows=rows(), position=position)


def _page(document: Any, number: int, pdfium: Any) -> Row:
    try:
        with contextlib.closing(document[number]) as page, contextlib.closing(page.get_textpage()) as text:
            found = text.get_text_bounded(errors="ignore")
    except pdfium.PdfiumError as error:
        return Row(line=number + 1, values=None, reason=f"a page that cannot be read: {error}")
    return Row(line=number + 1, values={TEXT_COLUMN: found.replace("\r\n", "\n").replace("\ufffe", "")})


def _check_size(file: File) -> None:
    if file.packed_bytes() > MAX_BYTES:
        raise DataError(f"{file.name} has {file.packed_bytes():,} bytes; a document may have {MAX_BYTES:,} at most.")


def _broken(file: File, what: str, why: str) -> DataError:
    return DataError(f"{file.name} is not {what} that can be read ({why}). Save it again, or as plain text.")
