"""Answers by what was learned over n-grams, or over the vectors of a frozen encoder that an engine of its own runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from danlu.core.asked import Question, as_asked
from danlu.core.errors import UserError
from danlu.core.tasks import TASKS, TaskName
from danlu.engines.answers import restored
from danlu.engines.base import Engine, Form
from danlu.engines.sampling import at_temperature
from danlu.engines.table import load
from danlu.engines.texts import check_asked
from danlu.learning.asking import spellable
from danlu.learning.classic.files import ENCODER
from danlu.learning.classic.text_model import TextModel

#: From what the model says to what `predict` gives, by task.
_GIVEN: dict[TaskName, Callable[[np.ndarray, Form], np.ndarray]] = {
    "classify": lambda answers, form: at_temperature(answers, form.temperature),
    "tag": lambda answers, _: answers,
    "regress": restored,
}


class ClassicEngine:
    """An `Engine` that answers texts with labels or a number, each text by itself.

    Over n-grams texts are read whole; over embeddings they are cut at the encoder's longest text.
    """

    def __init__(self, folder: Path, form: Form, threads: int = 0) -> None:
        self.form = form
        self._encoder: Engine | None = None
        if (folder / ENCODER).is_dir():
            self._encoder = load(folder / ENCODER, threads)
            dimensions = self._encoder.form.dimensions or 0
            self._model = TextModel.load(folder, threads, embed=self._encoder.embed, dimensions=dimensions)
        else:
            self._model = TextModel.load(folder, threads)

    def predict(self, asked: Sequence[Question]) -> np.ndarray:
        """See `danlu.engines.base.Engine.predict`."""
        check_asked(asked, self.form.takes)
        cells = [as_asked(question).columns or {} for question in asked]
        answers = self._model.answers(spellable(asked)[0], cells)
        return _GIVEN[self.form.task](answers, self.form)

    def _refuse(self, *_arguments: object, **_named: object) -> NoReturn:
        """What language models answer, this one does not."""
        raise UserError(
            f"This model answers texts with labels or a number, and does nothing else. It answers on "
            f"{TASKS[self.form.task].endpoint}."
        )

    score = next_token = generate = embed = fill = score_hidden = gap = _refuse

    def close(self) -> None:
        """Free the memory; the engine cannot be used afterwards."""
        if self._encoder is not None:
            self._encoder.close()
