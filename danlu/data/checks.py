"""Data that cannot train a model is refused here, and data that people should look at is warned of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from danlu.core.errors import DataError
from danlu.data.card import Funnel
from danlu.data.config import CorpusConfig
from danlu.data.keys import Flags, Keys
from danlu.data.told import shape_of, told
from danlu.metrics.leaks import folded

LEAST_ROWS = 20

#: More rows of the largest class than so many times the smallest deserve a word.
_IMBALANCE = 20

_FEW_ROWS = 10


def check_rows(rows: int, funnel: Funnel) -> None:
    """Raise `DataError` when fewer than `LEAST_ROWS` rows are left, and say where the others went."""
    if rows >= LEAST_ROWS:
        return
    lost = funnel.lost()
    where = ", ".join(f"{count:,} {reason}" for reason, count in lost.most_common(5))
    left = "row is" if rows == 1 else "rows are"
    raise DataError(
        f"Only {rows:,} usable {left} left of {funnel.rows_read:,} read; at least {LEAST_ROWS} are needed."
        + (f" Dropped: {where}." if where else "")
        + " Add data, or check data.text, data.label and data.min_characters."
    )


def check_labels(keys: Keys, kept: Flags, config: CorpusConfig) -> list[str]:
    """Warnings about the labels of the rows that stay; see `check_classes`."""
    counts = np.bincount(keys.label[kept], minlength=len(keys.labels))
    return check_classes(dict(zip(keys.labels, counts.tolist(), strict=True)), config)


def check_classes(counts: Mapping[str, int], config: CorpusConfig) -> list[str]:
    """Warnings about labels of which so many rows are usable.

    Raises `DataError` when there is one class only, or nearly as many labels as rows.
    """
    present = {label: count for label, count in counts.items() if count}
    rows = sum(present.values())
    where = f"the column {config.label!r}" if config.label else "the sources"
    if len(present) == 1:
        raise DataError(
            f"All {rows:,} usable rows have the label {told(next(iter(present)))} (from {where}); a classifier needs "
            "at least two classes. Add rows of another class, check data.label, or set task: generate."
        )
    if len(present) * 2 > rows:
        # Such a column may be anybody's names or numbers: what it holds is not told, only how it is built.
        shown = ", ".join(dict.fromkeys(shape_of(label) for label in list(present)[:20]))[:120]
        raise DataError(
            f"{where[0].upper()}{where[1:]} has {len(present):,} different labels in {rows:,} rows, built like {shown} "
            "(9: a digit, a: a letter): that is no class. Set data.label to the column with the class."
        )
    ordered = sorted(present.items(), key=lambda item: (item[1], item[0]))
    warnings = []
    few = [f"{told(label)} ({count})" for label, count in ordered if count < _FEW_ROWS]
    if few:
        warnings.append(f"Classes with fewer than {_FEW_ROWS} rows can hardly be learned or tested: {_some(few)}.")
    (small, least), (large, most) = ordered[0], ordered[-1]
    if most > _IMBALANCE * least:
        warnings.append(
            f"The class {told(large)} has {most / least:.0f} times the rows of {told(small)}: look at macro_f1 rather "
            "than accuracy, and consider train.class_weights: balanced."
        )
    return warnings


def fold(label: str) -> str:
    """What two spellings of one label share: case, width and white space do not count."""
    return folded(label).replace(" ", "")


def spelling_warnings(raw: Counter[str]) -> list[str]:
    """A warning for each group of labels, as the files have them, that look like one label spelled in several ways.

    None where there are nearly as many labels as rows, which are no classes at all.
    """
    if len(raw) * 2 > raw.total():
        return []
    groups: dict[str, list[str]] = {}
    for label in sorted(raw):
        if label.strip():
            groups.setdefault(fold(label), []).append(label)
    warnings = []
    for same in groups.values():
        if len(same) < 2:
            continue
        shown = ", ".join(f"{told(label)} ({raw[label]:,} rows)" for label in same[:5])
        one = len({label.strip() for label in same}) == 1
        how = "taken as one class" if one else "kept as different classes; make them one in the file if they are"
        warnings.append(f"The label comes in several spellings: {shown}. They are {how}.")
    return warnings


def _some(items: list[str], most: int = 8) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
