"""The models of all folds as one Checkpoint, in place of one that is trained on everything.

Each member has learned from the training rows of the other folds and chosen its best weights on their validation rows;
their answers are averaged (`danlu.engines.ensemble_engine`). The corpus's test part is in no fold, so none of them has
seen it. Averaging models of different samples of the rows steadies those that a few rows move much, as
bagging does (Breiman 1996, Machine Learning 24:123), whose samples are drawn with replacement instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from danlu.core.artifact import LOGS, MEMBERS, link_tree, write_json
from danlu.core.context import Context
from danlu.core.errors import DataError
from danlu.core.machine import peak_resident_bytes
from danlu.learning.batching import pack_rows
from danlu.learning.corpus import Part
from danlu.train.config import TrainStage
from danlu.train.lineage import lineage


def run(ctx: Context, config: TrainStage) -> None:
    """Write the members of the `folds` artifact below `members/`, and what they are together beside them."""
    folds = ctx.inputs["folds"]
    count = len(list((folds / MEMBERS).iterdir()))
    link_tree(folds / MEMBERS, ctx.out / MEMBERS)
    facts, courses = ([folds.json(f"{MEMBERS}/{n}/{name}") for n in range(count)] for name in _FILES)
    # What a member says counts the held-out rows of its fold; here it is about those of the corpus.
    write_json(ctx.out / "danlu.json", _facts(facts) | {"lineage": lineage(ctx)})
    rows = len(Part.of(ctx.inputs["data"].folder, "train", ["text"]))
    write_json(ctx.out / "training.json", _training(config, courses, rows))
    speeds = [folds.json(f"{LOGS}/{MEMBERS}/{n}/speed.json") for n in range(count)]
    seconds = sum(speed["seconds"] for speed in speeds)
    write_json(
        ctx.out / LOGS / "speed.json",
        {
            "samples_per_second": sum(course["samples"] for course in courses) / max(seconds, 1e-9),
            "seconds": seconds,
            "adversarial_seconds": sum(speed["adversarial_seconds"] for speed in speeds),
            "peak_memory_bytes": max(peak_resident_bytes(), *(speed["peak_memory_bytes"] for speed in speeds)),
        },
    )
    ctx.say(f"An ensemble of the {count} models of the folds: their answers are averaged.")


_FILES = ("danlu.json", "training.json")


def _facts(members: list[dict[str, Any]]) -> dict[str, Any]:
    """What the later stages ask of the checkpoint; a value that is the same for all members is told as theirs.

    Raises `DataError` where they do not answer the same.
    """
    first = members[0]
    for key in ("labels", "takes"):
        if any(member.get(key) != first.get(key) for member in members):
            raise DataError(
                f"The models of the folds have different {key}, so their answers cannot be averaged. Bring more rows, "
                "deal them out into fewer folds (data.split.folds), or leave out folds.release: ensemble."
            )
    scales = [member["scale"] for member in members if member.get("scale")]
    # Each member answers in the user's unit; the ensemble's own scale says what counts as a difference.
    scale = {"scale": {key: float(np.mean([each[key] for each in scales])) for key in scales[0]}} if scales else {}
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in members)} | {
        "members": len(members),
        "architecture": f"{len(members)} x {first['architecture']}",
        "parameters": sum(member["parameters"] for member in members),
        "trainable_parameters": sum(member["trainable_parameters"] for member in members),
        "max_length": max((member["max_length"] or 0 for member in members), default=0) or None,
        **scale,
    }


def _training(config: TrainStage, members: list[dict[str, Any]], rows: int) -> dict[str, Any]:
    """How it came about: sums over the members, whose own courses are in `members`.

    Every training row is in all folds but one, so together they have seen all `rows` of them.
    """
    tokens = [member["tokens"] for member in members]
    return {
        "steps": sum(member["steps"] for member in members),
        "planned_steps": sum(member["planned_steps"] for member in members),
        "epochs": float(np.mean([member["epochs"] for member in members])),
        "samples": sum(member["samples"] for member in members),
        "tokens": None if None in tokens else sum(tokens),
        "precision": members[0]["precision"],
        "best": None,
        "stopped_early": any(member["stopped_early"] for member in members),
        "gave_up": next((member["gave_up"] for member in members if member.get("gave_up")), None),
        "history": [],
        "rows": pack_rows(np.ones(rows, dtype=bool)),
        "seed": config.train.seed,
        "method": members[0]["method"],
        "parameters": {key: sum(member["parameters"][key] for member in members) for key in ("trainable", "total")},
        "merge": None,
        "members": [{key: value for key, value in member.items() if key != "rows"} for member in members],
    }
