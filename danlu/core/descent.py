"""What a checkpoint's `danlu.json` says of the earlier trainings that it stands on, and that those stood on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Where `danlu.json` has the earlier trainings, by the field of the recipe that named each.
LINEAGE = "lineage"


def earlier_trainings(checkpoint: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every earlier training that is told in `danlu.json`, also those that the earlier ones stood on.

    Each has the `stage`, `fingerprint`, `content` and `inputs` of its artifact, the `base` that it began with, and a
    `lineage` of its own.
    """
    for entry in (checkpoint.get(LINEAGE) or {}).values():
        yield entry
        yield from earlier_trainings(entry)


def held_out_seen(checkpoint: Mapping[str, Any]) -> int | None:
    """How many validation and test texts the earlier trainings have read: at least so many, where there are several.

    None where that cannot be told, because a corpus is gone and the others hold none; 0 where there was no earlier
    training.
    """
    told = [entry.get("held_out_seen") for entry in (checkpoint.get(LINEAGE) or {}).values()]
    most = max((count for count in told if count is not None), default=0)
    return None if not most and None in told else most
