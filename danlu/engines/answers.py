"""What a model that answers texts says, by task: from logits to numbers, from numbers to what people and programs read.

Shapes: B texts, K columns of an answer: one for each label; one for regress; for multitask those of all targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from danlu.core.errors import ModelError
from danlu.core.tasks import TaskName
from danlu.engines.base import Form
from danlu.engines.sampling import at_temperature, softmax

#: Two answers of a regression are the same up to this share of the training rows' standard deviation.
SAME_VALUE = 0.01


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How models of one task answer.

    `probabilities(logits, form)`: what `Engine.predict` gives, float32 [B, K], from logits [B, K]. `told(row, form)`:
    one row of it as JSON; `nothing(form)` is that for a text without an answer. `words(told)`: that for a person, in
    cells. `differs(ours, theirs, form)`: for which texts two forms answer differently, bool [B].
    """

    nothing: Callable[[Form], dict[str, Any]]
    probabilities: Callable[[np.ndarray, Form], np.ndarray]
    told: Callable[[np.ndarray, Form], dict[str, Any]]
    words: Callable[[dict[str, Any]], list[str]]
    differs: Callable[[np.ndarray, np.ndarray, Form], np.ndarray]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), float32; computed in float64, where large negative numbers overflow to 0 rightly."""
    with np.errstate(over="ignore"):
        return (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def _label(row: np.ndarray, form: Form) -> dict[str, Any]:
    labels = form.labels or ()
    return {"label": labels[int(row.argmax())], "probabilities": dict(zip(labels, row.tolist(), strict=True))}


def _labels(row: np.ndarray, form: Form) -> dict[str, Any]:
    """The labels whose probability reaches their threshold, the most probable first; and all probabilities."""
    labels, holds = form.labels or (), held(row, form)
    chosen = [labels[place] for place in np.argsort(-row, kind="stable").tolist() if holds[place]]
    return {"labels": chosen, "probabilities": dict(zip(labels, row.tolist(), strict=True))}


def _value(row: np.ndarray, form: Form) -> dict[str, Any]:
    del form
    return {"value": float(row[0])}


def held(probabilities: np.ndarray, form: Form) -> np.ndarray:
    """Which labels hold by their thresholds, bool [..., K]."""
    holds: np.ndarray = probabilities >= np.asarray(form.thresholds, dtype=np.float32)
    return holds


def restored(answers: np.ndarray, form: Form) -> np.ndarray:
    """Standardised numbers [B, 1] in the user's unit. Raises `ModelError` for a form that names no scale."""
    if form.scale is None:
        raise ModelError(f"The form {form.name!r} names no scale. Export the model again with `danlu run`.")
    return form.scale.restored(answers)


def _apart(ours: np.ndarray, theirs: np.ndarray, form: Form) -> np.ndarray:
    assert form.scale is not None
    apart: np.ndarray = np.abs(ours - theirs)[:, 0] > SAME_VALUE * form.scale.std
    return apart


#: What one answer has that those of other tasks have not.
_MARKS: dict[str, TaskName] = {"label": "classify", "labels": "tag", "value": "regress"}


def words_of(told: dict[str, Any]) -> list[str]:
    """One answer for a person, in cells, by what it holds."""
    task = next(task for mark, task in _MARKS.items() if mark in told)
    return ANSWERS[task].words(told)


ANSWERS: dict[TaskName, Answer] = {
    "classify": Answer(
        nothing=lambda _: {"label": None, "probabilities": None},
        probabilities=lambda logits, form: at_temperature(softmax(logits), form.temperature),
        told=_label,
        words=lambda told: [told["label"], f"{told['probabilities'][told['label']]:7.2%}"],
        differs=lambda ours, theirs, _: ours.argmax(axis=1) != theirs.argmax(axis=1),
    ),
    "tag": Answer(
        nothing=lambda _: {"labels": None, "probabilities": None},
        probabilities=lambda logits, _: sigmoid(logits),
        told=_labels,
        words=lambda told: [
            ", ".join(f"{label} {told['probabilities'][label]:.0%}" for label in told["labels"]) or "–"
        ],
        differs=lambda ours, theirs, form: (held(ours, form) != held(theirs, form)).any(axis=1),
    ),
    "regress": Answer(
        nothing=lambda _: {"value": None},
        probabilities=restored,
        told=_value,
        words=lambda told: [f"{told['value']:.4g}"],
        differs=_apart,
    ),
    "multitask": Answer(
        nothing=lambda form: {name: ANSWERS[part.task].nothing(part) for name, _, part in form.parts},
        probabilities=lambda logits, form: np.concatenate(
            [ANSWERS[part.task].probabilities(logits[:, here], part) for _, here, part in form.parts], axis=1
        ),
        told=lambda row, form: {name: ANSWERS[part.task].told(row[here], part) for name, here, part in form.parts},
        words=lambda told: [f"{name}: {' '.join(words_of(one)).strip()}" for name, one in told.items()],
        differs=lambda ours, theirs, form: np.any(
            [ANSWERS[part.task].differs(ours[:, here], theirs[:, here], part) for _, here, part in form.parts], axis=0
        ),
    ),
}


def with_probability(told: dict[str, Any], form: Form) -> dict[str, Any]:
    """An answer, and of a single label how sure the model is."""
    if form.heads:
        return {name: with_probability(told[name], part) for name, _, part in form.parts}
    if "label" not in told:
        return told
    probability = None if told["label"] is None else told["probabilities"][told["label"]]
    return {"label": told["label"], "probability": probability, **told}
