"""Data that cannot train a model is refused here, and data that people should look at is warned of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from danlu.core.errors import DataError
from danlu.data.card import Funnel
from danlu.data.config import CorpusConfig
from danlu.data.heads.counted import check_targets
from danlu.data.keys import Flags, Keys
from danlu.data.told import shape_of, told
from danlu.metrics.leaks import folded
from danlu.sources.targets import TARGETS

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


def check_answers(task: str, keys: Keys, kept: Flags, config: CorpusConfig) -> list[str]:
    """Warnings about what the rows that stay are to be answered with; see `CHECKS`."""
    counts = np.bincount(keys.label[kept], minlength=len(keys.labels)).tolist()
    return CHECKS[task](dict(zip(keys.labels, counts, strict=True)), config)


def check_classes(counts: Mapping[str, int], config: CorpusConfig) -> list[str]:
    """Warnings about labels of which so many rows are usable.

    Raises `DataError` when there is one class only, or nearly as many labels as rows.
    """
    present = {label: count for label, count in counts.items() if count}
    rows = sum(present.values())
    where = _where(config)
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
    few = _few(present)
    if few:
        warnings.append(f"Classes with fewer than {_FEW_ROWS} rows can hardly be learned or tested: {few}.")
    (small, least), (large, most) = ordered[0], ordered[-1]
    if most > _IMBALANCE * least:
        warnings.append(
            f"The class {told(large)} has {most / least:.0f} times the rows of {told(small)}: look at macro_f1 rather "
            "than accuracy, and consider train.class_weights: balanced."
        )
    return warnings


def check_tags(counts: Mapping[str, int], config: CorpusConfig) -> list[str]:
    """Warnings about the sets of labels of which so many rows are usable.

    Raises `DataError` when there is no label that some rows have and others have not, and for nearly as many labels as
    rows.
    """
    rows, where = sum(counts.values()), _where(config)
    sets = [(TARGETS["tag"].names(kept), count) for kept, count in counts.items()]
    tally: Counter[str] = Counter()
    for names, count in sets:
        tally.update(dict.fromkeys(names, count))
    present = {label: tally[label] for label in sorted(tally) if tally[label]}
    telling = [label for label, count in present.items() if count < rows]
    if not telling:
        said = f"the same labels, {_some([told(label) for label in present])}" if present else "no label"
        raise DataError(
            f"All {rows:,} usable rows have {said} (from {where}): there is nothing to learn. Check data.label and "
            "data.label_separator."
        )
    if len(present) * 2 > rows:
        shown = ", ".join(dict.fromkeys(shape_of(label) for label in list(present)[:20]))[:120]
        raise DataError(
            f"{where[0].upper()}{where[1:]} has {len(present):,} different labels in {rows:,} rows, built like {shown} "
            "(9: a digit, a: a letter). Set data.label to the column with the labels, and data.label_separator to what "
            "stands between them."
        )
    warnings = []
    few = _few(present)
    if few:
        warnings.append(f"Labels with fewer than {_FEW_ROWS} rows can hardly be learned or tested: {few}.")
    if not sum(count for names, count in sets if len(names) > 1):
        warnings.append(
            "No row has more than one label. If a text has just one, task: classify is simpler; else check "
            "data.label_separator."
        )
    always = [told(label) for label, count in present.items() if count == rows]
    if always:
        warnings.append(f"Every row has the label {_some(always)}: it tells nothing.")
    return warnings


def check_values(counts: Mapping[str, int], config: CorpusConfig) -> list[str]:
    """Raises `DataError` when all rows that are usable have the same number."""
    present = [float(value) for value, count in counts.items() if count]
    if len(present) == 1:
        raise DataError(
            f"All {sum(counts.values()):,} usable rows have the number {present[0]:g} (from {_where(config)}): there "
            "is nothing to learn. Check data.label."
        )
    return []


def _nothing(counts: Mapping[str, int], config: CorpusConfig) -> list[str]:
    del counts, config
    return []


#: What is looked at in the answers of a task's rows: of answers as they are kept (`danlu.sources.targets`), how many
#: usable rows have each.
CHECKS: dict[str, Callable[[Mapping[str, int], CorpusConfig], list[str]]] = {
    "classify": check_classes,
    "tag": check_tags,
    "regress": check_values,
    "multitask": lambda counts, config: check_targets(counts, config, CHECKS),
    "generate": _nothing,
    "embed": _nothing,
    "fill": _nothing,
}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation, least, median and largest of some numbers, to six digits; empty for none.

    Rounded, for a corpus must not become another one because a processor adds in another order.
    """
    if not len(values):
        return {}
    found = {
        "mean": np.mean(values),
        "std": np.std(values),
        "least": np.min(values),
        "median": np.median(values),
        "most": np.max(values),
    }
    return {name: float(f"{value:.6g}") for name, value in found.items()}


def _where(config: CorpusConfig) -> str:
    return f"the column {config.label!r}" if config.label else "the sources"


def _few(present: Mapping[str, int]) -> str:
    """The labels with few rows, the rarest first, in words; empty where there are none."""
    ordered = sorted(present.items(), key=lambda item: (item[1], item[0]))
    return _some([f"{told(label)} ({count})" for label, count in ordered if count < _FEW_ROWS])


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


def _some(items: Sequence[str], most: int = 8) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
