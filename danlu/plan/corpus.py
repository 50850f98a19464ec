"""How many rows the data stage is expected to leave for training, and how often training sees those of each kind.

The data room decides row by row; here only how many is asked. Tests hold both against each other.

Shapes: S sources, K classes (one where there are none).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as parquet

from danlu.core.errors import DataError
from danlu.plan.config import AugmentConfig, BalanceConfig, DataConfig, MixConfig, Selection
from danlu.plan.reading import Look

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The parts that are expected, in rows. `used` [S, K]: training rows of each source and class, repeats included;
    `held_out` [S, K]: share of each among the rows that are held back. `labels` names the classes.
    """

    train: int
    validation: int
    test: int
    used: Floats
    held_out: Floats
    labels: list[str]
    notes: list[str] = field(default_factory=list)


def read_sides(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Contents [C], sorted, and the side [C] of each, of the `sides.parquet` of an earlier corpus.

    Raises `DataError` for another file.
    """
    try:
        table = parquet.read_table(path, columns=["content", "part"])
        contents, parts = table["content"].cast(pa.uint64()).to_numpy(), table["part"].to_numpy()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(
            f"data.extends leads to {path.name!r}, which is not the sides.parquet of a corpus "
            f"({type(error).__name__}). Write corpus://NAME for the corpus of the last run of NAME."
        ) from None
    order = np.argsort(contents, kind="stable")
    return contents[order], parts[order]


def expected(config: DataConfig, look: Look, *, classify: bool) -> Corpus:
    """The corpus that the data stage will make of what was looked at, by expectation."""
    labels = look.labels if classify else []
    kinds = labels or [""]
    cells = np.zeros((len(config.sources), len(kinds)))
    for (source, label), count in look.cells.items():
        cells[source, kinds.index(label) if label in kinds else 0] += count
    drawn = look.rows if config.max_rows is None else min(config.max_rows, look.rows)
    usable = max(1, look.distinct_among(drawn))
    rows = {part: round(share * usable) for part, share in _shares(config, look).items()}
    shares = cells / max(1.0, cells.sum())
    notes = list(_said(config, look))
    used = _used(config, look, max(1, rows["train"]) * shares, notes, classify=classify)
    return Corpus(
        train=max(1, round(float(used.sum()))),
        validation=max(1, rows["validation"]),
        test=max(1, rows["test"]),
        used=used,
        held_out=shares,
        labels=labels,
        notes=notes,
    )


def _shares(config: DataConfig, look: Look) -> dict[str, float]:
    """The share of each part: that of the recipe, but for the rows that an earlier corpus has put on a side."""
    split = config.split
    wanted = {
        "train": 1.0 - split.validation - split.test,
        "validation": split.validation,
        "test": split.test,
    }
    seen = max(1, sum(look.copies.values()))
    free = 1.0 - sum(look.known) / seen
    return {part: free * share + known / seen for (part, share), known in zip(wanted.items(), look.known, strict=True)}


def _used(config: DataConfig, look: Look, rows: Floats, notes: list[str], *, classify: bool) -> Floats:
    """Training rows [S, K] after all that leaves some out and adds others, in the order of the data stage."""
    balance = config.balance if classify else None
    if config.outliers is not None:
        rows = rows * (1.0 - config.outliers.share)
    if balance is not None and balance.method == "undersample":
        rows = rows * _factors(rows.sum(axis=0), undersampled(balance, rows.sum(axis=0)))
    if config.mix is not None:
        rows = rows * _mixed(config.mix, look, rows.sum(axis=1))[:, None]
    if config.augment is not None:
        rows = rows + _added(config.augment, look, rows, notes)
    if balance is not None and balance.method == "oversample":
        rows = rows * _factors(rows.sum(axis=0), oversampled(balance, rows.sum(axis=0)))
    return rows


def _factors(before: Floats, after: Floats) -> Floats:
    return np.divide(after, before, out=np.zeros_like(after), where=before > 0)


def _mixed(config: MixConfig, look: Look, sizes: Floats) -> Floats:
    """How often a row of each source is used on average, [S], from the sources' training rows [S]."""
    units = sizes
    if config.unit == "characters":
        rows = np.zeros(len(sizes))
        for (source, _), count in look.cells.items():
            rows[source] += count
        letters = np.array([look.source_characters[source] for source in range(len(sizes))])
        units = sizes * _factors(rows, letters)
    return mixed(config, units)


def mixed(config: MixConfig, sizes: Floats) -> Floats:
    """How often each source's training rows are used on average, [S], by the sizes [S] in the mix's unit.

    The corpus becomes as large as it takes to use every row, unless a source would have to be repeated more often than
    `most_repeats`. Raises `DataError` when nothing would be left.
    """
    if config.temperature is not None:
        shares = np.where(sizes > 0, sizes ** (1.0 / config.temperature), 0.0)
    else:
        shares = np.where(sizes > 0, np.array(config.weights, dtype=np.float64), 0.0)
    there = shares > 0
    if not there.any():
        raise DataError("data.mix leaves nothing to train on: the sources with a weight have no training row.")
    needed = sizes[there] / shares[there]
    total = needed.max() if config.keep_all else min(needed.max(), config.most_repeats * needed.min())
    times = np.zeros(len(sizes))
    times[there] = np.minimum(total / needed, config.most_repeats)
    return np.where(there, np.maximum(times, 1.0), times) if config.keep_all else times


#: What sizes [K] a balance aims at, by its target: those that small classes are brought up to, those that large ones
#: are brought down to.
_TARGETS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "largest": (lambda sizes: sizes * 0 + sizes.max(), lambda sizes: sizes * 0 + sizes.min()),
    "mean": (lambda sizes: sizes * 0 + sizes.mean(), lambda sizes: sizes * 0 + sizes.mean()),
    "median": (lambda sizes: sizes * 0 + np.median(sizes), lambda sizes: sizes * 0 + np.median(sizes)),
    "square_root": (lambda sizes: np.sqrt(sizes * sizes.max()), lambda sizes: np.sqrt(sizes * sizes.min())),
}


