"""The objectives by kind. A new one is a class in `config.py`, a file beside this one, and a row here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from danlu.learning.objectives.base import Facts, Objective
from danlu.learning.objectives.config import ObjectiveConfig


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One objective. `make`: "module:function" of `(config, facts) -> Objective`.

    `columns`: what it reads of a corpus part; those after the first may be missing. `head`: the kind of model it
    trains, a key of `models.LOADERS` and `scratch.MAKERS`. `packable`: examples may stand end to end in one row.
    """

    make: str
    columns: tuple[str, ...]
    head: str
    packable: bool = False


KINDS: dict[str, Kind] = {
    "classes": Kind(make="danlu.learning.objectives.classes:make", columns=("text", "label"), head="classifier"),
    "causal": Kind(
        make="danlu.learning.objectives.causal:make",
        columns=("text", "turns", "rejected"),
        head="causal",
        packable=True,
    ),
}


def make_objective(config: ObjectiveConfig, facts: Facts) -> Objective:
    """The objective that a section of the recipe asks for."""
    module, _, name = KINDS[config.kind].make.partition(":")
    objective: Objective = getattr(importlib.import_module(module), name)(config, facts)
    return objective
