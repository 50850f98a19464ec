"""Texts that are not prose: filters of Gopher, C4 and FineWeb.

All three are written for English. Where Chinese is another matter, the rule is adapted and says how: a Han character is
a word, its own full stops end a sentence, its own function words are the stop words, and what has no meaning (letters a
word) is not asked.
"""

from __future__ import annotations

import re

from danlu.data.filters.config import LineFilter, PageFilter, QualityFilter
from danlu.data.filters.document import Document
from danlu.data.filters.repetition import repeated_shares

#: Gopher's eight stop words, and eight function words of Chinese as frequent.
STOP_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset(("the", "be", "to", "of", "and", "that", "have", "with")),
    "zh": frozenset("的了是在不和有这"),
}
_BULLETS = ("•", "‣", "▪", "●", "◦", "·", "-", "*", "–")
_ELLIPSES = ("...", "…")
_ELLIPSIS = re.compile(r"\.{3,}|…+")
#: A word without the signs around it.
_BARE_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")

#: What ends a sentence, in English and Chinese, with the quotation marks that may follow. Chinese needs no space.
_SENTENCE_END = re.compile(r"[。！？]+[”’」』\"')）]*|[.!?]+[”’\"')]*(?=\s|$)")
#: C4: full stop, exclamation mark, question mark, end quotation mark.
_TERMINAL = tuple('.!?。！？"”」』')
#: FineWeb's line ends: C4's and what closes them; a Chinese line also ends in ； or ：.
_PUNCTUATION = tuple(".!?'\"。！？；：”’」』…")
_POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


def quality(document: Document, config: QualityFilter) -> str:
    """Which of Gopher's rules on quality a text breaks, or nothing."""
    words, lines = document.words, document.lines
    if len(words) < config.min_words:
        return "too_few_words"
    if len(words) > config.max_words:
        return "too_many_words"
    if not words:
        return ""
    if not document.is_han:
        bare = _BARE_WORD.findall(document.text)
        mean = sum(map(len, bare)) / len(bare) if bare else 0.0
        if mean < config.min_mean_word_length:
            return "short_words"
        if mean > config.max_mean_word_length:
            return "long_words"
    most = config.symbols_per_word * len(words)
    if document.text.count("#") > most:
        return "hash_signs"
    if len(_ELLIPSIS.findall(document.text)) > most:
        return "ellipses"
    if sum(line.startswith(_BULLETS) for line in lines) > config.bullet_lines * len(lines):
        return "bullet_lines"
    if sum(line.endswith(_ELLIPSES) for line in lines) > config.ellipsis_lines * len(lines):
        return "ellipsis_lines"
    if sum(word[0].isalpha() or any(map(str.isalpha, word)) for word in words) < config.alphabetic_words * len(words):
        return "few_alphabetic_words"
    if _stop_words(document) < config.stop_words:
        return "few_stop_words"
    return ""


def _stop_words(document: Document) -> float:
    """How many different stop words of its language a text has; endless where the language has no list here."""
    stop_words = STOP_WORDS.get(document.language)
    if stop_words is None:
        return float("inf")
    present = document.text if document.is_han else set(_BARE_WORD.findall(document.text.lower()))
    return sum(word in present for word in stop_words)


def page(document: Document, config: PageFilter) -> str:
    """Which of C4's rules a text breaks, or nothing."""
    text = document.text
    lower = text.lower()
    if config.curly_brackets and ("{" in text or "}" in text):
        return "curly_bracket"
    if config.lorem_ipsum and "lorem ipsum" in lower:
        return "lorem_ipsum"
    if not config.min_sentences:
        return ""
    counted = [line for line in document.lines if _counts(line, config)]
    if sum(_sentences(line) for line in counted) < config.min_sentences:
        return "few_sentences"
    return ""


def _counts(line: str, config: PageFilter) -> bool:
    if config.terminal_punctuation and not line.endswith(_TERMINAL):
        return False
    lower = line.lower()
    if config.javascript and "javascript" in lower:
        return False
    if config.policies and any(policy in lower for policy in _POLICIES):
        return False
    return len(Document(line).words) >= config.min_words_per_line


def _sentences(line: str) -> int:
    """How many sentences a line has; what follows the last full stop is one too."""
    ends = [match.end() for match in _SENTENCE_END.finditer(line)]
    return len(ends) + (not ends or ends[-1] < len(line.rstrip()))


def lines(document: Document, config: LineFilter) -> str:
    """Which of FineWeb's three rules a text breaks, or nothing."""
    every = document.lines
    if not every:
        return ""
    if sum(line.endswith(_PUNCTUATION) for line in every) <= config.punctuated_lines * len(every):
        return "few_punctuated_lines"
    if repeated_shares(every)[1] >= config.duplicate_line_characters:
        return "duplicate_lines"
    short = sum(_width(line, config.han_character_width) < config.short_line_characters for line in every)
    if short >= config.short_lines * len(every):
        return "short_lines"
    return ""


def _width(line: str, han_character_width: int) -> int:
    if line.isascii():
        return len(line)
    return len(line) + Document(line).han * (han_character_width - 1)
