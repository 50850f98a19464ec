"""Whether a form still answers like the checkpoint it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from danlu.core.errors import ModelError
from danlu.core.tasks import TaskName
from danlu.engines.answers import ANSWERS
from danlu.engines.base import Engine, Form
from danlu.learning.asking import questions

#: From this cosine distance on (an angle of 8 degrees) two vectors of one text are said to be different answers.
FAR = 0.01

#: Which words are hidden from both forms.
_MASK_SEED = 1


def _halves(engine: Engine, texts: Sequence[str]) -> np.ndarray:
    # After a whole text nearly every model foresees its end; in the middle there is something to disagree about.
    return engine.next_token([text[: (len(text) + 1) // 2] for text in texts])


def _hidden(engine: Engine, texts: Sequence[str]) -> np.ndarray:
    """The probabilities of the true tokens and whether each is held for the most probable, [M, 2] of all texts."""
    found = engine.score_hidden(texts, _MASK_SEED)
    return np.stack(
        [
            np.exp(np.concatenate([one.log_likelihood for one in found])),
            np.concatenate([one.right for one in found]).astype(np.float64),
        ],
        axis=1,
    )


def _foreseen(reference: np.ndarray, other: np.ndarray, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """Of hidden tokens: the difference in the probability of the true one, and whether one form foresees it alone."""
    del form
    return np.abs(reference[:, 0] - other[:, 0]), reference[:, 1] != other[:, 1]


def _predicted(reference: np.ndarray, other: np.ndarray, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """Of rows of what `predict` answers: the largest absolute difference, and whether another answer is given.

    Of probabilities, or of numbers in standard deviations of the training rows'; with several targets the largest of
    them all, and whether any is answered otherwise.
    """
    apart = [
        np.abs(reference[:, here] - other[:, here]).max(axis=1) / (1.0 if part.scale is None else part.scale.std)
        for _, here, part in form.parts
    ]
    return np.max(apart, axis=0), ANSWERS[form.task].differs(reference, other, form)


def _tokens(reference: np.ndarray, other: np.ndarray, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """Of rows of probabilities: the largest absolute difference, and whether another token is the most probable."""
    del form
    return np.abs(reference - other).max(axis=1), reference.argmax(axis=1) != other.argmax(axis=1)


def _vectors(reference: np.ndarray, other: np.ndarray, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """Of rows of vectors of length 1: the cosine distance, and whether it is `FAR`.

    Half the squared length of the difference, which is 1 - cosine and does not lose small ones to rounding.
    """
    del form
    distance = 0.5 * np.square(reference.astype(np.float64) - other).sum(axis=1)
    return distance, distance >= FAR


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What of a task's answers is compared: asked how, about what of so many rows, and what a difference is."""

    ask: Callable[[Engine, Sequence[Any]], np.ndarray]
    differ: Callable[[np.ndarray, np.ndarray, Form], tuple[np.ndarray, np.ndarray]]
    asked: Callable[[Rows, int], list[Any]]


#: Columns of rows of a corpus part, by name.
Rows = Mapping[str, Sequence[Any]]


def _texts(*columns: str) -> Callable[[Rows, int], list[str]]:
    """The texts in these columns of the first rows, column by column."""
    return lambda rows, most: [text for column in columns for text in rows[column][:most]]


COMPARED: dict[TaskName, Compared] = {
    **dict.fromkeys(
        ANSWERS,
        Compared(
            ask=lambda engine, asked: engine.predict(asked),
            differ=_predicted,
            asked=lambda rows, most: questions(rows)[:most],
        ),
    ),
    "generate": Compared(ask=_halves, differ=_tokens, asked=_texts("text")),
    "embed": Compared(ask=lambda engine, texts: engine.embed(texts), differ=_vectors, asked=_texts("text", "pair")),
    "fill": Compared(ask=_hidden, differ=_foreseen, asked=_texts("text")),
}


def answers(engine: Engine, asked: Sequence[Any]) -> np.ndarray:
    """What to compare [N, ...]: what `predict` answers, the probabilities of the token behind half a text, or vectors.

    Raises `ModelError` when the model answers with something that is no number.
    """
    found = COMPARED[engine.form.task].ask(engine, asked)
    if not np.isfinite(found).all():
        raise ModelError(
            f"The form {engine.form.name!r} answers with NaN. Did the training diverge? Look at its loss; a lower "
            "train.learning_rate helps."
        )
    return found


def parity(reference: np.ndarray, other: np.ndarray, form: Form) -> dict[str, Any]:
    """How far the answers `other` [N, ...] of a form are from those of the checkpoint, `reference`.

    `disagreement`: share of texts that are answered otherwise: with another label or most probable token, with other
    labels, with a number further off than `danlu.engines.answers.SAME_VALUE`, or with a vector that is `FAR`;
    `disagreement_low` and `disagreement_high` are the ends of its exact 95 % interval (Clopper and Pearson 1934), which
    says something also where no text differs. A text's difference is the largest of its absolute differences: in
    probability, for regress in standard deviations of the training rows' numbers, for embed the cosine distance. For
    fill `rows` are hidden tokens, and one is answered otherwise where one form foresees it and the other does not.
    `max_difference` and `mean_difference` are over the texts, of which there is at least one.
    """
    differences, changed = COMPARED[form.task].differ(reference, other, form)
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
