"""The steps that look at one row at a time, as a table, and their run over all rows on Daft.

A step gets a text and returns it, changed or not, with the reason to drop the row or an empty one. What the steps
leave is masked; nothing after this file sees the text as it came.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from danlu.data.config import DataConfig
from danlu.data.mask import mask
from danlu.data.tables import BATCH_ROWS, RAW, batches
from danlu.data.text import normalise

TOO_SHORT = "too_short"
TOO_LONG = "too_long"

#: Not a step on texts: rows beyond `max_rows`, drawn by a hash of their id.
SAMPLE = "sample"
NOT_SAMPLED = "not_sampled"


@dataclass(kw_only=True)
class Cleaning:
    """What the row-wise steps need to know, and what they count.

    `highest_draw` is the largest draw of a row that is used; see `draw`.
    """

    config: DataConfig
    masked: Counter[str]
    highest_draw: int | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One row-wise step: its name, the reasons for which it may drop a row, and what it does."""

    name: str
    reasons: tuple[str, ...]
    apply: Callable[[str, Cleaning], tuple[str, str]]


def _normalise(text: str, _: Cleaning) -> tuple[str, str]:
    return normalise(text), ""


def _length(text: str, cleaning: Cleaning) -> tuple[str, str]:
    if len(text) < cleaning.config.min_characters:
        return text, TOO_SHORT
    if len(text) > cleaning.config.max_characters:
        return text, TOO_LONG
    return text, ""


def _mask(text: str, cleaning: Cleaning) -> tuple[str, str]:
    text, found = mask(text, cleaning.config.mask)
    if found:
        cleaning.masked.update(found)
    return text, ""


#: In the order in which they run. A new row-wise step is one function and one row.
STEPS: tuple[Step, ...] = (
    Step(name="normalise", reasons=(), apply=_normalise),
    Step(name="length", reasons=(TOO_SHORT, TOO_LONG), apply=_length),
    Step(name="mask", reasons=(), apply=_mask),
)


def clean_text(text: str, cleaning: Cleaning) -> tuple[str, str, str]:
    """`(text, step, reason)`: the masked text, and which step drops the row, if one does."""
    for step in STEPS:
        text, reason = step.apply(text, cleaning)
        if reason:
            kept = mask(text, cleaning.config.mask)[0] if cleaning.config.keep_rejected_text else ""
            return kept, step.name, reason
    return text, "", ""


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


def _clean_row(name: str, text: str, cleaning: Cleaning) -> tuple[str, str, str]:
    if cleaning.highest_draw is not None and _draw_of(name, cleaning.config.seed) > cleaning.highest_draw:
        return "", SAMPLE, NOT_SAMPLED
    return clean_text(text, cleaning)


def _daft() -> Any:
    """Daft, which must be told before its import not to report to its makers, and not to draw over our progress."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    import daft

    return daft


def clean(folder: Path, cleaning: Cleaning) -> Iterator[pa.Table]:
    """Run all steps over the Parquet files in `folder` (schema `RAW`).

    Yields batches of `RAW`'s columns with the cleaned text, and `content`, `step` and `reason` (empty for a row that
    stays). Batches may come in any order.
    """
    daft = _daft()

    def run(names: Any, texts: Any) -> pa.Array:
        rows = zip(names.to_pylist(), texts.to_pylist(), strict=True)
        cleaned = [_clean_row(name, text, cleaning) for name, text in rows]
        return pa.StructArray.from_arrays(
            [
                pa.array([text for text, _, _ in cleaned], pa.large_string()),
                pa.array(["" if reason else content_of(text) for text, _, reason in cleaned], pa.large_string()),
                pa.array([step for _, step, _ in cleaned], pa.large_string()),
                pa.array([reason for _, _, reason in cleaned], pa.large_string()),
            ],
            names=["text", "content", "step", "reason"],
        )

    kind = daft.DataType.struct(dict.fromkeys(("text", "content", "step", "reason"), daft.DataType.string()))
    cleaned = daft.func.batch(return_dtype=kind, use_process=False)(run)
    kept = [name for name in RAW.names if name != "text"]
    # Small morsels keep memory flat: a text may have millions of characters.
    with daft.context.execution_config_ctx(default_morsel_size=BATCH_ROWS):
        frame = daft.read_parquet(str(folder / "*.parquet"))
        frame = frame.with_column("cleaned", cleaned(daft.col("id"), daft.col("text")))
        fields = [daft.col("cleaned")[name].alias(name) for name in ("text", "content", "step", "reason")]
        for batch in frame.select(*kept, *fields).to_arrow_iter():
            yield pa.table(batch)
