"""Benchmarks that the recipe names, held against the training rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from danlu.core.errors import DataError
from danlu.data.config import ReferenceConfig
from danlu.data.contamination import contamination
from danlu.data.tables import batches
from danlu.sources.formats import open_file
from danlu.sources.places import name_of, place_of
from danlu.sources.records import TEXT_COLUMN, TEXT_FORMATS, missing_column
from danlu.sources.values import as_text

_ROWS_AT_ONCE = 4_096


def check_reference(train: Path, path: Path, config: ReferenceConfig, threshold: float) -> dict[str, Any]:
    """The entry of one benchmark in card.json: how many of its rows are in the rows of `train`, with examples.

    `threshold` is the Jaccard similarity of near duplicates. Raises `DataError` for a file that cannot be read or that
    has no text.
    """
    texts = list(_texts(path, config))
    if not texts:
        raise DataError(f"{name_of(path)} has no row with text; check data.contamination and its text column.")
    portions = (texts[start : start + _ROWS_AT_ONCE] for start in range(0, len(texts), _ROWS_AT_ONCE))
    trained = (batch.column(0).to_pylist() for batch in batches(train, ["text"]))
    found = contamination(trained, portions, threshold)
    return {
        "name": name_of(path),
        "reference_rows": found.reference_rows,
        "rows": found.rows,
        "share": round(found.share, 6),
        "near": found.near,
        "ngram": found.ngram,
        "train_rows": len(found.train_rows),
        "examples": [dataclasses.asdict(example) for example in found.examples],
    }


def _texts(path: Path, config: ReferenceConfig) -> Iterator[str]:
    for file in place_of(path, config.format).files:
        opened = open_file(file, format=config.format, encoding=config.encoding)
        column = TEXT_COLUMN if opened.format in TEXT_FORMATS else config.text
        if opened.columns and column not in opened.columns:
            raise missing_column(file.name, column, opened)
        for row in opened.rows:
            text = as_text((row.values or {}).get(column))
            if text and text.strip():
                yield text
