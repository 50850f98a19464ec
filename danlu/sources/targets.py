"""What a text is to be answered with, by task: how a cell is read, and how it is kept until the corpus is written.

It is kept as one string, equal for equal answers: the label; for tag the labels as a JSON list, sorted, each once; for
regress the number as Python spells it; for multitask all of these by target, as a JSON object. The plan and the data
stage both read cells by it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from danlu.core.heads import BETWEEN, HEAD_TASKS, Head, HeadTask, named, targets_in
from danlu.sources.values import as_text


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the cells are read: what stands between the labels of one cell, and whether a row may have none.

    `heads`: for multitask, how the cells of each target are read.
    """

    separator: str | None = None
    keep_unlabelled: bool = False
    heads: Mapping[str, HeadReading] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class HeadReading:
    """One of several targets: the kind of answer it is, its column, and how the cells there are read."""

    task: HeadTask
    column: str
    reading: Reading


def reading_of(data: Any) -> Reading:
    """How the cells are read by a recipe's data section, as the rooms know it that have one."""
    heads = {
        name: HeadReading(
            task=target.task,
            column=target.column or name,
            reading=Reading(separator=target.separator, keep_unlabelled=target.empty == "none"),
        )
        for name, target in sorted(data.targets.items())
    }
    return Reading(separator=data.label_separator, keep_unlabelled=data.unlabelled == "keep", heads=heads)


@dataclass(frozen=True, kw_only=True)
class Target:
    """The answers of one task.

    `spellings(cell, reading)`: the labels of a cell as the file has them, white space and all. `kept(spellings,
    reading)`: them as one string, empty where the row has no answer and is of no use. Both raise `ValueError` that says
    what is wrong with the cell, to be read behind its column's name, and nothing of what it holds. `names(kept)`: the
    labels in it, by which the split is stratified and rows are counted; none where answers are no labels.
    `renamed(kept, name)`: the same with each label as `name` calls it. `values(kept)`: what the corpus holds.
    """

    spellings: Callable[[Any, Reading], list[str]]
    kept: Callable[[Sequence[str], Reading], str]
    names: Callable[[str], tuple[str, ...]]
    renamed: Callable[[str, Callable[[str], str]], str]
    values: Callable[[str], Any]


def _text(cell: Any, reading: Reading) -> list[str]:
    del reading
    text = as_text(cell)
    if text is None:
        raise ValueError(f"holds a {type(cell).__name__}")
    return [text]


def _one(spellings: Sequence[str], reading: Reading) -> str:
    del reading
    return spellings[0].strip()


def _several(cell: Any, reading: Reading) -> list[str]:
    """The labels of a list, of a JSON list in text, or of text with separators; empty ones are no labels."""
    parts = cell
    text = as_text(cell)
    if text is not None:
        parts = _listed(text)
        if parts is None:
            parts = text.split(reading.separator) if reading.separator else [text]
    if not isinstance(parts, list | tuple | set | np.ndarray):
        raise ValueError(f"holds a {type(cell).__name__}; expected labels, as a list or as text between separators")
    found = [as_text(part) for part in parts]
    if None in found:
        raise ValueError("holds a list of something else than labels")
    return [label for label in found if label is not None and label.strip()]


def _listed(text: str) -> list[Any] | None:
    """The list that `text` spells as JSON, or None where it spells none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        parts = json.loads(text)
    except ValueError:
        return None
    return parts if isinstance(parts, list) else None


def _set(spellings: Sequence[str], reading: Reading) -> str:
    labels = sorted({label.strip() for label in spellings})
    return joined(labels) if labels or reading.keep_unlabelled else ""


def joined(labels: Sequence[str]) -> str:
    """Labels, sorted and each once, as they are kept."""
    return json.dumps(sorted(set(labels)), ensure_ascii=False)


def _names_of_set(kept: str) -> tuple[str, ...]:
    return tuple(json.loads(kept)) if kept else ()


def _number(spellings: Sequence[str], reading: Reading) -> str:
    del reading
    text = spellings[0].strip()
    if not text:
        return ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("holds no number such as 4.5")
    return repr(value)


def _by_target(cell: Any, reading: Reading) -> list[str]:
    """The spellings of all targets of a record, `cell`, each under its target's name. A column may be missing."""
    found = []
    for name, head in reading.heads.items():
        if head.column not in cell:
            continue
        try:
            spellings = TARGETS[head.task].spellings(cell[head.column], head.reading)
        except ValueError as error:
            raise ValueError(f"{head.column!r} {error}") from None
        # A target that is there without a label is not one that is not there.
        found += [named(name, spelling) for spelling in spellings or [""]]
    return found


