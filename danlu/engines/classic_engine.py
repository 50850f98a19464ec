"""Answers by n-grams and what was learned over them; no neural network, no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from danlu.core.errors import UserError
from danlu.core.tasks import TASKS
from danlu.engines.base import Form
from danlu.engines.sampling import at_temperature
from danlu.learning.classic.text_model import TextModel


class ClassicEngine:
    """An `Engine` that classifies. Texts are read whole, and each is answered by itself."""

    def __init__(self, folder: Path, form: Form, threads: int = 0) -> None:
        self.form = form
        self._model = TextModel.load(folder, threads)

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """See `danlu.engines.base.Engine.predict`."""
        answers = self._model.probabilities([text.encode("utf-8", "replace").decode("utf-8") for text in texts])
        return at_temperature(answers, self.form.temperature)

    def _refuse(self, *_arguments: object, **_named: object) -> NoReturn:
        """What language models answer, this one does not."""
        raise UserError(
            f"This model labels texts, and does nothing else. It answers on {TASKS[self.form.task].endpoint}."
        )

    score = next_token = generate = embed = fill = score_hidden = gap = _refuse

    def close(self) -> None:
        """Nothing is held but memory, which goes with the object."""
