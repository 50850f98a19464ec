"""A Corpus as one fold of it sees it: the fold's own rows are held out for the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from danlu.core.artifact import Artifact, write_json
from danlu.core.errors import DataError
from danlu.metrics.leaks import HeldOut

_FOLD = "fold"
#: What made a row that is not of the data itself; null for the others.
_ADDED = "operation"
#: The parts whose rows are in folds. What the corpus itself holds back for the test is in none and stays untouched.
_DEALT = ("train", "validation")


#: What later stages ask of a corpus's card.
_KEPT = ("labels", "heads", "language", "duplicates", "columns")


def count_folds(corpus: Artifact) -> int:
    """How many folds the corpus has. Raises `DataError` where it has none."""
    highest = -1
    for part in _DEALT:
        for file in sorted((corpus / part).glob("*.parquet")):
            if _FOLD in parquet.read_schema(file).names:
                found = pc.max(parquet.read_table(file, columns=[_FOLD])[_FOLD]).as_py()
                highest = max(highest, -1 if found is None else int(found))
    if highest < 1:
        raise DataError("The corpus is not dealt out into folds. Set data.split.folds, such as 5, and run again.")
    return highest + 1


def write_fold(corpus: Artifact, fold: int, folder: Path) -> dict[str, int]:
    """Write the corpus of a fold; returns the rows of each part.

    Train and validation are those of the corpus without the fold's rows, so that early stopping looks at none of them;
    test is the fold's real rows of both: what was added for training (rewritten texts, repeats) is no evidence. Groups
    of near duplicates lie in one fold, so none is on two sides; an added row lies in its parent's fold, whatever it
    says, and one that says what a held-out row says does not come along.
    """
    parts = {part: _read(corpus / part, [(_FOLD, "!=", fold)]) for part in _DEALT}
    held_out = pa.concat_tables([_read(corpus / part, [(_FOLD, "=", fold)]) for part in _DEALT])
    if _ADDED in held_out.schema.names:
        held_out = held_out.filter(pc.is_null(held_out[_ADDED]))
    parts["test"] = held_out.sort_by("id")
    card = corpus.json("card.json")
    # Where near duplicates were not looked for there is no threshold; then equal texts alone are the same.
    threshold = (card.get("duplicates") or {}).get("threshold") or 1.0
    parts["train"] = _without_echoes(parts["train"], parts["test"], threshold)
    for part, rows in parts.items():
        if not rows.num_rows:
            raise DataError(
                f"Fold {fold + 1} leaves no rows for {part}. Bring more rows, or deal them out into fewer folds "
                "(data.split.folds)."
            )
        (folder / part).mkdir(parents=True)
        parquet.write_table(rows, folder / part / "part-00000.parquet", compression="zstd")
    write_json(folder / "card.json", {key: card.get(key) for key in _KEPT})
    return {part: rows.num_rows for part, rows in parts.items()}


def _without_echoes(train: pa.Table, held_out: pa.Table, threshold: float) -> pa.Table:
    """Training rows without the added ones that say, also nearly, what a held-out row says.

    Of a pair one text is enough. The data stage has compared added rows with validation and test alone, and here other
    rows are held out.
    """
    if _ADDED not in train.schema.names or not held_out.num_rows:
        return train
    added = np.flatnonzero(pc.is_valid(train[_ADDED]).to_numpy())
    if not len(added):
        return train
    _, said = _texts(held_out)
    places, texts = _texts(train.take(added))
    stays = np.ones(train.num_rows, dtype=bool)
    stays[added[places[HeldOut(said, threshold).leaks(texts)[:, 0]]]] = False
    return train.filter(pa.array(stays))


def _texts(rows: pa.Table) -> tuple[npt.NDArray[np.int64], list[str]]:
    """`(places, texts)`: every text of the rows, of a pair both, and the place of the row that it is of."""
    columns = [rows[name].to_pylist() for name in ("text", "pair") if name in rows.schema.names]
    found = [(place, text) for column in columns for place, text in enumerate(column) if text]
    return np.array([place for place, _ in found], dtype=np.int64), [text for _, text in found]


def _read(folder: Path, filters: list[tuple[str, str, int]]) -> pa.Table:
    """The rows that fit, in the order in which the part was written; an empty part has an empty table."""
    tables = [parquet.read_table(file, filters=filters) for file in sorted(folder.glob("*.parquet"))]
    return pa.concat_tables(tables) if tables else pa.table({"id": pa.array([], pa.string())})
