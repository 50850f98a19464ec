"""What MLflow calls to load a released model: `mlflow.pyfunc.load_model("models:/NAME@champion")`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from danlu.core.asked import Question, Takes, question
from danlu.core.errors import UserError
from danlu.core.lazy import need
from danlu.core.machine import this_machine
from danlu.core.tasks import TaskName
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
        `{"value"}`; multitask: of these one for each target, by its name. A model that is asked more than a text takes
        a table with the columns `text`, `pair` and those that it is told. Generate: a list of texts; `params` are
        those of `danlu.engines.base.Engine.generate`. Fill: `{"filled", "masks"}`; embed: a vector, as a list.

        Raises `UserError` for a row without a text, and for one that lacks what the model is asked beside it.
        """
        texts = _texts(model_input)
        form = self._engine.form
        if form.task in self._others:
            return self._others[form.task](texts, params or {})
        answer = ANSWERS[form.task]
        questions = _questions(model_input, texts, form.takes)
        return [with_probability(answer.told(row, form), form) for row in self._engine.predict(questions)]

    @property
    def _others(self) -> dict[TaskName, Callable[[list[str], dict[str, Any]], list[Any]]]:
        """The tasks whose answer is no label and no number: what texts are answered with."""
        return {
            "generate": self._written,
            "fill": lambda texts, _: [one.told() for one in self._engine.fill(texts)],
            "embed": lambda texts, _: self._engine.embed(texts).tolist(),
        }

    def _written(self, texts: list[str], params: dict[str, Any]) -> list[str]:
        settings = {"written": self._prompts.written, **params}
        asked = [self._prompts.of([{"role": "user", "content": text}]) for text in texts]
        return ["".join(self._engine.generate(prompt, **settings)) for prompt in asked]


def _texts(given: Any) -> list[str]:
    columns = getattr(given, "columns", None)
    if columns is not None:
        given = given["text"] if "text" in columns else given.iloc[:, 0]
    texts = [given] if isinstance(given, str) else list(given)
    lacking = next((row for row, text in enumerate(texts, 1) if _missing(text)), None)
    if lacking is not None:
        raise UserError(f"Row {lacking} of {len(texts)} has no text. Leave it out, or give it one.")
    return [str(text) for text in texts]


def _missing(cell: Any) -> bool:
    """Whether it is one of what pandas holds for nothing: None, not a number, NaT, NA."""
    return cell is None or bool(need("pandas", extra="mlflow").isna(cell))


def _questions(given: Any, texts: Sequence[str], takes: Takes) -> Sequence[Question]:
    """The rows of a table as the model is asked them; cells that pandas holds as not a number are missing."""
    if takes.text_alone:
        return texts
    known = getattr(given, "columns", ())
    lacking = [name for name in (*(["pair"] if takes.pair else []), *takes.columns) if name not in known]
    if lacking:
        raise UserError(f"This model is asked {takes.words()}; give a table that has the column {lacking[0]!r} too.")
    cells = {name: [None if _missing(cell) else cell for cell in given[name].tolist()] for name in takes.columns}
    pairs = [None if _missing(pair) else str(pair) for pair in given["pair"]] if takes.pair else [None] * len(texts)
    return [
        question(text, pair, {name: values[row] for name, values in cells.items()} if cells else None)
        for row, (text, pair) in enumerate(zip(texts, pairs, strict=True))
    ]


def _load_pyfunc(path: str) -> Model:
    """The form in the folder `path`; the name is MLflow's."""
    return Model(load(Path(path), threads=this_machine().cores), Prompts(Path(path)))
