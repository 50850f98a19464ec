"""Whether a form still answers like the checkpoint it came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from danlu.core.errors import ModelError
from danlu.core.tasks import TaskName
from danlu.engines.base import Engine

#: From this cosine distance on (an angle of 8 degrees) two vectors of one text are said to be different answers.
FAR = 0.01


def _halves(engine: Engine, texts: Sequence[str]) -> np.ndarray:
    # After a whole text nearly every model foresees its end; in the middle there is something to disagree about.
    return engine.next_token([text[: (len(text) + 1) // 2] for text in texts])


def _probabilities(reference: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of rows of probabilities: the largest absolute difference, and whether another one is the largest."""
    return np.abs(reference - other).max(axis=1), reference.argmax(axis=1) != other.argmax(axis=1)


def _vectors(reference: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of rows of vectors of length 1: the cosine distance, and whether it is `FAR`.

    Half the squared length of the difference, which is 1 - cosine and does not lose small ones to rounding.
    """
    distance = 0.5 * np.square(reference.astype(np.float64) - other).sum(axis=1)
    return distance, distance >= FAR


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What of a task's answers is compared: asked how, on the texts of which columns, and what a difference is."""

    ask: Callable[[Engine, Sequence[str]], np.ndarray]
    differ: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] = _probabilities
    columns: tuple[str, ...] = ("text",)


COMPARED: dict[TaskName, Compared] = {
    "classify": Compared(ask=lambda engine, texts: engine.predict(texts)),
    "generate": Compared(ask=_halves),
    "embed": Compared(ask=lambda engine, texts: engine.embed(texts), differ=_vectors, columns=("text", "pair")),
}


def answers(engine: Engine, texts: Sequence[str]) -> np.ndarray:
    """What to compare [N, ...]: probabilities of the labels or of the token that follows half a text, or vectors.

    Raises `ModelError` when the model answers with something that is no number.
    """
    found = COMPARED[engine.form.task].ask(engine, texts)
    if not np.isfinite(found).all():
        raise ModelError(
            f"The form {engine.form.name!r} answers with NaN. Did the training diverge? Look at its loss; a lower "
            "train.learning_rate helps."
        )
    return found


def parity(reference: np.ndarray, other: np.ndarray, task: TaskName = "classify") -> dict[str, Any]:
    """How far the answers `other` [N, ...] are from those of the checkpoint, `reference`.

    `disagreement`: share of texts with another most probable label or token, or (embed) with a vector that is `FAR`
    from the checkpoint's; `disagreement_low` and `disagreement_high` are the ends of its exact 95 % interval (Clopper
    and Pearson 1934), which says something also where no text differs. A text's difference is the largest of its
    absolute differences in probability, or (embed) the cosine distance; `max_difference` and `mean_difference` are over
    the texts, of which there is at least one.
    """
    differences, changed = COMPARED[task].differ(reference, other)
    interval = stats.binomtest(int(changed.sum()), len(changed)).proportion_ci(0.95, method="exact")
    return {
        "reference": "checkpoint",
        "rows": len(reference),
        "disagreement": float(changed.mean()),
        "disagreement_low": float(interval.low),
        "disagreement_high": float(interval.high),
        "max_difference": float(differences.max()),
        "mean_difference": float(differences.mean(dtype=np.float64)),
    }
