"""The objectives by kind. A new one is a class in `config.py`, a file beside this one, and a row here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from danlu.learning.asking import BESIDE
from danlu.learning.objectives.base import Facts, Objective
from danlu.learning.objectives.config import ObjectiveConfig


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One objective. `make`: "module:function" of `(config, facts) -> Objective`.

    `columns`: what it reads of a corpus part; those after the first may be missing. `head`: the kind of model it
    trains, a key of `models.LOADERS` and `scratch.MAKERS`. `tokenizer`: the field of its section that names a model
    folder whose tokenizer a model from scratch takes; None lets it learn its own. `packable`: examples may stand end to
    end in one row. `texts`: the columns whose texts a tokenizer is learned from. `group`: texts of one example that are
    read side by side.
    """

    make: str
    columns: tuple[str, ...]
    head: str
    tokenizer: str | None = None
    packable: bool = False
    texts: tuple[str, ...] = ("text",)
    group: int = 1


#: The texts of a question.
_TEXTS = ("text", "pair")

KINDS: dict[str, Kind] = {
    "classes": Kind(
        make="danlu.learning.objectives.classes:make",
        columns=("text", "label", *BESIDE),
        head="classifier",
        texts=_TEXTS,
    ),
    "labels": Kind(
        make="danlu.learning.objectives.labels:make", columns=("text", "labels", *BESIDE), head="tagger", texts=_TEXTS
    ),
    "value": Kind(
        make="danlu.learning.objectives.value:make", columns=("text", "value", *BESIDE), head="regressor", texts=_TEXTS
    ),
    "multitask": Kind(
        make="danlu.learning.objectives.multitask:make",
        columns=("text", "targets", *BESIDE),
        head="heads",
        texts=_TEXTS,
    ),
    "causal": Kind(
        make="danlu.learning.objectives.causal:make",
        columns=("text", "turns"),
        head="causal",
        packable=True,
    ),
    "preference": Kind(
        make="danlu.learning.objectives.preference:make",
        columns=("text", "turns", "rejected"),
        head="causal",
        group=2,
    ),
    "distill_classes": Kind(
        make="danlu.learning.objectives.distill:make_classes",
        columns=("text", "label", *BESIDE),
        head="classifier",
        texts=_TEXTS,
    ),
    "distill_causal": Kind(
        make="danlu.learning.objectives.distill:make_causal",
        columns=("text", "turns"),
        head="causal",
        tokenizer="teacher",
    ),
    "masked": Kind(make="danlu.learning.objectives.masked:make", columns=("text",), head="masked"),
    "contrastive": Kind(
        make="danlu.learning.objectives.contrastive:make",
        columns=("text", "pair"),
        head="encoder",
        texts=("text", "pair"),
        group=2,
    ),
}


def make_objective(config: ObjectiveConfig, facts: Facts) -> Objective:
    """The objective that a section of the recipe asks for."""
    module, _, name = KINDS[config.kind].make.partition(":")
    objective: Objective = getattr(importlib.import_module(module), name)(config, facts)
    return objective
