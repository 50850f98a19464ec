"""What MLflow calls to load a released model: `mlflow.pyfunc.load_model("models:/NAME@champion")`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from danlu.core.machine import this_machine
from danlu.engines.answers import ANSWERS, with_probability
from danlu.engines.base import Engine
from danlu.engines.prompt import Prompts
from danlu.engines.table import load


class Model:
    """A released form behind MLflow's `predict`."""

    def __init__(self, engine: Engine, prompts: Prompts) -> None:
        self._engine = engine
        self._prompts = prompts

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """For texts (a list, an array, or a table whose first column or column `text` holds them).

        Classify: a list of `{"label", "probability", "probabilities"}`; tag: `{"labels", "probabilities"}`; regress:
        `{"value"}`; multitask: of these one for each target, by its name. Generate: a list of texts;
        `params` are those of `danlu.engines.base.Engine.generate`.
        """
        texts = _texts(model_input)
        form = self._engine.form
        answer = ANSWERS.get(form.task)
        if answer is None:
            settings = {"written": self._prompts.written, **(params or {})}
            asked = [self._prompts.of([{"role": "user", "content": text}]) for text in texts]
            return ["".join(self._engine.generate(prompt, **settings)) for prompt in asked]
        return [with_probability(answer.told(row, form), form) for row in self._engine.predict(texts)]


def _texts(given: Any) -> list[str]:
    columns = getattr(given, "columns", None)
    if columns is not None:
        given = given["text"] if "text" in columns else given.iloc[:, 0]
    return [str(text) for text in ([given] if isinstance(given, str) else list(given))]


def _load_pyfunc(path: str) -> Model:
    """The form in the folder `path`; the name is MLflow's."""
    return Model(load(Path(path), threads=this_machine().cores), Prompts(Path(path)))
