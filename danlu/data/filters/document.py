"""One text as the filters see it: lines, words and languages, each found once and only when asked for."""

from __future__ import annotations

import re
from functools import cached_property

from danlu.data.filters.language import Shares, shares
from danlu.data.text import HAN, HAN_RANGES

#: A word between spaces, with the signs that touch it; a Han character with the signs behind it counts as one.
_WORD = re.compile(f"[{HAN_RANGES}][^\\w\\s]*|[^\\s{HAN_RANGES}]+")
_PARAGRAPHS = re.compile(r"\n\s*\n")


class Document:
    """A normalised text. Not for several threads at once; make one for each text."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def words(self) -> list[str]:
        """Words between spaces, and Han characters one by one, with the signs that touch them."""
        return self.text.split() if self.text.isascii() else _WORD.findall(self.text)

    @cached_property
    def lines(self) -> list[str]:
        """Lines with something on them, trimmed."""
        return [line.strip() for line in self.text.split("\n") if line.strip()]

    @cached_property
    def paragraphs(self) -> list[str]:
        """What empty lines set apart."""
        return [paragraph.strip() for paragraph in _PARAGRAPHS.split(self.text) if paragraph.strip()]

    @cached_property
    def han(self) -> int:
        """How many Han characters the text has."""
        return 0 if self.text.isascii() else len(HAN.findall(self.text))

    @cached_property
    def is_han(self) -> bool:
        """Whether most words are Han characters."""
        return self.han * 2 > len(self.words)

    @cached_property
    def shares(self) -> Shares:
        """How much of the text is Chinese, English and anything else."""
        return shares(self.text)

    @cached_property
    def language(self) -> str:
        """`zh`, `en` or `other`: the one with the largest share."""
        return self.shares.largest
