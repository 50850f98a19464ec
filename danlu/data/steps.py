"""The steps that look at one row at a time, as a table, and their run over all rows on Daft.

A step may change a row's parts and says why the row goes, or nothing. What the steps leave is masked; nothing after
this file sees the text as it came.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from danlu.data.config import CleanConfig
from danlu.data.filters.config import NormaliseConfig
from danlu.data.filters.table import Filters
from danlu.data.mask.masker import Masker
from danlu.data.mask.pseudonyms import read_key
from danlu.data.plain import ANYTHING, NOTHING, WHITE_SPACE, even, needs
from danlu.data.tables import BATCH_ROWS, RAW
from danlu.data.text import normalise

TOO_SHORT = "too_short"
TOO_LONG = "too_long"
EMPTY_TURN = "empty_turn"

#: Not a step on texts: rows beyond `max_rows`; see `danlu.data.sample`.
SAMPLE = "sample"
NOT_SAMPLED = "not_sampled"


@dataclass(kw_only=True, slots=True)
class Record:
    """A row under way: the one part of a plain text, or the turns of a dialogue.

    `masked` counts the values that were replaced, by kind; `near_misses` are kinds of values that look like one but
    fail their checksum.
    """

    parts: list[str]
    masked: Counter[str] = field(default_factory=Counter)
    near_misses: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The whole row as one text."""
        return as_text(self.parts)


def as_text(parts: Sequence[str]) -> str:
    """Turns as one text: what is compared, hashed and counted."""
    return parts[0] if len(parts) == 1 else "\n".join(parts)


#: Changes a record and says why it goes, or returns nothing.
Apply = Callable[[Record], str]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One row-wise step: its name, and what makes its function ready, once a process.

    `prepare(config, paths)` gets the configuration and the files that it names, by dotted name below `data`.
    Daft calls the function from several threads, so it must not write to anything but the record.
    """

    name: str
    prepare: Callable[[CleanConfig, Mapping[str, Path]], Apply]


def _normalise(config: CleanConfig, _paths: Mapping[str, Path]) -> Apply:
    def apply(record: Record) -> str:
        parts = [normalise(part, config.normalise) for part in record.parts]
        # A turn of nothing but a tag or a zero-width space: nobody shall learn to answer with nothing.
        emptied = len(parts) > 1 and any(was.strip() and not now for was, now in zip(record.parts, parts, strict=True))
        record.parts = parts
        return EMPTY_TURN if emptied else ""

    return apply


def _even(record: Record) -> str:
    record.parts = [even(part) for part in record.parts]
    return ""


def _length(config: CleanConfig, _paths: Mapping[str, Path]) -> Apply:
    def apply(record: Record) -> str:
        characters = sum(map(len, record.parts))
        if characters < config.min_characters:
            return TOO_SHORT
        return TOO_LONG if characters > config.max_characters else ""

    return apply


def below(section: str, paths: Mapping[str, Path]) -> dict[str, Path]:
    """The files that one section of the configuration names, by dotted name within it."""
    return {name.removeprefix(f"{section}."): path for name, path in paths.items() if name.startswith(f"{section}.")}


def _filters(config: CleanConfig, paths: Mapping[str, Path]) -> Apply:
    filters = Filters(config.filters, below("filters", paths))
    if not filters:
        return lambda _: ""
    return lambda record: filters.reason(record.text)


def _mask(config: CleanConfig, paths: Mapping[str, Path]) -> Apply:
    masker = Masker(config.mask, read_key(config.mask), paths=below("mask", paths))

    def apply(record: Record) -> str:
        masked = masker.mask_parts(record.parts)
        record.parts = list(masked.parts)
        record.masked = masked.counts
        record.near_misses = tuple(miss.kind for miss in masked.near_misses)
        return masked.drop

    return apply


#: In the order in which they run. A new row-wise step is one function and one row.
STEPS: tuple[Step, ...] = (
    Step(name="normalise", prepare=_normalise),
    Step(name="length", prepare=_length),
    Step(name="filters", prepare=_filters),
    Step(name="mask", prepare=_mask),
)


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """One row after the steps: its masked parts, and which step drops it and why (empty where it stays)."""

    parts: list[str]
    step: str = ""
    reason: str = ""
    masked: Counter[str] = field(default_factory=Counter)
    near_misses: tuple[str, ...] = ()


class Cleaner:
    """All steps, made ready once; several threads may use it at a time.

    `paths` are the files that the configuration names, by dotted name below `data`. `sampled` are the sorted
    places of the rows that are used, None for all.
    """

    def __init__(
        self, config: CleanConfig, paths: Mapping[str, Path], sampled: npt.NDArray[np.int64] | None = None
    ) -> None:
        self.config = config
        steps = [(step.name, step.prepare(config, paths)) for step in STEPS]
        self._mask = dict(steps)["mask"]
        self._sampled = sampled
        self._steps = {ANYTHING: steps, WHITE_SPACE: steps, NOTHING: steps}
        if config.normalise == NormaliseConfig():
            # What a text needs of the first step is known of a whole batch before; see `danlu.data.plain`.
            self._steps |= {WHITE_SPACE: [("normalise", _even), *steps[1:]], NOTHING: steps[1:]}

    def clean(self, parts: list[str], need: int = ANYTHING) -> Cleaned:
        """Run all steps over one row. A row that goes keeps its text, masked, only where that is asked for.

        `need` is what normalising has to do, where that is known.
        """
        record = Record(parts=parts)
        for name, apply in self._steps[need]:
            reason = apply(record)
            if reason:
                if self.config.keep_rejected_text and name != "mask":
                    self._mask(record)
                return Cleaned(parts=record.parts if self.config.keep_rejected_text else [], step=name, reason=reason)
        return Cleaned(parts=record.parts, masked=record.masked, near_misses=record.near_misses)

    def clean_answer(self, question: str, answer: str) -> Cleaned:
        """Run all steps over a question that was cleaned before and its new answer: parts are both.

        Both are judged together, as the turns of any conversation are, but the answer alone is normalised and masked:
        what masking left in the question, such as [PHONE], would make a phone of a number beside it.
        """
        record = Record(parts=[question, answer])
        for name, apply in self._steps[ANYTHING]:
            if name == "mask":
                record.parts = record.parts[1:]
            reason = apply(record)
            if reason:
                return Cleaned(parts=[], step=name, reason=reason)
        return Cleaned(parts=[question, *record.parts], masked=record.masked, near_misses=record.near_misses)

    def used(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of the rows at these places [N] are among those drawn."""
        if self._sampled is None:
            return np.ones(len(places), dtype=bool)
        found = np.minimum(np.searchsorted(self._sampled, places), len(self._sampled) - 1)
        return np.asarray(self._sampled[found] == places)


