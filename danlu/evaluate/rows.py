"""The rows of a corpus as evaluation needs them, and whether any of them leaked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

from danlu.core.artifact import Artifact
from danlu.core.errors import DataError
from danlu.learning.batching import unpack_rows

#: What `training.json`, which the export brings along, calls the packed set of train rows the model has seen.
_ROWS = "rows"


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of one part of a corpus, sorted by id. `labels` is empty for a corpus without labels."""

    ids: list[str]
    texts: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def first(self, rows: int | None) -> Part:
        """The first `rows` rows; ids are hashes, so that is a fair draw."""
        return Part(ids=self.ids[:rows], texts=self.texts[:rows], labels=self.labels[:rows])

    def where(self, chosen: np.ndarray) -> Part:
        """The rows for which `chosen` [N] is true."""
        places = np.flatnonzero(chosen).tolist()
        return Part(
            ids=[self.ids[place] for place in places],
            texts=[self.texts[place] for place in places],
            labels=[self.labels[place] for place in places] if self.labels else [],
        )


def read_part(corpus: Artifact, part: str) -> Part:
    """The part ("train", "validation" or "test") of a corpus; one without files is empty."""
    table = _read(corpus / part, ["id", "text", "label"])
    return Part(ids=table.get("id", []), texts=table.get("text", []), labels=table.get("label", []))


def test_part(corpus: Artifact, most_rows: int | None) -> Part:
    """The test rows to be scored. Raises `DataError` when there are none."""
    part = read_part(corpus, "test").first(most_rows)
    if not len(part):
        raise DataError(
            "The corpus has no test rows, so nothing can be said about the model. Bring more rows, or raise "
            "data.split.test in the recipe."
        )
    return part


def leaked_rows(corpus: Artifact) -> int:
    """How many validation and test rows are also in training: an equal text, or one of the same duplicate cluster.

    Counted anew over the files as written, from the texts themselves, whatever the corpus says about itself.
    """
    train = _read(corpus / "train", ["text", "cluster"])
    texts = {_digest(text) for text in train.get("text", [])}
    clusters = set(train.get("cluster", []))
    leaked = 0
    for part in ("validation", "test"):
        rows = _read(corpus / part, ["text", "cluster"])
        held_out = rows.get("text", [])
        groups: Sequence[Any] = rows.get("cluster", [None] * len(held_out))
        leaked += sum(
            _digest(text) in texts or (cluster is not None and cluster in clusters)
            for text, cluster in zip(held_out, groups, strict=True)
        )
    return leaked


def rows_seen(training: dict[str, Any], train_rows: int, seed: int) -> tuple[np.ndarray, str]:
    """Which rows of the train part [N] the model has seen, and in words how that is known.

    `training` is the export's `training.json`. A checkpoint that does not say which rows it has seen, only how many
    samples, is matched with as many rows at random.
    """
    packed = training.get(_ROWS)
    if isinstance(packed, dict) and packed["total"] <= train_rows:
        # Rows at the end that yielded no training example are not counted in the total.
        seen = unpack_rows(packed)
        return np.pad(seen, (0, train_rows - len(seen))), "the rows the model has seen"
    samples = min(int(training.get("samples") or train_rows), train_rows)
    chosen = np.zeros(train_rows, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(train_rows)[:samples]] = True
    if samples == train_rows:
        return chosen, "all training rows, which the model has seen at least once each"
    return chosen, "as many training rows as the model has seen, drawn at random"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


def _read(folder: Path, columns: list[str]) -> dict[str, list[Any]]:
    """Those of `columns` that the Parquet files of `folder` have, in the order of the files, which is by id."""
    values: dict[str, list[Any]] = {}
    for file in sorted(folder.glob("*.parquet")):
        known = set(parquet.read_schema(file).names)
        table = parquet.read_table(file, columns=[name for name in columns if name in known])
        for name in table.column_names:
            values.setdefault(name, []).extend(table.column(name).to_pylist())
    if "id" in values:
        order = sorted(range(len(values["id"])), key=values["id"].__getitem__)
        values = {name: [column[place] for place in order] for name, column in values.items()}
    return values
