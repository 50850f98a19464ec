"""Benchmarks that the recipe names, held against the training rows.

A benchmark is normalised and masked as the training rows were: a row with a phone number in it is a leak also where
the training row says [PHONE].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from danlu.core.errors import DataError
from danlu.data.config import CorpusConfig, ReferenceConfig
from danlu.data.contamination import contamination
from danlu.data.mask.masker import Masker
from danlu.data.mask.pseudonyms import read_key
from danlu.data.tables import batches
from danlu.data.text import normalise
from danlu.sources.formats import open_file
from danlu.sources.places import name_of, place_of
from danlu.sources.records import TEXT_COLUMN, TEXT_FORMATS, missing_column
from danlu.sources.values import as_text

_ROWS_AT_ONCE = 4_096

#: A text as the clean stage leaves it.
Cleaned = Callable[[str], str]


def cleaning_of(config: CorpusConfig, paths: Mapping[str, Path]) -> Cleaned:
    """Normalises and masks a text by the recipe's own settings; `paths` are the files of `data.mask`, by name in it.

    Raises `UserError` where the key of pseudonyms is not there.
    """
    masker = Masker(config.mask, read_key(config.mask), paths=paths)
    return lambda text: masker.mask_parts((normalise(text, config.normalise),)).parts[0]


def check_reference(
    train: Path, path: Path, config: ReferenceConfig, threshold: float, cleaned: Cleaned
) -> dict[str, Any]:
    """The entry of one benchmark in card.json: how many of its rows are in the rows of `train`, with examples.

    `threshold` is the Jaccard similarity of near duplicates. An example names the benchmark's file and line, and the
    id of the training row. Raises `DataError` for a file that cannot be read or that has no text.
    """
    reference = _Reference(path, config, cleaned)
    trained = _Trained(train)
    found = contamination(trained.portions(), reference.portions(), threshold)
    if not found.reference_rows:
        raise DataError(
            f"{name_of(path)} has no row with text in {reference.without_text + reference.unreadable:,} rows; check "
            "data.contamination and its text column."
        )
    rows = trained.rows()
    ids = _ids(train, {int(rows[example.train_row]) for example in found.examples})
    examples = []
    for example in found.examples:
        told = dataclasses.asdict(example)
        where = {
            "reference": reference.origin(told.pop("reference_row")),
            "train": ids[int(rows[told.pop("train_row")])],
        }
        examples.append(where | told)
    return {
        "name": name_of(path),
        "reference_rows": found.reference_rows,
        "without_text": reference.without_text,
        "unreadable": reference.unreadable,
        "rows": found.rows,
        "share": round(found.share, 6),
        "near": found.near,
        "ngram": found.ngram,
        "train_rows": len(np.unique(rows[found.train_rows])),
        "examples": examples,
    }


class _Trained:
    """The texts of the training rows: besides a row's own its pair, each turn of several, and a rejected answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[npt.NDArray[np.int64]] = []

    def portions(self) -> Iterator[list[str]]:
        """All of them, some thousand at a time."""
        known = set(next((pq.read_schema(path).names for path in self._folder.glob("*.parquet")), ["text"]))
        columns = [name for name in ("text", "pair", "rejected", "turns") if name in known]
        start = 0
        for batch in batches(self._folder, columns):
            texts: list[str] = []
            counts = np.zeros(batch.num_rows, dtype=np.int64)
            for place, row in enumerate(batch.to_pylist()):
                turns = row.pop("turns", None) or []
                said = [text for text in row.values() if text]
                # One turn is the row's text already.
                said += [turn["text"] for turn in turns] if len(turns) > 1 else []
                texts += said
                counts[place] = len(said)
            self._rows.append(np.repeat(np.arange(start, start + batch.num_rows), counts))
            start += batch.num_rows
            yield texts

    def rows(self) -> npt.NDArray[np.int64]:
        """The row of each text that came by."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *self._rows])


@dataclass
class _Reference:
    """The rows of a benchmark that have text, where each stood, and how many have none or cannot be read."""

    path: Path
    config: ReferenceConfig
    cleaned: Cleaned
    without_text: int = 0
    unreadable: int = 0
    _lines: list[int] = field(default_factory=list)
    #: The files by name, with the number of rows that came before each.
    _files: list[tuple[str, int]] = field(default_factory=list)

    def portions(self) -> Iterator[Sequence[str]]:
        """The cleaned texts, some thousand at a time. Raises `DataError` for a file without the column."""
        texts = self._texts()
        while portion := list(islice(texts, _ROWS_AT_ONCE)):
            yield portion

    def origin(self, row: int) -> str:
        """File and line of one of these rows."""
        name = next(name for name, before in reversed(self._files) if before <= row)
        return f"{name}:{self._lines[row]}"

    def _texts(self) -> Iterator[str]:
        config = self.config
        for file in place_of(self.path, config.format).files:
            opened = open_file(file, format=config.format, encoding=config.encoding)
            column = TEXT_COLUMN if opened.format in TEXT_FORMATS else config.text
            if opened.columns and column not in opened.columns:
                raise missing_column(file.name, column, opened)
            self._files.append((file.name, len(self._lines)))
            for row in opened.rows:
                if row.values is None:
                    self.unreadable += 1
                    continue
                text = self.cleaned(as_text(row.values.get(column)) or "")
                if not text.strip():
                    self.without_text += 1
                    continue
                self._lines.append(row.line)
                yield text


def _ids(train: Path, rows: Collection[int]) -> dict[int, str]:
    """The ids of the training rows with these numbers."""
    found: dict[int, str] = {}
    start = 0
    for batch in batches(train, ["id"]):
        inside = [row for row in rows if start <= row < start + batch.num_rows]
        found |= {row: batch.column(0)[row - start].as_py() for row in inside}
        start += batch.num_rows
    return found
