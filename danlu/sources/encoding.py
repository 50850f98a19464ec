"""Which encoding a text file is in, and its lines as bytes, in flat memory.

Detection looks at the whole file, 1 MiB at a time: a file that is ASCII for its first thousand lines may be GBK
after them. What decodes strictly as UTF-8 is UTF-8, for it hardly ever happens by chance. Otherwise the shares of
well-formed and broken sequences decide, so that one broken byte does not turn a Chinese file into Latin-1.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

from danlu.core.errors import DataError
from danlu.sources.files import CHUNK_BYTES, Readable

#: A longer line is no record of a data file; it is rejected without being held in memory.
MAX_LINE_BYTES = 16 << 20

_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

#: Two bytes, both above 0xA0: how GBK spells the characters of everyday Chinese (GB 2312).
_GB2312_PAIR = re.compile(rb"[\xa1-\xf7][\xa1-\xfe]")

#: A lead byte of GBK with a trail byte that is ASCII or a control: rare in Chinese, common where Latin-1 is misread.
_OTHER_PAIR = re.compile(rb"[\x81-\xfe](?:[\x00-\xa0\xff]|$)")

#: Control characters; not tab, line feed, vertical tab, form feed, carriage return and escape, which text may hold.
_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n\v\f\r\x1b")

#: What `replace` puts in the place of a broken sequence.
_MARK = "\ufffd"

#: Broken sequences allowed for one well-formed sequence before an encoding is given up.
_BROKEN_SHARE = 0.02


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What a file is written in. `name` is Python's; `broken` counts byte sequences that do not fit it.

    `guessed`: nothing in the file speaks for it, but it is what is left.
    """

    name: str
    broken: int = 0
    nul_bytes: int = 0
    guessed: bool = False


def guess_told(name: str) -> str:
    """What people are told of a file of this name whose encoding is a guess."""
    return (
        f"{name} is neither UTF-8 nor GBK and was read as Latin-1: look whether its accents are right. If it is in "
        "another encoding, name that in the source's encoding."
    )


def detect(path: Readable) -> Encoding:
    """The encoding of a text file.

    Raises `DataError` for a file that is no text: without a byte order mark, NUL bytes in more than 1 % of it, or of
    what would else be taken for Latin-1, in which every byte is a character, any NUL or control characters in 1 %.
    """
    with path.open("rb") as file:
        head = file.read(4)
    for mark, name in _BOMS:
        if head.startswith(mark):
            return Encoding(name=name)
    nul_bytes, size, good, broken = _try_utf8(path)
    if nul_bytes > size / 100:
        raise DataError(
            f"{path.name} is no text file: {nul_bytes:,} of its {size:,} bytes are NUL. Expected CSV, TSV, JSON or "
            "plain text. A file of UTF-16 text must start with a byte order mark; save it again as UTF-8."
        )
    if broken <= good * _BROKEN_SHARE:
        return Encoding(name="utf-8", broken=broken, nul_bytes=nul_bytes)
    pairs, others = _count_gbk(path)
    if pairs >= 3 * others:
        return Encoding(name="gb18030", broken=_broken_in(path, "gb18030"), nul_bytes=nul_bytes)
    controls = sum(len(chunk) - len(chunk.translate(None, _CONTROLS)) for chunk in _chunks(path))
    if nul_bytes or controls > size / 100:
        raise DataError(
            f"{path.name} is no text file: it is neither UTF-8 nor GBK, and {controls:,} of its {size:,} bytes are "
            "control characters. Expected CSV, TSV, JSON or plain text. Is it an image, a program or a compressed file "
            "with another name?"
        )
    return Encoding(name="latin-1", guessed=True)


def check(path: Readable, name: str) -> Encoding:
    """`name`, asked for by the user, if the file can be read in it.

    Raises `DataError` for an unknown name, and when much of the file does not decode.
    """
    try:
        codecs.lookup(name)
    except LookupError:
        raise DataError(
            f"There is no encoding {name!r} (asked for to read {path.name}). Use auto, utf-8, gb18030 or latin-1."
        ) from None
    found = detect(path)
    broken = _broken_in(path, name)
    if broken and found.name != name and broken > found.broken:
        line, byte = _first_broken(path, name)
        raise DataError(
            f"{path.name} cannot be read as {name}: line {line} has the byte 0x{byte:02x}, which does not fit. It "
            f"looks like {found.name}: set encoding to {found.name}, or to auto."
        )
    return Encoding(name=name, broken=broken, nul_bytes=found.nul_bytes)


