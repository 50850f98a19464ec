"""What a workspace holds beside whole artifacts: left by a stopped run, fetched, or written for people.

A stopped stage has read its inputs, and may have their rows in its work folder (tokens, scratch files, the corpora of
folds): it holds whom they hold. What has no inputs to go by is not searched, and is named instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.core.store import Workspace
from danlu.data.holders import Holder

#: Places of a workspace that are not searched -> what they hold, and what becomes of it when they are removed.
_NOT_SEARCHED = {
    "cache/sources": "what was fetched from databases and URLs, as it came; the next run fetches it anew",
    "cache/answers": "what an endpoint wrote from training rows; the next run asks, and pays, for it anew",
    "cache/endpoints": "what endpoints answered to test rows in comparisons; they are asked, and paid for, anew",
    "labels/*.json": "rows that were handed out for labelling; what is still out cannot be taken in without them",
    "runs/*/report*.html": "reports, which quote some test rows; `danlu show --open` writes them anew",
}


@dataclass(frozen=True, kw_only=True)
class Unsearched:
    """A place in the workspace in which nobody was looked for, and what it holds. `path` may be a pattern."""

    path: str
    what: str


def unfinished(workspace: Workspace, holders: Sequence[Holder]) -> list[Holder]:
    """The work folders of stages that were stopped, or are running, and read what one of the `holders` holds.

    To be rid of such a folder, run its recipe to its end or remove it.
    """
    held = {holder.fingerprint: holder.stage for holder in holders if holder.handed_on}
    found = []
    for folder, job in _jobs(workspace):
        sources = sorted({held[print_] for print_ in job["inputs"].values() if print_ in held})
        if sources:
            found.append(
                Holder(
                    stage=job["stage"], fingerprint=job["fingerprint"], folder=str(folder), of=sources, unfinished=True
                )
            )
    return found


def not_searched(workspace: Workspace) -> list[Unsearched]:
    """What is there, may hold rows, and was not looked into."""
    found = [
        Unsearched(
            path=str(folder), what=f"what {job['stage']} had read when it was stopped; the next run makes it anew"
        )
        for folder, job in _jobs(workspace)
        if not job["inputs"]
    ]
    for place, what in _NOT_SEARCHED.items():
        if any(_holds_something(path) for path in workspace.root.glob(place)):
            found.append(Unsearched(path=str(workspace.root / place), what=what))
    return found


def _holds_something(path: Path) -> bool:
    return path.is_file() or any(path.iterdir())


def _jobs(workspace: Workspace) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each work folder and what its stage was told. One that holds no such thing yet has not begun."""
    for path in sorted((workspace.root / "work").glob("*/job.json")):
        try:
            yield path.parent, json.loads(path.read_bytes())
        except (OSError, ValueError):  # it has just been removed, or is being written
            continue
