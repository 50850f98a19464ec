"""Every prediction that was put to the test, and what the next plan learns from it. Light: the command line reads it.

A run names its plan and what it made; a plan names what it foresaw of each stage. What was reused was not tried anew
and is told once, with the run that made it.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.core.artifact import Artifact
from danlu.core.store import Workspace

#: Key of a stage in plan.json -> what its record says came of it.
QUANTITIES = {"seconds": "seconds", "memory_bytes": "peak_memory_bytes"}

#: The newest predictions of a stage count: a machine and its neighbours change.
_NEWEST = 20
#: From so many on they move the next prediction.
FEWEST = 3
#: The stated spread weighs as much as so many predictions.
_WEIGHT_OF_STATED = 6.0
#: A plan is moved by no more than this factor, either way: beyond it something else is wrong.
_MOST = 4.0


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One prediction and what came. `quantity`: a key of `QUANTITIES`; `low` to `high` was its interval.

    `factor`: what the plan had multiplied its own figure with, from earlier ones. `machine`: processor and threads.
    `kind`: of what model, by formula or by trace; `formulas`: what the plan's code was (see `danlu.plan.learned`); both
    empty where an older plan does not say.
    `whole`: False where training ended early, so that the figure was never put to the test.
    """

    name: str
    when: str
    stage: str
    quantity: str
    value: float
    low: float
    high: float
    actual: float
    factor: float
    machine: str
    whole: bool
    kind: str = ""
    formulas: str = ""

    @property
    def ratio(self) -> float:
        """What came, as a multiple of what was foreseen."""
        return self.actual / self.value

    @property
    def inside(self) -> bool:
        """Whether it came out within the interval."""
        return self.low <= self.actual <= self.high


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a stage's record moves its next prediction by: a `factor`, and how far that may be off (`low` to `high`).

    `count`: predictions it comes from.
    """

    factor: float
    low: float
    high: float
    count: int


def machine_key(machine: dict[str, Any]) -> str:
    """Machines of which one's record says something about the other, from the entry `machine` of plan.json."""
    return f"{machine['cpu']}, {machine['threads']} threads"


def history(workspace: Workspace) -> list[Tried]:
    """Every prediction of the workspace's runs that was tried, oldest first."""
    found: list[Tried] = []
    seen: set[tuple[str, str]] = set()
    for run in _runs(workspace.root):
        prints = {row["stage"]: row["fingerprint"] for row in run["stages"]}
        plan = workspace.find("plan", prints.get("plan", ""))
        if plan is None:
            continue
        content = plan.json("plan.json")
        for row in run["stages"]:
            made = (row["stage"], row["fingerprint"])
            predicted = content["stages"].get(row["stage"])
            if predicted is None or row["reused"] or made in seen:
                continue
            artifact = workspace.find(*made)
            if artifact is not None:
                seen.add(made)
                found += _tried(run, content, predicted, artifact)
    return found


def _runs(root: Path) -> Iterator[dict[str, Any]]:
    """What each run left behind, oldest first; one that cannot be read is left out."""
    paths = (path for path in root.glob("runs/*/*.json") if path.name != "latest.json")
    for path in sorted(paths, key=lambda path: path.name):
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(run, dict) and {"name", "started", "stages"} <= run.keys():
            yield run


def _tried(
    run: dict[str, Any], plan: dict[str, Any], predicted: dict[str, dict[str, float]], artifact: Artifact
) -> Iterator[Tried]:
    record = artifact.record
    path = artifact.folder / "training.json"
    stopped = path.exists() and bool(json.loads(path.read_text(encoding="utf-8")).get("stopped_early"))
    for quantity, field in QUANTITIES.items():
        interval, actual = predicted[quantity], float(getattr(record, field))
        if interval["value"] <= 0.0 or actual <= 0.0:
            continue
        learned = plan.get("learned", {}).get(record.stage, {}).get(quantity, {})
        yield Tried(
            name=run["name"],
            when=run["started"],
            stage=record.stage,
            quantity=quantity,
            actual=actual,
            factor=float(learned.get("factor", 1.0)),
            machine=machine_key(plan["machine"]),
            whole=not (stopped and quantity == "seconds"),
            kind=plan.get("kinds", {}).get(record.stage, {}).get(quantity, ""),
            formulas=plan.get("formulas", ""),
            **{end: interval[end] for end in ("value", "low", "high")},
        )


def learn(tried: Iterable[Tried], *, spread: tuple[float, float]) -> Learned | None:
    """What predictions of one stage, quantity, kind and machine teach; None where there are too few.

    The factor is the median of what came over what the plan's own figure was, which a few odd runs do not move. The
    interval blends the stated `spread` with the record's own extremes, by their logarithms: the longer the record, the
    more it counts.
    """
    ratios = [one.ratio * one.factor for one in tried if one.whole][-_NEWEST:]
    if len(ratios) < FEWEST:
        return None
    factor = min(_MOST, max(1 / _MOST, statistics.median(ratios)))
    share = len(ratios) / (len(ratios) + _WEIGHT_OF_STATED)
    low, high = (
        math.exp(share * math.log(extreme / factor) + (1.0 - share) * math.log(stated))
        for extreme, stated in ((min(ratios), spread[0]), (max(ratios), spread[1]))
    )
    return Learned(factor=factor, low=min(1.0, low), high=max(1.0, high), count=len(ratios))


def summary(tried: Iterable[Tried]) -> list[dict[str, Any]]:
    """For each stage and quantity how many predictions there are, how far off they were, and how many fitted."""
    groups: dict[tuple[str, str], list[Tried]] = {}
    for one in tried:
        if one.whole:
            groups.setdefault((one.stage, one.quantity), []).append(one)
    return [
        {
            "stage": stage,
            "quantity": quantity,
            "count": len(group),
            "median_error": statistics.median(abs(one.value / one.actual - 1.0) for one in group),
            "median_ratio": statistics.median(one.ratio for one in group),
            "inside": sum(one.inside for one in group) / len(group),
        }
        for (stage, quantity), group in groups.items()
    ]
