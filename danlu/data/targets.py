"""Targets in a corpus: the columns that hold what a text is to be answered with, and the strata of a split by them.

Until the corpus is written a target is one string, the column `label` of `RAW` and `CLEAN` (`danlu.sources.targets`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from danlu.core.heads import targets_in
from danlu.core.tasks import TASKS
from danlu.sources.targets import TARGETS

#: Every column that holds a target, with its type: a corpus has that of its task.
COLUMNS = {"label": pa.string(), "labels": pa.list_(pa.string()), "value": pa.float64(), "targets": pa.string()}


def columns(task: str, kept: Sequence[str]) -> dict[str, pa.Array]:
    """All of `COLUMNS` for rows [N] whose targets are `kept`; those of other tasks are null."""
    wanted = TASKS[task].target
    found = {name: pa.nulls(len(kept), kind) for name, kind in COLUMNS.items()}
    if wanted is not None:
        found[wanted] = pa.array([TARGETS[task].values(one) for one in kept], COLUMNS[wanted])
    return found


def answer_told(row: Mapping[str, Any]) -> str:
    """What a corpus row is to be answered with, in words: its label, its labels, its number; empty where there is none.

    The columns that its corpus does without may be missing.
    """
    label, labels, value, targets = (row.get(name) for name in COLUMNS)
    if targets is not None:
        return "; ".join(f"{name}: {_told(value)}" for name, value in targets_in([targets])[0].items())
    if labels is not None:
        return ", ".join(labels)
    return f"{value:g}" if value is not None else label or ""


def _told(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(value) if isinstance(value, list) else f"{value:g}"


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """By which labels a split is stratified: the labels, sorted, and the numbers of those in each kept string.

    A row without any label is of a class of its own, behind the others.
    """

    labels: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]

    def counts(self, rows_of_kept: np.ndarray) -> dict[str, int]:
        """Rows of each label that has some, from the rows of each kept string."""
        counts = np.zeros(len(self.labels) + 1, dtype=np.int64)
        for members, rows in zip(self.members, rows_of_kept.tolist(), strict=True):
            counts[list(members)] += rows
        return {label: int(count) for label, count in zip(self.labels, counts[:-1], strict=True) if count}


def strata(task: str, kept: Sequence[str]) -> Stratum:
    """The labels in the different `kept` strings of a corpus; for a task without labels all rows are alike."""
    target = TARGETS.get(task)
    names = [target.names(one) if target is not None else () for one in kept]
    labels = sorted({name for one in names for name in one})
    number = {label: place for place, label in enumerate(labels)}
    return Stratum(
        labels=tuple(labels), members=tuple(tuple(number[name] for name in one) or (len(labels),) for one in names)
    )
