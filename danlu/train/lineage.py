"""Which earlier runs a model comes from: its base, its teacher; and whether those have seen what it is tested on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

from danlu.core.artifact import Artifact, origin_of
from danlu.core.context import Context

#: The file of a corpus that has the side of every row, and the number of the training side in it.
_SIDES, _TRAIN = "sides.parquet", 0

#: The resources that a model may come from: they are named in messages as in the recipe.
_MODELS = ("model.base", "train.objective.teacher")


def lineage(ctx: Context) -> dict[str, dict[str, Any]]:
    """Each earlier training that the model is made of, by the field that names it: what artifact it is, and from what.

    `held_out_seen`: how many of this corpus's validation and test texts were among the training texts of the earlier
    one, None where its corpus is not here any more. Warns where there are some.
    """
    found = {}
    for field in _MODELS:
        folder = ctx.resources.get(field)
        origin = None if folder is None else origin_of(folder)
        if folder is None or origin is None:
            continue
        seen = _held_out_seen(ctx.inputs["data"], folder, origin)
        found[field] = origin | {"held_out_seen": seen}
        if seen:
            ctx.warn(
                f"{seen:,} validation or test texts of this corpus were among the training texts of {field}: scores "
                "will be too good. data.extends: corpus://NAME, with the name of that run, keeps its sides."
            )
    return found


def licence_of(folder: Path | None) -> str | None:
    """The licence that an earlier training wrote down for the model in `folder`; None where it wrote none."""
    if folder is None:
        return None
    try:
        told: Mapping[str, Any] = json.loads((folder / "danlu.json").read_text(encoding="utf-8"))
        return told.get("licence")
    except (OSError, ValueError):
        return None


def _held_out_seen(corpus: Artifact, folder: Path, origin: Mapping[str, Any]) -> int | None:
    """Equal texts alone are counted, by the first 64 bits of their content's hash."""
    data = origin["inputs"].get("data")
    theirs = None if data is None else folder.parent.parent / "data" / data[0] / _SIDES
    if theirs is None or not theirs.is_file() or not (corpus / _SIDES).is_file():
        return None
    contents, parts = _sides(theirs)
    ours, sides = _sides(corpus / _SIDES)
    return int(np.isin(np.unique(ours[sides > _TRAIN]), contents[parts == _TRAIN]).sum())


def _sides(path: Path) -> tuple[np.ndarray, np.ndarray]:
    table = parquet.read_table(path, columns=["content", "part"])
    return table["content"].to_numpy(), table["part"].to_numpy()
