"""Whether a form still answers like the checkpoint it came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from danlu.core.errors import ModelError
from danlu.core.tasks import TaskName
from danlu.engines.base import Engine


def _halves(engine: Engine, texts: Sequence[str]) -> np.ndarray:
    # After a whole text nearly every model foresees its end; in the middle there is something to disagree about.
    return engine.next_token([text[: (len(text) + 1) // 2] for text in texts])


#: What of a task's answers is compared: probabilities [N, K].
_ANSWERS: dict[TaskName, Callable[[Engine, Sequence[str]], np.ndarray]] = {
    "classify": lambda engine, texts: engine.predict(texts),
    "generate": _halves,
}


def answers(engine: Engine, texts: Sequence[str]) -> np.ndarray:
    """Probabilities [N, K] to compare: of the labels, or of the token that follows the first half of each text.

    Raises `ModelError` when the model answers with something that is no number.
    """
    probabilities = _ANSWERS[engine.form.task](engine, texts)
    if not np.isfinite(probabilities).all():
        raise ModelError(
            f"The form {engine.form.name!r} answers with NaN. Did the training diverge? Look at its loss; a lower "
            "train.learning_rate helps."
        )
    return probabilities


def parity(reference: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """How far the probabilities `other` [N, K] are from those of the checkpoint, `reference`.

    `disagreement`: share of texts with another most probable label or token; `disagreement_low` and
    `disagreement_high` are the ends of its exact 95 % interval (Clopper and Pearson 1934), which says something
    also where no text differs. A text's difference is the largest of its K absolute differences; `max_difference`
    and `mean_difference` are over the texts, of which there is at least one.
    """
    differences = np.abs(reference - other).max(axis=1)
    changed = reference.argmax(axis=1) != other.argmax(axis=1)
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
