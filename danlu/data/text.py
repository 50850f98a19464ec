"""Cleaning of one text, and what language it is in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import ftfy
from ftfy.badness import is_bad

from danlu.core.lazy import need
from danlu.data.filters.config import NormaliseConfig
from danlu.data.markup import HTML_TAG, without_tags

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
#: zero-width joiners stay where emoji and some scripts need them: not between ASCII signs, where they only hide what a
#: text says.
_REMOVED = re.compile(
    "(?<=[!-~])[\u200b-\u200d]+(?=[!-~])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_LINE_ENDS = re.compile("\r\n?|\u2028|\u2029|\x85")
_MANY_LINES = re.compile("\n{3,}")

#: The range of ASCII that Unicode's block of full width has again from U+FF01, and the wide space.
_HALF_WIDTH_ALL = {0xFF01 + offset: 0x21 + offset for offset in range(94)} | {0x3000: 0x20}
_HALF_WIDTH: dict[str, dict[int, int]] = {
    "off": {},
    "letters_and_digits": {wide: half for wide, half in _HALF_WIDTH_ALL.items() if chr(half).isalnum()},
    "all": _HALF_WIDTH_ALL,
}

HAN_RANGES = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
HAN = re.compile(f"[{HAN_RANGES}]")
_WORD = re.compile(f"[^\\W\\d_{HAN_RANGES}]+")

#: A text is Chinese when it has at least this many Han characters for each word in letters.
_HAN_PER_WORD = 1.0

DEFAULT = NormaliseConfig()


def normalise(text: str, config: NormaliseConfig = DEFAULT) -> str:
    """The same text with broken encoding mended, tags and controls removed and white space made even.

    By default, runs of spaces become one, lines are trimmed, more than one empty line becomes one, and the tags of
    plain HTML go while its blocks become lines. Characters of full width, Chinese punctuation, case and accents stay
    as they are; composed accents are used (NFC). Raises `MissingDependency` where the configuration asks for a
    library that is not installed.
    """
    if config.html != "keep" and "<" in text and (config.html == "strip" or HTML_TAG.search(text)):
        text = without_tags(text, every=config.html == "strip")
    if config.mojibake:
        text = _mend(text)
    if config.nfkc or config.full_width_to_half != "off" or config.traditional_to_simplified:
        text = _convert(text, config)
    if config.white_space == "even" and text.isprintable():
        # No controls, no line feeds, no space but the plain one.
        return " ".join(text.split())
    text = _LINE_ENDS.sub("\n", text)
    if config.controls:
        text = _REMOVED.sub("", text)
    return _WHITE_SPACE[config.white_space](text)


def _mend(text: str) -> str:
    if not text.isascii():
        if is_bad(text) or _ENTITY.search(text):
            return str(ftfy.fix_text(text, _FIXER))
        if not unicodedata.is_normalized("NFC", text):
            return unicodedata.normalize("NFC", text)
    elif "&" in text and _ENTITY.search(text):
        return str(ftfy.fix_text(text, _FIXER))
    return text


def _convert(text: str, config: NormaliseConfig) -> str:
    if text.isascii():
        return text
    if config.nfkc:
        text = unicodedata.normalize("NFKC", text)
    text = text.translate(_HALF_WIDTH[config.full_width_to_half])
    if config.traditional_to_simplified and HAN.search(text):
        text = _simplifier()(text)
    return text


@lru_cache(maxsize=1)
def _simplifier() -> Callable[[str], str]:
    convert: Callable[[str], str] = need("opencc", extra="chinese").OpenCC("t2s").convert
    return convert


def _even(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return _MANY_LINES.sub("\n\n", "\n".join(lines)).strip()


def _lines(text: str) -> str:
    return _MANY_LINES.sub("\n\n", "\n".join(line.rstrip() for line in text.split("\n"))).strip("\n")


def _keep(text: str) -> str:
    return text


_WHITE_SPACE: dict[str, Callable[[str], str]] = {"even": _even, "lines": _lines, "keep": _keep}


def han_and_words(text: str) -> tuple[int, int]:
    """How many Han characters, and how many words in letters, a text has."""
    if text.isascii():
        return 0, len(_WORD.findall(text))
    return len(HAN.findall(text)), len(_WORD.findall(text))


def language_of(han: int, words: int) -> str:
    """`zh` or `en`, from the counts over many texts."""
    return "zh" if han > words * _HAN_PER_WORD else "en"
