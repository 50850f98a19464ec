"""What may be asked of the data stage."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from danlu.core.config import ComposedResource, Config, OptionalResource, ResourceMarker
from danlu.core.tasks import TaskName
from danlu.core.urls import secret_in, without_secrets
from danlu.data.filters.config import FiltersConfig, NormaliseConfig
from danlu.data.mask.config import MaskConfig

Role = Literal["system", "user", "assistant", "tool"]
Format = Literal["auto", "csv", "tsv", "excel", "jsonl", "json", "parquet", "orc", "arrow", "text", "word", "pdf"]


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

    @field_validator("path")
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


class NearConfig(Config):
    """Which texts count as nearly the same."""

    near: bool = Field(True, description="Also find near duplicates (MinHash), not only equal texts.")
    threshold: float = Field(
        0.8, gt=0.0, lt=1.0, description="Jaccard similarity of shingles from which two texts are near duplicates."
    )


class DuplicatesConfig(NearConfig):
    """Which rows count as the same text, and what becomes of them."""

    drop_near: bool = Field(
        False,
        description="Drop near duplicates instead of only keeping them on one side of the split. Equal texts are "
        "always dropped.",
    )


class SplitConfig(Config):
    """How much is held back. Duplicates never straddle two parts."""

    validation: float = Field(0.1, gt=0.0, lt=0.5, description="Share of rows for choosing the best checkpoint.")
    test: float = Field(0.1, gt=0.0, lt=0.5, description="Share of rows for the final evidence.")


class CleanConfig(Config):
    """What the clean stage sees of the data section: from the sources to clean, masked rows."""

    sources: list[SourceConfig] = Field(min_length=1, description="The files to read, in order.")
    text: str = Field("text", min_length=1, description="Name of the column with the text.")
    label: str | None = Field("label", description="Name of the column with the label; not used for generate.")
    language: Literal["auto", "zh", "en"] = Field("auto", description="Main language of the texts.")
    subject: str | None = Field(
        None,
        description="Name of the column that says whose data a row is (a customer number); it is stored as a hash. All "
        "rows of one subject are on one side of the split.",
    )
    conversation: str | None = Field(
        None, description="Name of the column with a conversation's id; all its rows are on one side of the split."
    )
    speaker: str | None = Field(
        None,
        description="Name of the column that says who speaks, where each row is one turn; the turns of one "
        "conversation become one example. For generate.",
    )
    speakers: dict[str, Role] = Field(
        default_factory=dict, description="What speakers of your files are: 买家: user, 机器人: assistant."
    )
    learn: list[Role] = Field(["assistant"], min_length=1, description="Whose turns of a dialogue are learned.")
    time: str | None = Field(
        None, description="Name of the column with a row's date or time, for a split by time or to keep the newest."
    )
    normalise: NormaliseConfig = Field(NormaliseConfig(), description="How each text is made even.")
    filters: FiltersConfig = Field(FiltersConfig(), description="Which texts are dropped.")
    min_characters: int = Field(2, ge=1, description="Drop texts shorter than this many characters.")
    max_characters: int = Field(20_000, ge=1, description="Drop texts longer than this many characters.")
    max_rows: int | None = Field(
        None, ge=20, description="Use at most this many rows, chosen at random by the seed; empty means all."
    )
    max_bad_rows: int = Field(
        1_000, ge=0, description="Stop when more rows than this cannot be read (a broken line, a missing column)."
    )
    mask: MaskConfig = Field(
        MaskConfig(),
        description="Personal data replaced before anything else sees the text; a list of kinds, or a section.",
    )
    keep_rejected_text: bool = Field(False, description="Keep the masked text of dropped rows in rejected/.")
    seed: int = Field(1, ge=0, description="Seed of the split and of any sampling.")

    @model_validator(mode="after")
    def _lengths_agree(self) -> CleanConfig:
        if self.min_characters > self.max_characters:
            raise ValueError(
                f"min_characters is {self.min_characters}, above max_characters, which is {self.max_characters}"
            )
        if self.speaker is not None and self.conversation is None:
            raise ValueError(
                "speaker is given without conversation: name the column that tells which turns belong together"
            )
        return self


class LinksConfig(Config):
    """What the duplicates stage sees of the data section."""

    duplicates: NearConfig = Field(NearConfig(), description="Which texts count as nearly the same.")


class CorpusConfig(Config):
    """What the data stage sees of the data section: from clean rows to a split corpus."""

    keep_rejected_text: bool = Field(False, description="Keep the masked text of dropped rows in rejected/.")
    label: str | None = Field("label", description="Name of the column with the label; not used for generate.")
    label_conflicts: Literal["drop", "majority", "keep"] = Field(
        "drop", description="What to do with equal texts that carry different labels."
    )
    duplicates: DuplicatesConfig = Field(DuplicatesConfig(), description="Which rows count as the same text.")
    split: SplitConfig = Field(SplitConfig(), description="How much is held back for testing.")
    seed: int = Field(1, ge=0, description="Seed of the split and of any sampling.")

    @model_validator(mode="after")
    def _something_is_left(self) -> CorpusConfig:
        if self.split.validation + self.split.test > 0.6:
            raise ValueError("split.validation and split.test together leave less than 40 % of the rows for training")
        return self


class DataConfig(CorpusConfig, LinksConfig, CleanConfig):
    """From the files a team has to a clean, masked, deduplicated, split corpus.

    Three stages see a part of it each (see the base classes), so that a change to one part leaves the others' results
    as they are.
    """

    duplicates: DuplicatesConfig = Field(DuplicatesConfig(), description="Which rows count as the same text.")


class CleanStage(Config):
    """The recipe's sections that the clean stage is given."""

    task: TaskName = Field(description="What the model is for.")
    data: CleanConfig = Field(description="Sources, and how rows are cleaned and masked.")


class DuplicatesStage(Config):
    """The recipe's sections that the duplicates stage is given."""

    data: LinksConfig = Field(description="Which texts count as nearly the same.")


class DataStage(Config):
    """The recipe's sections that the data stage is given."""

    task: TaskName = Field(description="What the model is for.")
    data: CorpusConfig = Field(description="Labels, duplicates and the split.")
