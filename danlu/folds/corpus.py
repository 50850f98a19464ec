"""A Corpus as one fold of it sees it: the fold's own rows are held out for the test."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from danlu.core.artifact import Artifact, write_json
from danlu.core.errors import DataError

_FOLD = "fold"
#: What made a row that is not of the data itself; null for the others.
_ADDED = "operation"
#: The parts whose rows are in folds. What the corpus itself holds back for the test is in none and stays untouched.
_DEALT = ("train", "validation")


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
    of near duplicates lie in one fold, so none is on two sides.
    """
    parts = {part: _read(corpus / part, [(_FOLD, "!=", fold)]) for part in _DEALT}
    held_out = pa.concat_tables([_read(corpus / part, [(_FOLD, "=", fold)]) for part in _DEALT])
    if _ADDED in held_out.schema.names:
        held_out = held_out.filter(pc.is_null(held_out[_ADDED]))
    parts["test"] = held_out.sort_by("id")
    for part, rows in parts.items():
        if not rows.num_rows:
            raise DataError(
                f"Fold {fold + 1} leaves no rows for {part}. Bring more rows, or deal them out into fewer folds "
                "(data.split.folds)."
            )
        (folder / part).mkdir(parents=True)
        parquet.write_table(rows, folder / part / "part-00000.parquet", compression="zstd")
    card = corpus.json("card.json")
    write_json(folder / "card.json", {key: card.get(key) for key in ("labels", "language", "duplicates")})
    return {part: rows.num_rows for part, rows in parts.items()}


def _read(folder: Path, filters: list[tuple[str, str, int]]) -> pa.Table:
    """The rows that fit, in the order in which the part was written; an empty part has an empty table."""
    tables = [parquet.read_table(file, filters=filters) for file in sorted(folder.glob("*.parquet"))]
    return pa.concat_tables(tables) if tables else pa.table({"id": pa.array([], pa.string())})
