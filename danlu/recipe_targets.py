"""What of a recipe depends on which targets it has: sections and gates that name them."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import TYPE_CHECKING

from danlu.core.heads import HeadTask
from danlu.core.tasks import TASKS

if TYPE_CHECKING:
    from danlu.recipe import Recipe

#: What a fact of a gate may belong to where it names no target: everything that is not a score of one.
_OF_EVERY_TARGET = frozenset(
    {
        "quality",
        "rows",
        "train_rows",
        "leaked_rows",
        "parity",
        "parity_max",
        "bytes",
        "p50_ms",
        "p95_ms",
        "throughput_per_second",
    }
)


_OF_LABELS = frozenset({"rows", "macro_f1", "macro_precision", "macro_recall", "log_loss"}) | {
    f"worst_class_{metric}" for metric in ("f1", "recall")
}

#: The facts of a gate that a target has, by its task.
_OF_A_TARGET: dict[HeadTask, frozenset[str]] = {
    "classify": _OF_LABELS | {"accuracy", "weighted_f1", "roc_auc", "ece"},
    "tag": _OF_LABELS
    | {"micro_f1", "micro_precision", "micro_recall", "subset_accuracy", "hamming_loss", "average_precision"},
    "regress": frozenset({"rows", "mae", "rmse", "r2", "spearman"}),
}


def check_targets(recipe: Recipe) -> None:
    """Raise `ValueError` for targets where the task has none, and for names of targets that the recipe has not."""
    several, targets = TASKS[recipe.task].several, recipe.data.targets
    if several and not targets:
        raise ValueError("task multitask needs data.targets: each target by its name, with its task and its column")
    if not several and targets:
        raise ValueError(f"data.targets is for task multitask; the task is {recipe.task}. Leave it out")
    if several:
        _check_data(recipe)
    _check_objective(recipe)
    _check_gates(recipe)


def _check_data(recipe: Recipe) -> None:
    """What would be ignored is refused."""
    labelled = next((source for source in recipe.data.sources if source.label is not None), None)
    asked = {"data.sources[].label": labelled is not None}
    for name in ("label", "label_separator", "unlabelled"):
        # By value: a recipe whose every auto is resolved names all of its settings.
        asked[f"data.{name}"] = getattr(recipe.data, name) != type(recipe.data).model_fields[name].default
    for name, is_asked in asked.items():
        if is_asked:
            raise ValueError(
                f"{name} is for a model with one answer; task multitask has data.targets, each with its own column"
            )


def _check_objective(recipe: Recipe) -> None:
    objective = recipe.train.objective
    if objective is None or objective.kind != "multitask":
        return
    for section, names in (("weights", objective.weights), ("targets", objective.targets)):
        for name in names:
            _known(name, recipe.data.targets, f"train.objective.{section} names {name!r}")
    for name, learned in objective.targets.items():
        task = recipe.data.targets[name].task
        if learned.task != task:
            raise ValueError(
                f"train.objective.targets.{name} is {learned.kind}, which is for {learned.task}; the target's task is "
                f"{task}"
            )


def _check_gates(recipe: Recipe) -> None:
    from danlu.release.gates import fact_of

    targets = recipe.data.targets
    for gate in recipe.release.gates or ():
        found = fact_of(gate)
        if found is None:
            continue
        target, fact = found
        if target and not targets:
            raise ValueError(f"the gate {gate!r} names {target!r}, but only task multitask has targets")
        if target:
            _known(target, targets, f"the gate {gate!r} names {target!r}")
            known = _OF_A_TARGET[targets[target].task]
            if fact not in known:
                raise ValueError(
                    f"the gate {gate!r} asks for {fact}, but {target} is for {targets[target].task}, which has "
                    f"{', '.join(sorted(known))}"
                )
        elif targets and fact not in _OF_EVERY_TARGET:
            raise ValueError(
                f"the gate {gate!r} does not say of which target; write for instance {next(iter(targets))}.{fact}"
            )


def _known(name: str, targets: Collection[str], what: str) -> None:
    if name in targets:
        return
    near = difflib.get_close_matches(name, targets, n=1, cutoff=0.5)
    hint = f". Did you mean {near[0]!r}?" if near else f": they are {', '.join(targets)}"
    raise ValueError(f"{what}, which is none of data.targets{hint}")
