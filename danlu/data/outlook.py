"""What keeps data from training a model, seen from its texts and what they are to be answered with before a run."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from danlu.data.checks import LEAST_ROWS
from danlu.data.config import DataConfig
from danlu.data.labels.config import merged
from danlu.data.text import han_and_words, language_of, normalise
from danlu.sources.formats import open_file
from danlu.sources.places import place_of
from danlu.sources.records import TEXT_COLUMN, TEXT_FORMATS
from danlu.sources.shapes import DEFAULT_SPEAKERS, text_of
from danlu.sources.targets import TARGETS, Reading, kept_or_nothing

#: Rows of which the texts are compared; of a larger file there will be enough.
_MOST_ROWS = 20_000


class Texts:
    """What the texts are like: lengths in characters, repeats, languages, and answers that contradict each other."""

    def __init__(self) -> None:
        self.lengths: Counter[int] = Counter()
        self.languages: Counter[str] = Counter()
        self.count = self.duplicates = self.han = self.words = 0
        self._labels: dict[bytes, str | None] = {}

    def add(self, text: str, label: str) -> None:
        """Take note of a text and its label; an empty label is none."""
        self.count += 1
        self.lengths[len(text)] += 1
        digest = hashlib.blake2b(text.encode("utf-8"), digest_size=12).digest()
        self.duplicates += digest in self._labels
        if self._labels.setdefault(digest, label) != label:
            self._labels[digest] = None  # no label is true of it
        han, words = han_and_words(text[:500])
        self.languages[language_of(han, words)] += 1
        self.han, self.words = self.han + han, self.words + words

    @property
    def usable(self) -> int:
        """Different texts that have one label alone."""
        return sum(label is not None for label in self._labels.values())

    def warnings(self, rows: int) -> Iterator[str]:
        """What is wrong with them, of so many `rows`."""
        torn = len(self._labels) - self.usable
        if torn:
            some = f"{torn:,} of {len(self._labels):,} texts occur{'s' if torn == 1 else ''}"
            found = some if self.usable else "Every text occurs"
            yield f"{found} with different labels; such rows are rejected (data.label_conflicts)."
        if rows < LEAST_ROWS:
            yield f"Only {rows} rows: a run needs at least {LEAST_ROWS}."
        elif self.usable < LEAST_ROWS:
            yield f"Only {self.usable} usable texts (different, with one label each): a run needs {LEAST_ROWS}."


def outlook(config: DataConfig, paths: Sequence[Path], *, task: str) -> list[str]:
    """What a run would stumble over in the sources at `paths`; nothing of data too large to compare here.

    Raises `DataError` for a source that cannot be read.
    """
    texts, rows = Texts(), 0
    for found in itertools.islice(_rows(config, paths, task), _MOST_ROWS):
        rows += 1
        if found is not None:
            texts.add(*found)
    if rows == _MOST_ROWS:
        return []
    kept = config.label_conflicts != "drop"
    return [told for told in texts.warnings(rows) if not (kept and "different labels" in told)]


def _rows(config: DataConfig, paths: Sequence[Path], task: str) -> Iterator[tuple[str, str] | None]:
    """Text and answer of each record, as it is kept; None for one that has none of either."""
    target = TARGETS.get(task)
    reading = Reading(separator=config.label_separator, keep_unlabelled=config.unlabelled == "keep")
    for source, path in zip(config.sources, paths, strict=True):
        for file in place_of(path, source.format).files:
            opened = open_file(file, format=source.format, encoding=source.encoding, sheet=source.sheet)
            column = TEXT_COLUMN if opened.format in TEXT_FORMATS else config.text
            for row in opened.rows:
                values = row.values or {}
                text = normalise(text_of(values, column, DEFAULT_SPEAKERS) or "", config.normalise)
                label = ""
                if target is not None:
                    cell = source.label if source.label is not None else values.get(config.label or "")
                    label = target.renamed(
                        kept_or_nothing(task, cell, reading), lambda name: merged(name, config.labels)
                    )
                yield (text, label) if text and (label or target is None) else None
