"""The plan's figures, moved by how earlier ones came out on this machine. Light: the command line reads it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.core.store import Workspace
from danlu.plan.history import QUANTITIES, Learned, Tried, history, learn, machine_key
from danlu.plan.interval import Interval

if TYPE_CHECKING:
    from danlu.plan.predict import StageCost

#: Fields of a `StageCost` by quantity.
_FIELDS = dict(zip(QUANTITIES, ("seconds", "memory"), strict=True))
_CALLED = {"seconds": "time", "memory_bytes": "memory"}
#: A factor nearer to 1 than this is not worth a sentence.
_WORTH_SAYING = 0.05
#: Stages that take as long whatever is trained. What `data` does depends on the task.
_OF_ANY = {"clean": "any", "duplicates": "any", "release": "any"}
#: Modules of this package that make the figures of stages.
_MAKING_FIGURES = (
    "calibrate",
    "classic",
    "corpus",
    "predict",
    "reading",
    "shape",
    "tokens",
    "trace",
    "trace_watch",
    "traced",
    "trained",
    "training",
    "work",
)


Learnt = dict[str, dict[str, dict[str, Any]]]
Kinds = dict[str, dict[str, str]]


def kinds_of(stages: Iterable[str], *, task: str, model: str, trained: str = "") -> Kinds:
    """Of what kind the figures of each stage are: the record of one kind says nothing about another.

    `model`: what is trained; `trained`: how the memory of its training was foreseen.
    """
    shared = _OF_ANY | {"data": task}
    kinds = {stage: dict.fromkeys(QUANTITIES, shared.get(stage, f"{task}: {model}")) for stage in stages}
    if trained and "train" in kinds:
        kinds["train"]["memory_bytes"] += f", {trained}"
    return kinds


@functools.cache
def formulas() -> str:
    """A digest of the code that makes the figures: the errors of other formulas correct nothing."""
    told = hashlib.sha256()
    for name in _MAKING_FIGURES:
        told.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return told.hexdigest()[:16]


def corrected(
    costs: dict[str, StageCost], kinds: Kinds, *, workspace: Path | None, machine: dict[str, Any]
) -> tuple[dict[str, StageCost], dict[str, Any]]:
    """`costs` as earlier runs in `workspace` correct them, and what plan.json has to say of it.

    `machine`: its `cpu` and `threads`. Without a workspace there is nothing to learn from.
    """
    tried = [] if workspace is None else history(Workspace(workspace))
    costs, learned = with_history(costs, tried, machine_key(machine), kinds)
    return costs, {"learned": learned, "kinds": kinds, "formulas": formulas()}


def with_history(
    costs: dict[str, StageCost], tried: Iterable[Tried], machine: str, kinds: Kinds
) -> tuple[dict[str, StageCost], Learnt]:
    """`costs` as the record of this machine corrects them, and what was learned by stage and quantity."""
    tried = list(tried)
    learned: Learnt = {}
    moved = {}
    for stage, cost in costs.items():
        for quantity, field in _FIELDS.items():
            interval: Interval = getattr(cost, field)
            if interval.value <= 0.0:
                continue
            found = _found(tried, machine, formulas(), stage, quantity, kinds[stage][quantity], interval)
            if found is not None:
                cost = replace(cost, **{field: _moved(interval, found)})
                learned.setdefault(stage, {})[quantity] = asdict(found)
        moved[stage] = cost
    return moved, learned


def _found(
    tried: Iterable[Tried], machine: str, made_by: str, stage: str, quantity: str, kind: str, interval: Interval
) -> Learned | None:
    like = (machine, made_by, stage, quantity, kind)
    same = (one for one in tried if (one.machine, one.formulas, one.stage, one.quantity, one.kind) == like)
    return learn(same, spread=(interval.low / interval.value, interval.high / interval.value))


def since(plan: dict[str, Any], tried: Iterable[Tried]) -> list[str]:
    """What the record would move in `plan`, the content of plan.json, that it did not know when the plan was made.

    A recipe that did not change keeps its plan, which stays what was foreseen.
    """
    tried, told = list(tried), []
    for stage, kinds in plan.get("kinds", {}).items():
        for quantity, kind in kinds.items():
            interval = Interval(**plan["stages"][stage][quantity])
            if interval.value <= 0.0:
                continue
            found = _found(tried, machine_key(plan["machine"]), formulas(), stage, quantity, kind, interval)
            before = plan["learned"].get(stage, {}).get(quantity, {}).get("factor", 1.0)
            if found is not None and abs(found.factor / before - 1.0) >= _WORTH_SAYING:
                told.append(
                    f"This plan was made before. By the last {found.count} predictions on this machine the "
                    f"{_CALLED[quantity]} of {stage} is {found.factor / before:.2f} times what it says "
                    "(danlu plan history)."
                )
    return told


def _moved(interval: Interval, found: Learned) -> Interval:
    return Interval.around(found.factor * interval.value, found.low, found.high)


def sentences(learned: Learnt) -> list[str]:
    """What moved, for people."""
    return [
        f"The {_CALLED[quantity]} of {stage} is multiplied by {one['factor']:.2f}, the median of the last "
        f"{one['count']} predictions on this machine (danlu plan history)."
        for stage, quantities in learned.items()
        for quantity, one in quantities.items()
        if abs(one["factor"] - 1.0) >= _WORTH_SAYING
    ]