def _targets(spellings: Sequence[str], reading: Reading) -> str:
    by_name: dict[str, list[str]] = {}
    for spelling in spellings:
        name, _, label = spelling.partition(BETWEEN)
        by_name.setdefault(name, []).append(label)
    found = {}
    for name, labels in by_name.items():
        head = reading.heads[name]
        target = TARGETS[head.task]
        try:
            there = [label for label in labels if label.strip()]
            kept = target.kept(there if head.task == "tag" else there or [""], head.reading)
        except ValueError as error:
            raise ValueError(f"{head.column!r} {error}") from None
        if kept:
            found[name] = target.values(kept)
    return told_targets(found)


def told_targets(found: Mapping[str, Any]) -> str:
    """Targets by name as they are kept; empty where there are none."""
    return json.dumps(found, ensure_ascii=False, sort_keys=True) if found else ""


def task_of(value: Any) -> HeadTask:
    """The task of a target with this value: a label, labels or a number."""
    return HEAD_TASKS[(str, list, float).index(type(value))]


def heads_in(kept: Sequence[str]) -> tuple[Head, ...]:
    """The targets that any of these answers has, by name, with the labels that they have there."""
    labels: dict[str, set[str]] = {}
    tasks = {}
    for row in targets_in(kept):
        for name, value in row.items():
            tasks[name] = task_of(value)
            found = labels.setdefault(name, set())
            found.update({"classify": [value], "tag": value, "regress": ()}[tasks[name]])
    return tuple(Head(name=name, task=tasks[name], labels=tuple(sorted(labels[name]))) for name in sorted(tasks))


def _names_of_targets(kept: str) -> tuple[str, ...]:
    found = json.loads(kept) if kept else {}
    return tuple(
        named(name, label)
        for name, value in found.items()
        if not isinstance(value, float)
        for label in ([value] if isinstance(value, str) else value)
    )


def _renamed_targets(kept: str, name: Callable[[str], str]) -> str:
    found = json.loads(kept) if kept else {}
    for target, value in found.items():
        if isinstance(value, str):
            found[target] = name(value)
        elif isinstance(value, list):
            found[target] = sorted({name(label) for label in value})
    return told_targets(found)


TARGETS: dict[str, Target] = {
    "classify": Target(
        spellings=_text,
        kept=_one,
        names=lambda kept: (kept,) if kept else (),
        renamed=lambda kept, name: name(kept),
        values=lambda kept: kept,
    ),
    "tag": Target(
        spellings=_several,
        kept=_set,
        names=_names_of_set,
        renamed=lambda kept, name: joined([name(label) for label in _names_of_set(kept)]),
        values=lambda kept: list(_names_of_set(kept)),
    ),
    "regress": Target(
        spellings=_text,
        kept=_number,
        names=lambda _: (),
        renamed=lambda kept, _: kept,
        values=float,
    ),
    "multitask": Target(
        spellings=_by_target,
        kept=_targets,
        names=_names_of_targets,
        renamed=_renamed_targets,
        values=lambda kept: kept,
    ),
}


def kept_or_nothing(task: str, cell: Any, reading: Reading) -> str:
    """What is kept of a cell; empty where it is of no use to `task`, for whoever only looks at the data."""
    target = TARGETS[task]
    try:
        return target.kept(target.spellings(cell, reading), reading)
    except ValueError:
        return ""