def oversampled(config: BalanceConfig, sizes: Floats) -> Floats:
    """Rows of each class [K] once small classes are repeated."""
    wanted = np.floor(_TARGETS[config.target][0](sizes) + 0.5)
    return np.minimum(np.maximum(wanted, sizes), sizes * config.most_repeats)


def undersampled(config: BalanceConfig, sizes: Floats) -> Floats:
    """Rows of each class [K] once large classes are cut."""
    wanted = np.floor(_TARGETS[config.target][1](sizes) + 0.5)
    return np.minimum(np.maximum(wanted, 1.0), sizes)


def _added(config: AugmentConfig, look: Look, rows: Floats, notes: list[str]) -> Floats:
    """New rows [S, K] that augmentation makes at most, of plain texts alone: turns are not rewritten."""
    plain = sum(row.turns is None for row in look.sample) / max(1, len(look.sample))
    sizes = rows.sum(axis=0)
    labels = look.labels or [""]
    added = np.zeros_like(rows)
    for selection in _selections(config):
        chosen = [
            (not selection.labels or label in selection.labels)
            and (selection.fewer_than is None or size < selection.fewer_than)
            for label, size in zip(labels, sizes, strict=False)
        ]
        chosen += [False] * (len(sizes) - len(chosen))
        added += plain * selection.copies * selection.share * rows * np.array(chosen, dtype=np.float64)
    notes.append(
        f"Augmentation adds {added.sum():,.0f} training rows at most: copies that come out equal, or like a held-out "
        "text, are not added."
    )
    return added


def _selections(config: AugmentConfig) -> list[Selection]:
    return [
        *([config] if config.operations else []),
        *([config.generate] if config.generate is not None else []),
    ]


def _said(config: DataConfig, look: Look) -> list[str]:
    """What of the data section the plan cannot know, in sentences."""
    known = sum(look.known)
    unknown = {
        "Near duplicates are dropped (data.duplicates.drop_near); the plan does not look for them and counts them.": (
            config.duplicates.drop_near
        ),
        "Filters drop texts (data.filters); the plan does not run them and counts what they would drop.": (
            config.filters.active
        ),
        "The split goes by dates (data.split); the plan counts with its shares.": config.split.validation_from
        is not None,
        f"Of the texts looked at {known:,} are known to the earlier corpus and keep their side (data.extends); those "
        "that cleaning or masking changes are not recognised.": config.extends is not None,
    }
    return [sentence for sentence, holds in unknown.items() if holds]
