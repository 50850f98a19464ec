"""A look at a file before there is a recipe: what it is, which columns matter, what is in them."""

from __future__ import annotations

import glob
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from danlu.core.errors import DataError
from danlu.core.tasks import CLASSIFY, GENERATE, TaskName
from danlu.data.checks import fold, spelling_warnings
from danlu.data.guesses import (
    LABEL_NAMES,
    MOST_VALUES,
    SUBJECT_NAMES,
    TIME_NAMES,
    Look,
    named_column,
    target_column,
    text_column,
)
from danlu.data.outlook import Texts
from danlu.data.text import language_of, normalise
from danlu.data.told import told
from danlu.sources.encoding import guess_told
from danlu.sources.files import File
from danlu.sources.formats import open_file
from danlu.sources.places import name_of, place_of
from danlu.sources.records import TEXT_COLUMN, Opened, Row
from danlu.sources.shapes import DEFAULT_SPEAKERS, recognise, text_of
from danlu.sources.targets import Reading, kept_or_nothing
from danlu.sources.values import as_text

#: Rows looked at; a larger file is counted no further.
MAX_ROWS = 200_000

#: Share of the rows that must have a shape for a file to be instruction data.
_SHAPED = 0.9

#: Names of one class in Chinese, English and short; the first is the one proposed.
_SAME_CLASS = (
    ("positive", "pos", "good", "正面", "正向", "积极", "好评", "好"),
    ("negative", "neg", "bad", "负面", "负向", "消极", "差评", "坏", "差"),
    ("neutral", "neu", "中性", "中立", "中评", "一般"),
    ("yes", "true", "是", "对"),
    ("no", "false", "否", "不是"),
    ("spam", "垃圾", "垃圾邮件", "垃圾短信"),
    ("ham", "normal", "正常", "非垃圾"),
    ("other", "others", "其他", "其它"),
    ("complaint", "complaints", "投诉"),
)
_CLASS_OF = {fold(name): names[0] for names in _SAME_CLASS for name in names}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its filled cells, their mean length in characters, and how many different values (None: many)."""

    name: str
    filled: int
    mean_characters: float
    distinct: int | None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a file, or several of one kind, look like.

    `rows` counts records up to `MAX_ROWS`; `whole` says whether that was all. `duplicates` is how many of them repeat
    an earlier text. `lengths` are characters (p50, p95, max), `languages` the shares of the texts by language. `labels`
    counts the values of the label column, and `imbalance` is the largest class over the smallest. `alike` are labels
    that look like one class, by the name proposed for it. `usable` counts different texts that have one answer alone
    (any text, where there is no label). `text`, `label`, `subject` and `time` are guesses. `shape` is the form of
    instruction data that the records have (see `danlu.sources.shapes`), or None; with one there is neither. `task` is
    what the label column is good for, or generate.
    """

    name: str
    bytes: int
    format: str
    encoding: str | None
    rows: int
    whole: bool
    bad_rows: int
    columns: tuple[Column, ...]
    text: str
    label: str | None
    shape: str | None
    language: str
    lengths: dict[str, int]
    duplicates: int
    usable: int
    files: int = 1
    languages: dict[str, float] = field(default_factory=dict)
    subject: str | None = None
    time: str | None = None
    labels: dict[str, int] = field(default_factory=dict)
    alike: dict[str, list[str]] = field(default_factory=dict)
    imbalance: float | None = None
    warnings: tuple[str, ...] = ()
    task: TaskName = "generate"


def inspect(*paths: Path) -> Inspection:
    """Look at data files, folders of them, or patterns such as `data/*.csv`: all of them as one table.

    Raises `DataError` for what cannot be read, has no rows, or has no column with text.
    """
    files = [file for path in paths for file in _files(path)]
    first = name_of(paths[0]) or paths[0].resolve().name  # of the folder "."
    name = first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"
    try:
        looks, rows, bad, opened, shape, guessed = _columns(files)
    except DataError as error:
        if len(files) == 1:
            raise
        raise DataError(f"Of the {len(files):,} data files in {name!r}, one cannot be read. {error}") from None
    if not rows:
        why = f"{len(bad):,} broken; the first, {bad[0]}" if bad else "only a header, or blank lines"
        kind = opened.format if opened.encoding is None else f"{opened.format} in {opened.encoding.name}"
        raise DataError(f"{name}, read as {kind}, has no rows of data that can be read ({why}).")
    text = text_column(looks, name) if shape is None else TEXT_COLUMN
    label, task = target_column(looks, text, rows) if shape is None else (None, GENERATE.name)
    # A second pass: only now is it known which column to look into.
    texts = _texts(files, text, label, task)
    counts = looks[label].values if label is not None and task == CLASSIFY.name else None
    labels, spellings = _labels(counts or Counter())
    alike = _alike(labels)
    return Inspection(
        name=name,
        bytes=sum(file.packed_bytes() for file in files),
        files=len(files),
        format=opened.format,
        encoding=opened.encoding.name if opened.encoding else None,
        rows=rows + len(bad),
        whole=rows + len(bad) < MAX_ROWS,
        bad_rows=len(bad),
        columns=tuple(_column(name, look) for name, look in looks.items()),
        text=text,
        label=label,
        subject=named_column(looks, (text, label), SUBJECT_NAMES),
        time=named_column(looks, (text, label), TIME_NAMES, dated=True),
        shape=shape,
        language=language_of(texts.han, texts.words),
        languages={name: count / texts.count for name, count in texts.languages.items()},
        lengths=_percentiles(texts.lengths),
        duplicates=texts.duplicates,
        usable=texts.usable,
        labels=labels,
        alike=alike,
        imbalance=max(labels.values()) / min(labels.values()) if len(labels) > 1 else None,
        warnings=(
            *guessed,
            *_bad_rows(bad),
            *_no_label(looks, text, label, shape),
            *texts.warnings(rows),
            *_alike_warnings(alike),
            *spellings,
        ),
        task=task,
    )


