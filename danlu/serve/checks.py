"""What every address that takes texts checks before it asks the model."""

from __future__ import annotations

from collections.abc import Sequence

from danlu.core.asked import Question, as_asked
from danlu.core.tasks import TASKS, TaskName
from danlu.engines.texts import blank_text, refused, which_text
from danlu.serve.config import ServeConfig
from danlu.serve.errors import ApiError
from danlu.serve.live import Served

#: Addresses beside a task's own, which people look for first.
_ALSO: dict[TaskName, tuple[str, ...]] = {"generate": ("/v1/chat/completions",)}


def addresses(task: TaskName) -> tuple[str, ...]:
    """Where a model for `task` answers."""
    return (*_ALSO.get(task, ()), TASKS[task].endpoint)


def check_texts(texts: Sequence[str], config: ServeConfig, parameter: str = "texts") -> None:
    """Raise `ApiError` for too many texts, and for one that is blank or too long."""
    if len(texts) > config.max_texts:
        message = f"{len(texts)} texts came; at most {config.max_texts} are taken a request."
        raise ApiError(400, "too_many_texts", message, parameter)
    blank = blank_text(texts)
    if blank is not None:
        raise ApiError(400, "empty_text", blank, parameter)
    for index, text in enumerate(texts):
        if len(text) > config.max_characters:
            which = which_text(texts, index)
            message = f"{which} has {len(text):,} characters; at most {config.max_characters:,} are taken."
            raise ApiError(400, "text_too_long", message, parameter)


def check_asked(served: Served, asked: Sequence[Question], config: ServeConfig) -> None:
    """Raise `ApiError` for a question that does not hold what the model takes, or more; and for too long a pair."""
    found = refused(asked, served.form.takes)
    if found is not None:
        raise ApiError(400, f"wrong_{found.part}", found.why, found.part)
    for index, question in enumerate(asked):
        pair = as_asked(question).pair or ""
        if len(pair) > config.max_characters:
            which = f"Text {index + 1}: the" if len(asked) > 1 else "The"
            message = f"{which} pair has {len(pair):,} characters; at most {config.max_characters:,} are taken."
            raise ApiError(400, "text_too_long", message, "pair")


def check_task(served: Served, *wanted: TaskName) -> None:
    """Raise `ApiError` where the model is for another task, and say where it answers."""
    task = served.form.task
    if task not in wanted:
        message = f"{served.name!r} is a model for {task}; it answers on {' and '.join(addresses(task))}."
        raise ApiError(400, "wrong_task", message)