def _chunks(path: Readable) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _try_utf8(path: Readable) -> tuple[int, int, int, int]:
    """NUL bytes, size, well-formed multi-byte sequences and broken sequences, the file read as UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    nul_bytes = size = good = broken = 0
    for chunk in _chunks(path):
        nul_bytes += chunk.count(0)
        size += len(chunk)
        text = decoder.decode(chunk)
        if not text.isascii():
            bad = text.count(_MARK)
            broken += bad
            good += len(text.encode("utf-8")) - len(text) - 2 * bad
    broken += decoder.decode(b"", True).count(_MARK)
    # A file may hold the mark itself: of texts that were damaged before they were saved as UTF-8.
    real = _marks(path, "utf-8", "ignore") if broken else 0
    return nul_bytes, size, good + 2 * real, broken - real


def _count_gbk(path: Readable) -> tuple[int, int]:
    pairs = others = 0
    for chunk in _chunks(path):
        pairs += len(_GB2312_PAIR.findall(chunk))
        others += len(_OTHER_PAIR.findall(_GB2312_PAIR.sub(b"", chunk)))
    return pairs, others


def _broken_in(path: Readable, name: str) -> int:
    """How many sequences of the file do not decode as `name`."""
    marks = _marks(path, name, "replace")
    return marks - _marks(path, name, "ignore") if marks else 0


def _marks(path: Readable, name: str, errors: str) -> int:
    """How many replacement characters the file decodes to: those in it and, with `replace`, one a broken sequence."""
    decoder = codecs.getincrementaldecoder(name)(errors)
    marks = sum(decoder.decode(chunk).count(_MARK) for chunk in _chunks(path))
    return marks + decoder.decode(b"", True).count(_MARK)


def _first_broken(path: Readable, name: str) -> tuple[int, int]:
    """Line number and byte of the first place that does not decode as `name`."""
    for number, line in enumerate(lines(path, name), 1):
        try:
            (line or b"").decode(name)
        except UnicodeDecodeError as error:
            return number, error.object[error.start]
    return 1, 0


def lines(path: Readable, name: str) -> Iterator[bytes | None]:
    """The lines of a file with their line ends, in the encoding `name` (UTF-16 as UTF-8; see `line_encoding`).

    A line longer than `MAX_LINE_BYTES` comes as None. At most that much is in memory.
    """
    rest: list[bytes] = []
    held = 0
    for chunk in _recoded(path, name):
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            piece = chunk[start : end + 1]
            start = end + 1
            if rest:
                held += len(piece)
                rest.append(piece)
                yield b"".join(rest) if held <= MAX_LINE_BYTES else None
                rest, held = [], 0
            else:
                yield piece
        if start < len(chunk):
            held += len(chunk) - start
            rest.append(chunk[start:])
            if held > MAX_LINE_BYTES:
                rest = [b""]
    if rest:
        yield b"".join(rest) if held <= MAX_LINE_BYTES else None


def line_encoding(name: str) -> str:
    """The encoding in which `lines` yields the lines of a file written in `name`."""
    return "utf-8" if _is_recoded(name) else name


def bytes_in_file(line: bytes, name: str) -> int:
    """How many bytes a line that `lines` yields takes up in a file written in `name`."""
    if not codecs.lookup(name).name.startswith(("utf-16", "utf-32")):
        return len(line)
    # Python starts every encoded text with a byte order mark; the file has one in all.
    return len(line.decode("utf-8", "replace").encode(name, "replace")) - len("".encode(name))


def _is_recoded(name: str) -> bool:
    # In these, the byte 0x0A may be half of another character, and a byte order mark starts the first line.
    return codecs.lookup(name).name.startswith(("utf-16", "utf-32", "utf-8-sig"))


def _recoded(path: Readable, name: str) -> Iterator[bytes]:
    if not _is_recoded(name):
        yield from _chunks(path)
        return
    decoder = codecs.getincrementaldecoder(name)("surrogateescape" if name == "utf-8-sig" else "replace")
    for chunk in _chunks(path):
        yield decoder.decode(chunk).encode("utf-8", "surrogateescape")
    yield decoder.decode(b"", True).encode("utf-8", "surrogateescape")
