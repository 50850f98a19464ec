"""What a model that answers texts says, by task: from logits to numbers, from numbers to what people and programs read.

Shapes: B texts, K columns of an answer: one for each label; one for regress.
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
    one row of it as JSON, which has the keys `fields`. `words(told)`: that for a person, in cells. `differs(ours,
    theirs, form)`: for which texts two forms answer differently, bool [B].
    """

    fields: tuple[str, ...]
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


def _restored(logits: np.ndarray, form: Form) -> np.ndarray:
    if form.scale is None:
        raise ModelError(f"The form {form.name!r} names no scale. Export the model again with `danlu run`.")
    return form.scale.restored(logits)


def _apart(ours: np.ndarray, theirs: np.ndarray, form: Form) -> np.ndarray:
    assert form.scale is not None
    apart: np.ndarray = np.abs(ours - theirs)[:, 0] > SAME_VALUE * form.scale.std
    return apart


ANSWERS: dict[TaskName, Answer] = {
    "classify": Answer(
        fields=("label", "probabilities"),
        probabilities=lambda logits, form: at_temperature(softmax(logits), form.temperature),
        told=_label,
        words=lambda told: [told["label"], f"{told['probabilities'][told['label']]:7.2%}"],
        differs=lambda ours, theirs, _: ours.argmax(axis=1) != theirs.argmax(axis=1),
    ),
    "tag": Answer(
        fields=("labels", "probabilities"),
        probabilities=lambda logits, _: sigmoid(logits),
        told=_labels,
        words=lambda told: [
            ", ".join(f"{label} {told['probabilities'][label]:.0%}" for label in told["labels"]) or "–"
        ],
        differs=lambda ours, theirs, form: (held(ours, form) != held(theirs, form)).any(axis=1),
    ),
    "regress": Answer(
        fields=("value",),
        probabilities=_restored,
        told=_value,
        words=lambda told: [f"{told['value']:.4g}"],
        differs=_apart,
    ),
}
