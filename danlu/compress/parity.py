"""Whether a form still answers like the checkpoint it came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from danlu.core.errors import ModelError
from danlu.core.tasks import TaskName
from danlu.engines.answers import ANSWERS
from danlu.engines.base import Engine, Form


def _halves(engine: Engine, texts: Sequence[str]) -> np.ndarray:
    # After a whole text nearly every model foresees its end; in the middle there is something to disagree about.
    return engine.next_token([text[: (len(text) + 1) // 2] for text in texts])


#: What of a task's answers is compared: probabilities [N, K].
_ANSWERS: dict[TaskName, Callable[[Engine, Sequence[str]], np.ndarray]] = {
    **dict.fromkeys(ANSWERS, lambda engine, texts: engine.predict(texts)),
    "generate": _halves,
}


def answers(engine: Engine, texts: Sequence[str]) -> np.ndarray:
    """What to compare, [N, K]: what `predict` answers, or how probable each token is behind the first half of a text.

    Raises `ModelError` when the model answers with something that is no number.
    """
    probabilities = _ANSWERS[engine.form.task](engine, texts)
    if not np.isfinite(probabilities).all():
        raise ModelError(
            f"The form {engine.form.name!r} answers with NaN. Did the training diverge? Look at its loss; a lower "
            "train.learning_rate helps."
        )
    return probabilities


def parity(reference: np.ndarray, other: np.ndarray, form: Form) -> dict[str, Any]:
    """How far the answers `other` [N, K] of a form are from those of the checkpoint, `reference`.

    `disagreement`: share of texts that are answered otherwise: with another label or most probable token, with other
    labels, or with a number further off than `danlu.engines.answers.SAME_VALUE`; `disagreement_low` and
    `disagreement_high` are the ends of its exact 95 % interval (Clopper and Pearson 1934), which says something
    also where no text differs. A text's difference is the largest of its K absolute differences; `max_difference`
    and `mean_difference` are over the texts, of which there is at least one: in probability, for regress in standard
    deviations of the training rows' numbers.
    """
    unit = 1.0 if form.scale is None else form.scale.std
    differences = np.abs(reference - other).max(axis=1) / unit
    # Tokens are compared as labels are: by the most probable one.
    changed = ANSWERS.get(form.task, ANSWERS["classify"]).differs(reference, other, form)
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
