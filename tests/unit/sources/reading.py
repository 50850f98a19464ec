"""What the data stage makes of a source, and small writers for the formats under test."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq

from danlu.core.resource import Digests
from danlu.data.reader import Input, Tally, read_sources
from danlu.data.rows import Columns
from danlu.data.tables import Rejects
from danlu.sources.config import SourceConfig


@dataclass(frozen=True, kw_only=True)
class Read:
    """Rows, rejected rows and the tally of one source."""

    rows: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    tally: Tally

    @property
    def texts(self) -> list[str]:
        return [row["text"].strip() for row in self.rows]

    @property
    def reasons(self) -> dict[str, str]:
        return {row["origin"]: row["reason"] for row in self.rejected}


def read(path: Path, folder: Path, *, label: str | None = None, max_bad_rows: int = 1000, **config: Any) -> Read:
    """Read `path` as the data stage does; `config` is the source's."""
    source = Input(
        position=0,
        path=path,
        digest=Digests().of(path),
        config=SourceConfig.model_validate({"path": str(path), **config}),
    )
    rejects = Rejects(folder / "rejected", folder / "scratch")
    tallies, _ = read_sources(
        [source],
        columns=Columns(text="text", label=label),
        max_bad_rows=max_bad_rows,
        out=folder / "raw",
        rejects=rejects,
        advance=lambda _: None,
    )
    rejects.close()
    rows = pq.read_table(folder / "raw").sort_by("place").to_pylist()
    return Read(rows=rows, rejected=pq.read_table(folder / "rejected").to_pylist(), tally=tallies[0])


def excel(rows: list[tuple[Any, ...]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def archive(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as written:
        for name, data in files.items():
            written.writestr(name, data)
    return stream.getvalue()


def pdf(pages: list[str]) -> bytes:
    """A PDF with one line of Chinese or English on each page; the font is named, not embedded (ISO 32000-1, 9.7.5)."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(f'{4 + 2 * n} 0 R' for n in range(len(pages)))}] >>",
        "<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UTF16-H /DescendantFonts [<< "
        "/Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /CIDSystemInfo << /Registry (Adobe) "
        "/Ordering (GB1) /Supplement 4 >> /FontDescriptor << /Type /FontDescriptor /FontName /STSong-Light /Flags 4 "
        "/FontBBox [-25 -254 1000 880] /ItalicAngle 0 /Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 >> >>] >>",
    ]
    for number, text in enumerate(pages):
        drawn = f"BT /F1 12 Tf 50 700 Td <{text.encode('utf-16-be').hex()}> Tj ET" if text else "0 0 10 10 re f"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    out = b"%PDF-1.7\n"
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("ascii")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    return out + (
        f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
        f"startxref\n{len(out)}\n%%EOF\n"
    ).encode("ascii")


def word(paragraphs: list[str]) -> bytes:
    """A .docx with the given paragraphs (ECMA-376)."""
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    office = "http://schemas.openxmlformats.org"
    return archive(
        {
            "[Content_Types].xml": (
                f'<?xml version="1.0"?><Types xmlns="{office}/package/2006/content-types">'
                '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
                '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
                'wordprocessingml.document.main+xml"/></Types>'
            ).encode(),
            "_rels/.rels": (
                f'<?xml version="1.0"?><Relationships xmlns="{office}/package/2006/relationships"><Relationship '
                f'Id="r1" Type="{office}/officeDocument/2006/relationships/officeDocument" '
                'Target="word/document.xml"/></Relationships>'
            ).encode(),
            "word/document.xml": (
                f'<?xml version="1.0"?><w:document xmlns:w="{office}/wordprocessingml/2006/main"><w:body>{body}'
                "</w:body></w:document>"
            ).encode(),
        }
    )
