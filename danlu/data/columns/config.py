"""Which columns a model is told beside the text."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from danlu.core.config import Config

#: More columns than this are a table with a text in it, for which there are better models.
MOST_COLUMNS = 64


class ColumnsConfig(Config):
    """Columns of the files that say more than the text does. For classify, tag and regress."""

    numeric: list[str] = Field(
        default_factory=list,
        description="Names of columns with numbers, in their own unit; an empty cell is a missing number.",
    )
    categorical: list[str] = Field(
        default_factory=list,
        description="Names of columns with one of a few words, such as a channel; an empty cell is a missing value.",
    )

    @field_validator("numeric", "categorical")
    @classmethod
    def _names(cls, value: list[str]) -> list[str]:
        if any(not name.strip() for name in value):
            raise ValueError("a column's name is empty")
        return value

    @model_validator(mode="after")
    def _each_once(self) -> ColumnsConfig:
        names = [*self.numeric, *self.categorical]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the column {twice[0]!r} is named twice; a column is numeric or categorical, once")
        if not names:
            raise ValueError("name at least one column under numeric or categorical, or leave columns out")
        if len(names) > MOST_COLUMNS:
            raise ValueError(f"{len(names)} columns are named; at most {MOST_COLUMNS} are taken")
        return self
