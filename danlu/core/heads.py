"""The targets of a multitask model: several answers to one text, each learned by a linear head of its own.

Rooms hand them on as JSON (`Head.as_json`). The heads' outputs stand side by side in one vector a text, in the order of
the heads: for classify and tag one for each label, for regress one. That vector is what a model, an ONNX graph and
`Engine.predict` give; `columns` says which part of it is whose.

What a row is to be answered with is one JSON object, by target: `{"mood": "good", "stars": 4.0, "topics": ["price"]}`.
A target that is not known of a row is not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Any, Literal, get_args

HeadTask = Literal["classify", "tag", "regress"]

#: What one target of several may be.
HEAD_TASKS: tuple[HeadTask, ...] = get_args(HeadTask)

#: What stands between the name of a target and a label of it, where both are one name. No target's name has it.
BETWEEN = "="


@dataclass(frozen=True, kw_only=True)
class Head:
    """One target: its name, what kind of answer it is, and for classify and tag the labels, sorted."""

    name: str
    task: HeadTask
    labels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many outputs it has."""
        return 1 if self.task == "regress" else len(self.labels)

    @property
    def outputs(self) -> tuple[str, ...]:
        """A name for each of its outputs, unlike that of any other head's."""
        if self.task == "regress":
            return (self.name,)
        return tuple(named(self.name, label) for label in self.labels)

    def as_json(self) -> dict[str, Any]:
        """It as plain values."""
        return {**asdict(self), "labels": list(self.labels)}


def named(target: str, label: str) -> str:
    """A label under the name of its target."""
    return f"{target}{BETWEEN}{label}"


def heads_of(values: Sequence[Mapping[str, Any]] | None) -> tuple[Head, ...]:
    """The heads that `Head.as_json` wrote; none for None. What else is written beside them does not count."""
    return tuple(
        Head(name=value["name"], task=value["task"], labels=tuple(value["labels"] or ())) for value in values or ()
    )


def outputs_of(heads: Iterable[Head]) -> list[str]:
    """The names of all outputs, in their order."""
    return [name for head in heads for name in head.outputs]


def columns(heads: Sequence[Head]) -> list[slice]:
    """Which of the outputs are those of each head."""
    return [slice(*ends) for ends in pairwise(accumulate((head.width for head in heads), initial=0))]


def targets_in(rows: Iterable[str]) -> list[dict[str, Any]]:
    """What rows are to be answered with, by target, from the JSON in which it is kept."""
    return [json.loads(row) if row else {} for row in rows]


def known(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[int], list[Any]]:
    """The places of the rows that have the target `name`, and its values there."""
    places = [place for place, row in enumerate(rows) if name in row]
    return places, [rows[place][name] for place in places]
