"""Words that a team does not want in its data, from a file of its own.

The file is not shown to anyone who reads a report: a reason names the line on which a word stands, not the word.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from danlu.core.errors import DataError
from danlu.core.lazy import need
from danlu.data.filters.document import Document
from danlu.data.text import HAN


def fold(text: str) -> str:
    """`text` without differences of case and width (NFKC, then case folding)."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


class BlockedWords:
    """The words of a file, found in one pass over a text however many they are (Aho and Corasick 1975)."""

    def __init__(self, path: Path) -> None:
        """Raises `DataError` for a file that cannot be read or has no word, `MissingDependency` without the library."""
        self._line_of = _read(path)
        self._words = list(self._line_of)
        self._automaton = need("ahocorasick_rs", extra="data").AhoCorasick(self._words)

    def line(self, text: str) -> int:
        """The line of the file whose word stands in `text` (the smallest of several), or 0."""
        folded = fold(text)
        return min(
            (
                self._line_of[self._words[number]]
                for number, start, end in self._automaton.find_matches_as_indexes(folded, overlapping=True)
                if not (_goes_on(folded, start) or _goes_on(folded, end))
            ),
            default=0,
        )


def _goes_on(text: str, place: int) -> bool:
    """Whether a word in letters or digits runs across this place. Han words may stand anywhere."""
    if not 0 < place < len(text):
        return False
    return all(sign.isalnum() and not HAN.match(sign) for sign in (text[place - 1], text[place]))


def _read(path: Path) -> dict[str, int]:
    """The folded words of the file with the first line each stands on."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name}, the list of blocked words, is not UTF-8 (byte {error.start:,}). Save it as UTF-8, one word "
            "a line."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path.name}, the list of blocked words, cannot be read: {error.strerror}. Give a text file with one word "
            "a line."
        ) from error
    words: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if word := " ".join(fold(line).split()):
            words.setdefault(word, number)
    if not words:
        raise DataError(f"{path.name}, the list of blocked words, has no word in it. Write one word a line.")
    return words


def blocked_words(document: Document, words: BlockedWords) -> str:
    """`line_N` with the line of the file whose word a text has, or nothing."""
    line = words.line(document.text)
    return f"line_{line}" if line else ""
