"""What may be asked of the questions stage."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from danlu.core.config import Config, Resource
from danlu.core.tasks import TaskName
from danlu.sources.config import Format


class QuestionsConfig(Config):
    """Your own questions, which the released form answers; its answers are held against what you expect."""

    path: Resource = Field(
        description="File of questions beside the recipe (Excel, CSV, JSONL, ...). Columns: question; and where you "
        "have it reference (a right answer), must_say and must_not_say (phrases), category."
    )
    format: Format = Field("auto", description="File format; auto goes by the ending and then by the content.")
    encoding: str = Field("auto", description="Text encoding, such as utf-8 or gb18030; auto detects it.")
    question: str = Field("question", min_length=1, description="Name of the column with the question.")
    reference: str = Field("reference", min_length=1, description="Name of the column with a right answer.")
    must_say: str = Field(
        "must_say",
        min_length=1,
        description="Name of the column with the phrases that an answer must hold, all of them.",
    )
    must_not_say: str = Field(
        "must_not_say", min_length=1, description="Name of the column with phrases of which an answer may hold none."
    )
    category: str = Field("category", min_length=1, description="Name of the column with a question's category.")
    separator: str = Field("|", min_length=1, description="What stands between the phrases of one cell.")
    max_new_tokens: int = Field(256, ge=1, description="Most tokens of an answer.")
    resamples: int = Field(1_000, ge=100, description="Bootstrap resamples behind every interval.")
    seed: int = Field(1, ge=0, description="Seed of the bootstrap.")

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        """`questions: FILE` is short for the section with that path."""
        return {"path": value} if isinstance(value, str) else value


class QuestionsStage(Config):
    """The recipe's sections that the questions stage is given."""

    task: TaskName = Field(description="What the model is for.")
    questions: QuestionsConfig = Field(description="The recipe's questions section.")