def content_of(text: str) -> str:
    """The hash by which equal texts are known; 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _daft() -> Any:
    """Daft, which must be told before its import not to report to its makers, and not to draw over our progress."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    import daft

    return daft


def clean(folder: Path, cleaner: Cleaner) -> Iterator[pa.Table]:
    """Run all steps over the Parquet files in `folder` (schema `RAW`).

    Yields batches of `RAW`'s columns with the cleaned text and turns, and with `content`, `step` and `reason` (empty
    for a row that stays), `masked` and `near_misses` (kinds, once for each value). Batches may come in any order.
    """
    daft = _daft()
    text, words = daft.DataType.string(), daft.DataType.list(daft.DataType.string())
    types = {"text": text, "parts": words, "rejected": text, "content": text, "step": text, "reason": text}
    types |= {"masked": words, "near_misses": words}

    def run(places: Any, texts: Any, parts: Any, rejected: Any, beside: Any) -> pa.Array:
        found = texts.to_pylist()
        used = cleaner.used(places.to_arrow().to_numpy()).tolist()
        columns = (used, found, needs(found).tolist(), parts.to_pylist(), rejected.to_pylist(), beside.to_pylist())
        return pa.array([_cleaned(cleaner, *row) for row in zip(*columns, strict=True)], _ARROW)

    cleaned = daft.func.batch(return_dtype=daft.DataType.struct(types), use_process=False)(run)
    kept = [name for name in RAW.names if name not in types]
    inputs = [daft.col(name) for name in ("place", "text", "parts", "rejected", "columns")]
    fields = [daft.col("cleaned")[name].alias(name) for name in types]
    # Small morsels keep memory flat: a text may have millions of characters. One file after the other does too: Daft
    # reads ahead of a slow function, the whole of a large file.
    with daft.context.execution_config_ctx(default_morsel_size=BATCH_ROWS):
        for path in sorted(folder.glob("*.parquet")):
            frame = daft.read_parquet(_literally(path)).with_column("cleaned", cleaned(*inputs))
            for batch in frame.select(*kept, *fields).to_arrow_iter():
                yield pa.table(batch)


def _literally(path: Path) -> str:
    """A path as a pattern that means it alone: Daft reads `[v2]`, `{1}` and `*` in a path as patterns."""
    return str(path).translate({ord(sign): f"[{sign}]" for sign in "*?[]{}"})


_WORDS = pa.large_list(pa.large_string())
_ARROW = pa.struct(
    [
        ("text", pa.large_string()),
        ("parts", _WORDS),
        ("rejected", pa.large_string()),
        ("content", pa.large_string()),
        ("step", pa.large_string()),
        ("reason", pa.large_string()),
        ("masked", _WORDS),
        ("near_misses", _WORDS),
    ]
)


def _cleaned(
    cleaner: Cleaner,
    used: bool,
    text: str,
    need: int,
    parts: list[str] | None,
    rejected: str | None,
    beside: str | None,
) -> dict[str, Any]:
    """One row of `clean`. The answer that was liked less is cleaned as a last turn, and is not in the text.

    `beside`: the cells beside the text. Equal texts beside other cells are not the same question.
    """
    if not used:
        row = Cleaned(parts=[], step=SAMPLE, reason=NOT_SAMPLED)
    elif parts is None:
        row = cleaner.clean([text], need)
    else:
        row = cleaner.clean(parts if rejected is None else [*parts, rejected])
    turns = row.parts
    if rejected is not None and turns:
        turns, rejected = turns[:-1], turns[-1]
    whole = as_text(turns) if turns else ""
    return {
        "text": whole,
        "parts": None if parts is None else turns,
        "rejected": rejected if turns else None,
        "content": "" if row.reason else content_of(whole if beside is None else f"{whole}\n{beside}"),
        "step": row.step,
        "reason": row.reason,
        "masked": list(row.masked.elements()),
        "near_misses": list(row.near_misses),
    }
