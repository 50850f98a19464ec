"""Where data comes from, as sections of a recipe."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from danlu.core.config import ComposedResource, Config, OptionalResource, ResourceMarker
from danlu.core.urls import secret_in, without_secrets

Consent = Literal["unknown", "public", "licence", "contract", "consent", "legitimate_interest", "own"]
Format = Literal[
    "auto", "csv", "tsv", "excel", "jsonl", "json", "parquet", "orc", "arrow", "text", "tagged", "word", "pdf"
]


class SqlConfig(ComposedResource):
    """A query on a database; its rows are taken once and kept until `danlu run --refresh`."""

    resolver: ClassVar[str] = "danlu.sources.sql:snapshot"

    url: str = Field(
        description="SQLAlchemy URL of PostgreSQL, MySQL or SQLite, such as "
        "postgresql+psycopg://reader:${DB_PASSWORD}@host/database; ${NAME} is an environment variable."
    )
    query: str = Field(min_length=1, description="One SELECT; its columns are what data.text and data.label name.")

    @field_validator("url")
    @classmethod
    def _no_password(cls, value: str) -> str:
        secret = secret_in(value)
        if secret is not None:
            raise ValueError(
                f"the url {without_secrets(value)!r} holds {secret}; a recipe may hold none. Put it into an "
                "environment variable and write ${NAME} in its place"
            )
        return value


class SourceConfig(Config):
    """One place the data comes from."""

    path: OptionalResource = Field(
        None,
        description="What to read: a file, a folder or a pattern (data/*.jsonl) beside the recipe, "
        "package://NAME/path, hf://datasets/OWNER/NAME, modelscope://datasets/OWNER/NAME, or a URL (s3://, oss://, "
        "gs://, hdfs://, https://). Files may be compressed (.gz, .zst, .bz2, .xz, .zip).",
    )
    sql: Annotated[SqlConfig | None, ResourceMarker()] = Field(
        None, description="A database query to read instead of a path."
    )
    format: Format = Field("auto", description="File format; auto goes by the ending and then by the content.")
    encoding: str = Field("auto", description="Text encoding, such as utf-8 or gb18030; auto detects it.")
    sheet: str | None = Field(None, description="Excel sheet to read; empty means the first.")
    label: str | None = Field(
        None, description="One label for every row of this source, where the file itself has no label column."
    )
    licence: str = Field("unknown", description="Licence of the data, as an SPDX identifier where there is one.")
    origin: str | None = Field(
        None, min_length=1, description="Where the data comes from, in words or as a URL; for the data card."
    )
    consent: Consent = Field(
        "unknown",
        description="On what basis it may be used: public data, a licence, a contract, the people's consent, a "
        "legitimate interest, or your own data.",
    )
    consent_note: str | None = Field(
        None, min_length=1, description="More on that basis, such as the clause of the terms or who agreed to what."
    )

    @field_validator("path", "origin")
    @classmethod
    def _no_password(cls, value: str | None) -> str | None:
        secret = secret_in(value) if value is not None else None
        if value is not None and secret is not None:
            raise ValueError(
                f"{without_secrets(value)!r} holds {secret}; a recipe may hold none. Take it out, and give it to the "
                "driver by its own environment variables or configuration"
            )
        return value

    @model_validator(mode="after")
    def _one_place(self) -> SourceConfig:
        if (self.path is None) == (self.sql is None):
            raise ValueError("a source needs either path or sql: path for files, sql for a database query")
        return self

    @property
    def place(self) -> Literal["path", "sql"]:
        """The field that says where the data is."""
        return "path" if self.sql is None else "sql"

    @property
    def named(self) -> str:
        """The source as messages name it: its path, or its database without user and password."""
        return str(self.path) if self.sql is None else without_secrets(self.sql.url)
