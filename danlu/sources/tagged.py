"""Corpora in which every word has its part of speech, as the People's Daily corpus of Peking University has them.

A line is `迈向/v 充满/v 希望/n`; several words that are one name stand in brackets, which have a tag too: `[中央/n
电视台/n]nt`. What is read is the text: the words without tags and brackets, and without the spaces between them, but
where two words of Latin letters or digits meet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from danlu.sources.records import TEXT_COLUMN, Asked, Opened, Position, Row, decoded, encoding_of

_WORD = re.compile(r"\[?(?P<word>\S+)/[A-Za-z]+(?:\][A-Za-z]+)?")

#: Between these a space is part of the text.
_LATIN = re.compile(r"(?<=[A-Za-z0-9]) (?=[A-Za-z0-9])")


def open_tagged(asked: Asked) -> Opened:
    """The lines of a tagged corpus, without their tags."""
    encoding = encoding_of(asked)
    position = Position()

    def rows() -> Iterator[Row]:
        for number, line, reason in decoded(asked.path, encoding, position):
            if line is None:
                yield Row(line=number, values=None, reason=reason)
            elif line.strip():
                yield _row(number, line)

    return Opened(format="tagged", encoding=encoding, columns=(TEXT_COLUMN,), rows=rows(), position=position)


def _row(number: int, line: str) -> Row:
    words = []
    for tagged in line.split():
        found = _WORD.fullmatch(tagged)
        if found is None:
            return Row(line=number, values=None, reason=f"a word without a tag ({tagged[:20]!r}; expected word/tag)")
        words.append(found["word"])
    return Row(line=number, values={TEXT_COLUMN: untagged(words)})


def untagged(words: list[str]) -> str:
    """The words as text."""
    return _LATIN.sub("\0", " ".join(words)).replace(" ", "").replace("\0", " ")