def _files(path: Path) -> tuple[File, ...]:
    if not path.exists() and not glob.has_magic(str(path)):
        raise DataError(f"There is no file {str(path)!r}. Check the path.")
    try:
        return place_of(path).files
    except PermissionError:
        raise DataError(f"No permission to read {str(path)!r}. Give yourself read access to it.") from None


def _columns(files: Sequence[File]) -> tuple[dict[str, Look], int, list[str], Opened, str | None, list[str]]:
    """The columns, the rows that can be read, where and why others cannot, the first file, the shape of almost all.

    Last, what is to be said of files whose encoding is a guess.
    """
    shapes: Counter[str] = Counter()
    guessed: list[str] = []
    opened = open_file(files[0])
    looks: dict[str, Look] = {name: Look() for name in opened.columns}
    rows, bad = 0, list[str]()
    for file, row in _rows(files, guessed):
        if row.values is None:
            bad.append(f"{file.name}:{row.line}: {row.reason}")
            continue
        rows += 1
        shape = None if TEXT_COLUMN in row.values else recognise(row.values)
        if shape is not None:
            shapes[shape.name] += 1
        for name, value in row.values.items():
            found = as_text(value)
            if found is None and isinstance(value, list):
                found = json.dumps(value, ensure_ascii=False, default=str)
            if found is not None and (name in looks or len(looks) < MOST_VALUES):
                looks.setdefault(name, Look()).add(found)
    common, count = shapes.most_common(1)[0] if shapes else (None, 0)
    return looks, rows, bad, opened, common if count >= _SHAPED * rows else None, guessed


def _rows(files: Sequence[File], guessed: list[str] | None = None) -> Iterator[tuple[File, Row]]:
    """The first `MAX_ROWS` records of all files together, each with its file."""

    def every() -> Iterator[tuple[File, Row]]:
        for file in files:
            opened = open_file(file)
            if guessed is not None and opened.encoding and opened.encoding.guessed:
                guessed.append(guess_told(file.name))
            for row in opened.rows:
                yield file, row

    return itertools.islice(every(), MAX_ROWS)


def _column(name: str, look: Look) -> Column:
    return Column(
        name=name,
        filled=look.filled,
        mean_characters=round(look.mean, 1),
        distinct=None if look.values is None else len(look.values),
    )


def _texts(files: Sequence[File], text: str, label: str | None, task: TaskName) -> Texts:
    texts = Texts(task)
    for _, row in _rows(files):
        found = normalise(text_of(row.values, text, DEFAULT_SPEAKERS) or "") if row.values is not None else ""
        if not found or row.values is None:
            continue
        said = "" if label is None else kept_or_nothing(task, row.values.get(label), Reading(separator="|"))
        if label is None or said:
            texts.add(found, said)
    return texts


def _percentiles(lengths: Counter[int]) -> dict[str, int]:
    total, passed = sum(lengths.values()), 0
    wanted = {"p50": 0.5, "p95": 0.95}
    found = {"p50": 0, "p95": 0, "max": max(lengths, default=0)}
    for length in sorted(lengths):
        passed += lengths[length]
        for name, share in wanted.items():
            if not found[name] and passed >= share * total:
                found[name] = length
    return found


def _labels(raw: Counter[str]) -> tuple[dict[str, int], list[str]]:
    merged: Counter[str] = Counter()
    for value, count in raw.items():
        if value.strip():
            merged[value.strip()] += count
    return dict(sorted(merged.items(), key=lambda item: (-item[1], item[0]))), spelling_warnings(raw)


def _alike(labels: dict[str, int]) -> dict[str, list[str]]:
    """Labels that look like one class in two languages or spellings, by the most frequent of them."""
    groups: dict[str, list[str]] = {}
    for label in labels:  # the most frequent first
        folded = fold(label)
        groups.setdefault(_CLASS_OF.get(folded, folded), []).append(label)
    return {same[0]: same[1:] for same in groups.values() if len(same) > 1}


def _alike_warnings(alike: dict[str, list[str]]) -> Iterator[str]:
    for name, others in alike.items():
        if any(fold(other) != fold(name) for other in others):
            shown = " and ".join(map(repr, (name, *others)))
            yield f"The labels {shown} look like one class; data.labels.merge makes them one."


def _bad_rows(bad: Sequence[str]) -> Iterator[str]:
    if bad:
        rows = "row cannot be read; it" if len(bad) == 1 else "rows cannot be read; they"
        yield f"{len(bad):,} {rows} will be rejected with a reason, as {bad[0]}."


def _no_label(looks: dict[str, Look], text: str, label: str | None, shape: str | None) -> Iterator[str]:
    """Why the recipe is one for a language model, where the data did not ask for it."""
    if label is not None or shape is not None:
        return
    for name, look in looks.items():
        one = {value.strip() for value in look.values or ()}
        if name != text and LABEL_NAMES.search(name) and len(one) == 1:
            yield (
                f"The column {name!r} has one value alone, {told(*one)}: there are no classes to tell apart, so the "
                "recipe trains a language model. Add rows of another class."
            )
            return
    yield "No column looks like a label, so the recipe trains a language model."
