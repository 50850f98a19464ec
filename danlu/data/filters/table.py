"""The filters on single texts, as a table, and their run over one text.

A filter sees a normalised text as a `Document` and says why it goes, or nothing. A new one is a configuration, a
function and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.core.config import Config
from danlu.data.filters import config as configs
from danlu.data.filters.blocked import BlockedWords, blocked_words
from danlu.data.filters.document import Document
from danlu.data.filters.gibberish import gibberish
from danlu.data.filters.quality import lines, page, quality
from danlu.data.filters.repetition import repetition


def _as_it_is(config: Any, _paths: Mapping[str, Path]) -> Any:
    return config


def _blocked_words(config: configs.BlockedWordsFilter, paths: Mapping[str, Path]) -> BlockedWords:
    return BlockedWords(paths.get("blocked_words.path", Path(config.path)))


def _length(document: Document, config: configs.LengthFilter) -> str:
    characters = len(document.text)
    if characters < config.min_characters:
        return "too_few_characters"
    if config.max_characters is not None and characters > config.max_characters:
        return "too_many_characters"
    if config.min_words and len(document.words) < config.min_words:
        return "too_few_words"
    if config.max_words is not None and len(document.words) > config.max_words:
        return "too_many_words"
    return ""


def _language(document: Document, config: configs.LanguageFilter) -> str:
    shares = document.shares
    if shares.words < config.min_words or shares.of(config.keep) >= config.share:
        return ""
    return shares.largest if shares.largest not in config.keep else "mixed"


@dataclass(frozen=True)
class Filter:
    """One filter: what may be asked of it, the function that judges, and what it makes ready once before.

    `reason(document, ready)` gives a word for why a text goes, or nothing. `prepare(config, paths)` makes `ready`; by
    default that is the configuration.
    """

    config: type[Config]
    reason: Callable[[Document, Any], str]
    prepare: Callable[[Any, Mapping[str, Path]], Any] = _as_it_is


#: In the order in which they run, the cheap ones first. The names are the fields of `FiltersConfig`.
FILTERS: dict[str, Filter] = {
    "length": Filter(configs.LengthFilter, _length),
    "blocked_words": Filter(configs.BlockedWordsFilter, blocked_words, _blocked_words),
    "language": Filter(configs.LanguageFilter, _language),
    "gibberish": Filter(configs.GibberishFilter, gibberish),
    "page": Filter(configs.PageFilter, page),
    "lines": Filter(configs.LineFilter, lines),
    "quality": Filter(configs.QualityFilter, quality),
    "repetition": Filter(configs.RepetitionFilter, repetition),
}


class Filters:
    """The filters that a configuration asks for, made ready once; several threads may use it at a time."""

    def __init__(self, config: configs.FiltersConfig, paths: Mapping[str, Path] | None = None) -> None:
        """`paths` are the files of the configuration's resources, by their dotted names within it.

        Raises `DataError` for a list of blocked words that cannot be used.
        """
        self._filters = [
            (name, row.reason, row.prepare(chosen, paths or {}))
            for name, row in FILTERS.items()
            if (chosen := getattr(config, name)) is not None
        ]

    def __bool__(self) -> bool:
        return bool(self._filters)

    def reason(self, text: str) -> str:
        """Why a normalised text goes, as `filter:reason` (`repetition:top_2_gram`), or nothing where it stays."""
        document = Document(text)
        for name, judge, ready in self._filters:
            if why := judge(document, ready):
                return f"{name}:{why}"
        return ""
