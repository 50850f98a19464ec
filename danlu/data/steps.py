"""The steps that look at one row at a time, as a table, and their run over all rows on Daft.

A step gets a text and returns it, changed or not, with the reason to drop the row or an empty one. What the steps
leave is masked; nothing after this file sees the text as it came.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from danlu.data.config import DataConfig
from danlu.data.mask.masker import Masker
from danlu.data.mask.pseudonyms import read_key
from danlu.data.tables import BATCH_ROWS, RAW, batches
from danlu.data.text import normalise

TOO_SHORT = "too_short"
TOO_LONG = "too_long"

#: Not a step on texts: rows beyond `max_rows`, drawn by a hash of their id.
SAMPLE = "sample"
NOT_SAMPLED = "not_sampled"


@dataclass(kw_only=True)
class Cleaning:
    """What the row-wise steps need to know. Daft runs them in several threads, so nothing here is written to.

    `highest_draw` is the largest draw of a row that is used; see `draw`.
    """

    config: DataConfig
    highest_draw: int | None = None
    masker: Masker = field(init=False)

    def __post_init__(self) -> None:
        """Make what masks personal data, once for all threads. Raises `UserError` where its key is missing."""
        self.masker = Masker(self.config.mask, read_key(self.config.mask))


@dataclass(frozen=True, kw_only=True)
class Step:
    """One row-wise step: its name, the reasons for which it may drop a row, and what it does.

    `apply` gets the text, what to know, and where to count the values that it masks in this row.
    """

    name: str
    reasons: tuple[str, ...]
    apply: Callable[[str, Cleaning, Counter[str]], tuple[str, str]]


def _normalise(text: str, _: Cleaning, _masked: Counter[str]) -> tuple[str, str]:
    return normalise(text), ""


def _length(text: str, cleaning: Cleaning, _masked: Counter[str]) -> tuple[str, str]:
    if len(text) < cleaning.config.min_characters:
        return text, TOO_SHORT
    if len(text) > cleaning.config.max_characters:
        return text, TOO_LONG
    return text, ""


def _mask(text: str, cleaning: Cleaning, masked: Counter[str]) -> tuple[str, str]:
    found = cleaning.masker.mask_parts((text,))
    masked.update(found.counts)
    return found.parts[0], found.drop


#: In the order in which they run. A new row-wise step is one function and one row.
STEPS: tuple[Step, ...] = (
    Step(name="normalise", reasons=(), apply=_normalise),
    Step(name="length", reasons=(TOO_SHORT, TOO_LONG), apply=_length),
    Step(name="mask", reasons=(), apply=_mask),
)


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """One row after the steps: its masked text, which step drops it and why (empty where it stays), what was masked."""

    text: str
    step: str = ""
    reason: str = ""
    masked: Counter[str] = field(default_factory=Counter)


def clean_text(text: str, cleaning: Cleaning) -> Cleaned:
    """Run all steps over one text."""
    masked: Counter[str] = Counter()
    for step in STEPS:
        text, reason = step.apply(text, cleaning, masked)
        if reason:
            kept = cleaning.masker.mask_parts((text,)).parts[0] if cleaning.config.keep_rejected_text else ""
            return Cleaned(text=kept, step=step.name, reason=reason)
    return Cleaned(text=text, masked=masked)


def content_of(text: str) -> str:
    """The hash by which equal texts are known; 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _draw_of(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "big")


def draw(folder: Path, config: DataConfig) -> int | None:
    """The largest draw among `max_rows` rows chosen at random, or None when all rows are used.

    A row's draw is a hash of its id and the seed, so that the choice does not depend on the order of rows.
    """
    if config.max_rows is None:
        return None
    draws = [
        np.array([_draw_of(name, config.seed) for name in batch.column("id").to_pylist()], dtype=np.uint64)
        for batch in batches(folder, ["id"])
    ]
    every = np.concatenate(draws) if draws else np.zeros(0, dtype=np.uint64)
    if len(every) <= config.max_rows:
        return None
    return int(np.partition(every, config.max_rows - 1)[config.max_rows - 1])


def _clean_row(name: str, text: str, cleaning: Cleaning) -> Cleaned:
    if cleaning.highest_draw is not None and _draw_of(name, cleaning.config.seed) > cleaning.highest_draw:
        return Cleaned(text="", step=SAMPLE, reason=NOT_SAMPLED)
    return clean_text(text, cleaning)


def _daft() -> Any:
    """Daft, which must be told before its import not to report to its makers, and not to draw over our progress."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    import daft

    return daft


def masked_column(kind: str) -> str:
    """The column in which `clean` counts the masked values of a kind."""
    return f"masked_{kind}"


def clean(folder: Path, cleaning: Cleaning) -> Iterator[pa.Table]:
    """Run all steps over the Parquet files in `folder` (schema `RAW`).

    Yields batches of `RAW`'s columns with the cleaned text, `content`, `step` and `reason` (empty for a row that
    stays), and how many values of each kind were masked in the row (`masked_column`). Batches may come in any order.
    """
    daft = _daft()
    kinds = cleaning.config.mask.names
    words = ("text", "content", "step", "reason")
    counts = tuple(masked_column(kind) for kind in kinds)

    def run(names: Any, texts: Any) -> pa.Array:
        rows = zip(names.to_pylist(), texts.to_pylist(), strict=True)
        cleaned = [_clean_row(name, text, cleaning) for name, text in rows]
        return pa.StructArray.from_arrays(
            [
                pa.array([row.text for row in cleaned], pa.large_string()),
                pa.array(["" if row.reason else content_of(row.text) for row in cleaned], pa.large_string()),
                pa.array([row.step for row in cleaned], pa.large_string()),
                pa.array([row.reason for row in cleaned], pa.large_string()),
                *(pa.array([row.masked[kind] for row in cleaned], pa.int64()) for kind in kinds),
            ],
            names=[*words, *counts],
        )

    types = dict.fromkeys(words, daft.DataType.string()) | dict.fromkeys(counts, daft.DataType.int64())
    cleaned = daft.func.batch(return_dtype=daft.DataType.struct(types), use_process=False)(run)
    kept = [name for name in RAW.names if name != "text"]
    # Small morsels keep memory flat: a text may have millions of characters.
    with daft.context.execution_config_ctx(default_morsel_size=BATCH_ROWS):
        frame = daft.read_parquet(str(folder / "*.parquet"))
        frame = frame.with_column("cleaned", cleaned(daft.col("id"), daft.col("text")))
        fields = [daft.col("cleaned")[name].alias(name) for name in types]
        for batch in frame.select(*kept, *fields).to_arrow_iter():
            yield pa.table(batch)
