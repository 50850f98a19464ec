"""Which earlier runs a model comes from: its base, its teacher; and whether those have seen what it is tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

from danlu.core.artifact import origin_of
from danlu.core.context import Context
from danlu.core.descent import LINEAGE, earlier_trainings

#: The resources that a model may come from: they are named in messages as in the recipe.
_MODELS = ("model.base", "train.objective.teacher", "model.classic.features.base")

#: What a model has read of a training row, and what it is asked of a held-out one.
_READ, _ASKED = ("text", "pair", "rejected", "turns"), ("text", "pair")

_ROWS_AT_ONCE = 4_096


def lineage(ctx: Context) -> dict[str, dict[str, Any]]:
    """Each earlier training that the model is made of, by the field that names it: what artifact it is, and from what.

    `base` and `lineage`: what that training began with, and those that it stood on. `held_out_seen`: how many different
    validation and test texts of this corpus were among the training texts of any of these, None where none was found
    and a corpus is not here any more. Warns where there are some, and where nobody can tell.
    """
    found = {}
    asked = None
    for field in _MODELS:
        folder = ctx.resources.get(field)
        origin = None if folder is None else origin_of(folder)
        if folder is None or origin is None:
            continue
        told = _told_by(folder)
        entry = origin | {"base": told.get("base"), LINEAGE: told.get(LINEAGE) or {}}
        asked = _held_out(ctx.inputs["data"].folder) if asked is None else asked
        entry["held_out_seen"] = _held_out_seen(asked, folder.parent.parent / "data", entry)
        found[field] = entry
        _tell(ctx, field, entry["held_out_seen"])
    return found


def licence_of(folder: Path | None) -> str | None:
    """The licence that an earlier training wrote down for the model in `folder`; None where it wrote none."""
    return None if folder is None else _told_by(folder).get("licence")


def _told_by(folder: Path) -> Mapping[str, Any]:
    """The `danlu.json` of a model folder; empty where there is none."""
    try:
        told: Mapping[str, Any] = json.loads((folder / "danlu.json").read_text(encoding="utf-8"))
        return told if isinstance(told, dict) else {}
    except (OSError, ValueError):
        return {}


def _tell(ctx: Context, field: str, seen: int | None) -> None:
    if seen is None:
        ctx.warn(
            f"A corpus that {field} was trained on, or what it stands on, is not in its workspace any more: nobody can "
            "tell whether it has read validation or test texts of this corpus."
        )
    elif seen:
        ctx.warn(
            f"{seen:,} validation or test texts of this corpus were among the training texts of {field}, or of what it "
            "stands on: scores will be too good. data.extends: corpus://NAME, with the name of that run, keeps its "
            "sides; the folds of a corpus that was trained on have no texts that it has not read."
        )


def _held_out_seen(asked: np.ndarray, corpora: Path, entry: Mapping[str, Any]) -> int | None:
    """Equal texts alone are counted, each by itself: whatever stands beside it, here and there."""
    seen = np.zeros(len(asked), dtype=bool)
    gone = False
    for one in earlier_trainings({LINEAGE: {"": entry}}):
        data = one["inputs"].get("data")
        train = None if data is None else corpora / data[0] / "train"
        if train is None or not train.is_dir():
            gone = True
            continue
        for hashes in _hashes(train, _READ) if len(asked) else ():
            # A place behind the end is that of no text.
            place = np.minimum(np.searchsorted(asked, hashes), len(asked) - 1)
            seen[place[asked[place] == hashes]] = True
    return None if gone and not seen.any() else int(seen.sum())


def _held_out(corpus: Path) -> np.ndarray:
    """Hashes [N], sorted, of the different texts that are held out, of pairs both."""
    parts = [hashes for part in ("validation", "test") for hashes in _hashes(corpus / part, _ASKED)]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *parts]))


def _hashes(part: Path, columns: tuple[str, ...]) -> Iterator[np.ndarray]:
    """The first 64 bits of BLAKE2b of every text in these columns of a part, some thousand rows at a time."""
    for path in sorted(part.glob("*.parquet")):
        with parquet.ParquetFile(path) as file:
            known = [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=known):
                texts = [text for name in known for value in batch.column(name).to_pylist() for text in _texts(value)]
                digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
                yield np.frombuffer(digests, dtype=np.uint64)


def _texts(value: Any) -> list[str]:
    """The texts of a cell: of a conversation those of all turns."""
    if isinstance(value, str):
        return [value]
    return [turn["text"] for turn in value or []]
