"""What keeps data from training a model, seen from its texts and what they are to be answered with before a run."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from danlu.core.errors import DataError
from danlu.core.tasks import REGRESS, TASKS
from danlu.data.card import Funnel
from danlu.data.checks import CHECKS, LEAST_ROWS, check_rows
from danlu.data.config import DataConfig
from danlu.data.heads.settled import kept_of
from danlu.data.keys import EXACT_DUPLICATE, LABEL_CONFLICT
from danlu.data.labels.config import merged
from danlu.data.measured import mean_of
from danlu.data.rows import BROKEN, Columns, Unusable, columns_for, joined, read_label, read_text
from danlu.data.steps import STEPS, Apply, Record
from danlu.data.text import han_and_words, language_of
from danlu.sources.config import SourceConfig
from danlu.sources.files import File
from danlu.sources.formats import open_file
from danlu.sources.places import place_of
from danlu.sources.records import TEXT_COLUMN, TEXT_FORMATS
from danlu.sources.shapes import recognise
from danlu.sources.targets import TARGETS

#: Rows of which the texts are compared; of a larger file there will be enough.
_MOST_ROWS = 20_000


class Texts:
    """What the texts are like: lengths in characters, repeats, languages, and answers that contradict each other."""

    def __init__(self, task: str) -> None:
        self._task = task
        self.lengths: Counter[int] = Counter()
        self.languages: Counter[str] = Counter()
        self.count = self.duplicates = self.han = self.words = 0
        self._labels: dict[bytes, str | None] = {}

    def add(self, text: str, label: str) -> None:
        """Take note of a text and its label; an empty label is none."""
        self.count += 1
        self.lengths[len(text)] += 1
        digest = _digest(text)
        self.duplicates += digest in self._labels
        if self._labels.setdefault(digest, label) != label:
            self._labels[digest] = None  # no label is true of it
        han, words = han_and_words(text[:500])
        self.languages[language_of(han, words)] += 1
        self.han, self.words = self.han + han, self.words + words

    @property
    def usable(self) -> int:
        """Different texts that have one label alone; several numbers have a mean."""
        if self._task == REGRESS.name:
            return len(self._labels)
        return len(self._labels) - self._several

    @property
    def _several(self) -> int:
        """Texts with more than one label."""
        return sum(label is None for label in self._labels.values())

    def warnings(self, rows: int) -> Iterator[str]:
        """What is wrong with them, of so many `rows`."""
        yield from _torn(self._several, len(self._labels), self._task)
        if rows < LEAST_ROWS:
            yield f"Only {rows} row{'s' * (rows != 1)}: a run needs at least {LEAST_ROWS}."
        elif self.usable < LEAST_ROWS:
            many = "text" if self.usable == 1 else "texts"
            yield f"Only {self.usable} usable {many} (different, with one label each): a run needs {LEAST_ROWS}."


def _torn(torn: int, texts: int, task: str) -> Iterator[str]:
    """What is said of so many of `texts` that have more than one label or number."""
    if torn:
        some = f"{torn:,} of {texts:,} texts occur{'s' * (torn == 1)}"
        found = some if torn < texts else "Every text occurs"
        yield f"{found} {_TORN[task == REGRESS.name]} (data.label_conflicts)."


#: What becomes of texts with several answers: classes, and numbers.
_TORN = {
    False: "with different labels; such rows are rejected",
    True: "with different numbers; each is kept once, with their mean",
}


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=12).digest()


def outlook(config: DataConfig, paths: Sequence[Path], *, task: str) -> list[str]:
    """What people should know of the sources at `paths` before a run, which reads them in the same way.

    Raises `DataError` for a source that cannot be read, and where the run would refuse the rows that are left or their
    labels. Of data too large to compare here the first rows are looked at, and refuse nothing.
    """
    lost: Counter[str] = Counter()
    votes: dict[bytes, Counter[str]] = {}
    asked: set[bytes] = set()
    answered = TASKS[task].target is not None
    for row in itertools.islice(_rows(config, paths, task), _MOST_ROWS):
        lost[row.reason] += 1
        if row.reason:
            continue
        if answered and not row.label:
            asked.add(_digest(row.text))
        else:
            votes.setdefault(_digest(row.text), Counter())[row.label] += 1
    if asked:
        return _with_teacher(config, lost, votes, len(asked - votes.keys()))
    funnel = Funnel(lost.total())
    whole = funnel.rows < _MOST_ROWS
    del lost[""]
    funnel.step("clean", lost)
    if whole:
        check_rows(funnel.rows, funnel)
    several = TASKS[task].several
    measured = task == REGRESS.name and config.label_conflicts != "keep"
    one = _measured if measured else _KEPT[config.label_conflicts]
    keep = partial(kept_of, policy=config.label_conflicts) if several else one
    kept = [(label, count) for labels in votes.values() for label, count in keep(labels)]
    funnel.step("labels", Counter({LABEL_CONFLICT: funnel.rows - sum(count for _, count in kept)}))
    funnel.step("exact_duplicates", Counter({EXACT_DUPLICATE: funnel.rows - len(kept)}))
    torn = 0 if several else sum(len(labels) > 1 for labels in votes.values())
    told = list(_torn(torn, len(votes), task)) if config.label_conflicts == "drop" else []
    if (not kept and not whole) or config.labels.decisions is not None:
        return told  # what people decided is not known here, and changes labels
    if whole:
        check_rows(len(kept), funnel)
    try:
        return [*told, *CHECKS[task](Counter(label for label, _ in kept), config)]
    except DataError as error:
        if whole:
            raise
        return [*told, f"Of the first {_MOST_ROWS:,} rows: {error}"]


def _with_teacher(config: DataConfig, lost: Counter[str], votes: Mapping[bytes, Counter[str]], asked: int) -> list[str]:
    """The outlook where a teacher answers `asked` texts: what it will say is not known, nor which rows that leaves.

    `lost` counts the rows by why they go, `votes` the labels of each text that people answered.
    """
    funnel = Funnel(lost.total())
    del lost[""]
    funnel.step("clean", lost)
    left = sum(len(_KEPT[config.label_conflicts](labels)) for labels in votes.values()) + asked
    if funnel.rows_read < _MOST_ROWS:
        check_rows(left, funnel)
    torn = sum(len(labels) > 1 for labels in votes.values())
    return list(_torn(torn, len(votes), "classify")) if config.label_conflicts == "drop" else []


def _clear(labels: Mapping[str, int]) -> list[tuple[str, int]]:
    """The label that most of the equal texts carry; none where two are equally frequent."""
    most = max(labels.values())
    winners = [pair for pair in labels.items() if pair[1] == most]
    return winners if len(winners) == 1 else []


def _measured(labels: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(mean_of(labels), sum(labels.values()))]


#: What `data.label_conflicts` keeps of the labels of one text, and of how many rows each.
_KEPT: dict[str, Callable[[Mapping[str, int]], Sequence[tuple[str, int]]]] = {
    "drop": lambda labels: list(labels.items()) if len(labels) == 1 else [],
    "keep": lambda labels: list(labels.items()),
    "majority": _clear,
}


class _Row(NamedTuple):
    """One record: why it goes (empty where it stays), its clean text and its class."""

    reason: str
    text: str = ""
    label: str = ""


def _rows(config: DataConfig, paths: Sequence[Path], task: str) -> Iterator[_Row]:
    columns = columns_for(task, config)
    steps = [step.prepare(config, {}) for step in STEPS if step.name in ("normalise", "length")]
    for source, path in zip(config.sources, paths, strict=True):
        for file in place_of(path, source.format).files:
            yield from _of_file(file, source, columns, steps, config)


def _of_file(
    file: File, source: SourceConfig, columns: Columns, steps: Sequence[Apply], config: DataConfig
) -> Iterator[_Row]:
    opened = open_file(file, format=source.format, encoding=source.encoding, sheet=source.sheet)
    if opened.format in TEXT_FORMATS:
        columns = replace(columns, text=TEXT_COLUMN)
    for row in joined(opened.rows, columns) if columns.speaker else opened.rows:
        values = row.values
        if values is None or not (columns.text in values or (columns.shapes and recognise(values))):
            yield _Row(BROKEN)
            continue
        try:
            found = read_text(values, columns)
            label = _answer(values, source, columns, config)
        except Unusable as error:
            yield _Row(error.kind)
            continue
        except KeyError:  # another column that is wanted is not there
            yield _Row(BROKEN)
            continue
        record = Record(parts=found["parts"] or [found["text"]])
        reason = next(filter(None, (step(record) for step in steps)), "")
        yield _Row(reason, record.text, label)


def _answer(values: Mapping[str, Any], source: SourceConfig, columns: Columns, config: DataConfig) -> str:
    """What a record is to be answered with, as it is kept; empty for a task without answers, and for what a teacher
    shall answer. Raises `Unusable`.
    """
    target = TARGETS.get(columns.task)
    if target is None:
        return ""
    cell: Any = source.label
    if columns.reading.heads:
        cell = values
    elif cell is None and columns.unanswered and (columns.label is None or columns.label not in values):
        return ""  # the teacher's to answer
    elif cell is None:
        cell = values[columns.label or ""]
    return target.renamed(read_label(cell, columns)[1], lambda name: merged(name, config.labels))
