"""Asking a form about test texts, as all tasks do that answer a text with numbers.

Shapes: N texts, K numbers an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from danlu.core.asked import Question
from danlu.core.context import Context
from danlu.core.errors import UserError
from danlu.engines.base import Form
from danlu.engines.table import load

_ROWS_AT_ONCE = 64

#: Of a text that the model got wrong, this many characters are shown.
_SHOWN_CHARACTERS = 500


def ask(ctx: Context, folder: Path, asked: Sequence[Question]) -> tuple[np.ndarray, Form]:
    """What the form in `folder` answers to N questions, float64 [N, K], and the form.

    Raises `UserError` when it answers with something that is no number.
    """
    answers, form = answers_of(ctx, folder, asked, f"answering with {folder.name}")
    wrong = without_number(answers)
    if wrong:
        raise UserError(
            f"The form {folder.name} answers {wrong} of {len(answers)} test texts with something that is no "
            "number. Training has probably diverged: look at its loss, and lower train.learning_rate."
        )
    return answers, form


def without_number(answers: np.ndarray) -> int:
    """In how many rows of `answers` [N, K] there is something that is no number."""
    return int((~np.isfinite(answers)).any(axis=1).sum())


def answers_of(ctx: Context, folder: Path, asked: Sequence[Question], what: str) -> tuple[np.ndarray, Form]:
    """As `ask`, whatever it answers; the progress is called `what`."""
    engine = load(folder, ctx.threads)
    form = engine.form
    answers = np.zeros((len(asked), form.answers))
    with ctx.progress(what, total=len(asked), unit="texts") as bar:
        for begin in range(0, len(asked), _ROWS_AT_ONCE):
            some = asked[begin : begin + _ROWS_AT_ONCE]
            answers[begin : begin + len(some)] = engine.predict(some)
            bar.advance(len(some))
    engine.close()
    return answers, form


def cut(text: str) -> str:
    """As much of a text as is shown."""
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
