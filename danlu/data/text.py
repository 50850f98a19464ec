"""Cleaning of one text, and what language it is in."""

from __future__ import annotations

import re
import unicodedata

import ftfy
from ftfy.badness import is_bad

#: Mends mojibake and leaves everything else alone: full-width forms and curly quotes are right in Chinese.
_FIXER = ftfy.TextFixerConfig(
    unescape_html="auto",
    fix_character_width=False,
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    normalization="NFC",
    explain=False,
)

_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#[0-9]{2,6}|#x[0-9a-fA-F]{2,5});")

#: Controls (but tab and line feed), lone surrogates, directional marks, zero-width space, byte order marks. The
#: zero-width joiners stay: emoji and some scripts need them.
_REMOVED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_LINE_ENDS = re.compile("\r\n?|\u2028|\u2029|\x85")
_MANY_LINES = re.compile("\n{3,}")

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
HAN = re.compile(f"[{_HAN}]")
_WORD = re.compile(f"[^\\W\\d_{_HAN}]+")

#: A text is Chinese when it has at least this many Han characters for each word in letters.
_HAN_PER_WORD = 1.0


def normalise(text: str) -> str:
    """The same text with broken encoding mended, controls removed and white space made even.

    Runs of spaces become one, lines are trimmed, more than one empty line becomes one. Characters of full width,
    Chinese punctuation, case and accents stay as they are; composed accents are used (NFC).
    """
    if not text.isascii():
        if is_bad(text) or _ENTITY.search(text):
            text = ftfy.fix_text(text, _FIXER)
        elif not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    elif "&" in text and _ENTITY.search(text):
        text = ftfy.fix_text(text, _FIXER)
    if text.isprintable():
        # No controls, no line feeds, no space but the plain one.
        return " ".join(text.split())
    text = _REMOVED.sub("", _LINE_ENDS.sub("\n", text))
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return _MANY_LINES.sub("\n\n", "\n".join(lines)).strip()


def han_and_words(text: str) -> tuple[int, int]:
    """How many Han characters, and how many words in letters, a text has."""
    if text.isascii():
        return 0, len(_WORD.findall(text))
    return len(HAN.findall(text)), len(_WORD.findall(text))


def language_of(han: int, words: int) -> str:
    """`zh` or `en`, from the counts over many texts."""
    return "zh" if han > words * _HAN_PER_WORD else "en"
