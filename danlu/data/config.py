"""What may be asked of the data stage."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from danlu.core.config import ComposedResource, Config, NotFingerprinted, OptionalResource, Resource, ResourceMarker
from danlu.core.tasks import TaskName
from danlu.data.augment.config import AugmentConfig
from danlu.data.balance.config import BalanceConfig
from danlu.data.columns.config import ColumnsConfig
from danlu.data.filters.config import FiltersConfig, NormaliseConfig, OutlierFilter
from danlu.data.heads.config import Targets
from danlu.data.labels.config import LabelsConfig
from danlu.data.licences import listed, refused
from danlu.data.mask.config import MaskConfig, MaskSection
from danlu.data.mix.config import MixConfig
from danlu.data.teacher.config import TeacherConfig
from danlu.sources.config import Format, SourceConfig

Role = Literal["system", "user", "assistant", "tool"]


class NearConfig(Config):
    """Which texts count as nearly the same."""

    near: bool = Field(True, description="Also find near duplicates (MinHash), not only equal texts.")
    threshold: float = Field(
        0.8, gt=0.0, lt=1.0, description="Jaccard similarity of shingles from which two texts are near duplicates."
    )


class DuplicatesConfig(NearConfig):
    """Which rows count as the same text, and what becomes of them."""

    keep: Literal["first", "longest", "newest"] = Field(
        "first",
        description="Which of duplicates stays: the one that came first, the longest, or the newest by data.time.",
    )

    drop_near: bool = Field(
        False,
        description="Drop near duplicates instead of only keeping them on one side of the split. Equal texts are "
        "always dropped.",
    )


def _as_text(value: object) -> object:
    """YAML reads an unquoted 2024-03-01 as a date."""
    return value.isoformat() if isinstance(value, datetime.date) else value


Moment = Annotated[str, BeforeValidator(_as_text)]


class IdentityKeyConfig(ComposedResource):
    """The secret under which ids of subjects and conversations are hashed. Corpora made with two keys do not mix."""

    resolver: ClassVar[str] = "danlu.data.identity:resolve"

    env: str | None = Field(
        None,
        min_length=1,
        description="Environment variable with the secret, at least 16 bytes, for machines that shall agree; empty "
        "means the workspace's own, .danlu/keys/identity, made on first use.",
    )


Together = Literal["subject", "conversation", "prompt"]
_TOGETHER: tuple[Together, ...] = ("conversation", "prompt", "subject")


class SplitConfig(Config):
    """How much is held back, and what must not be torn apart.

    Near duplicates, equal texts, the rows of one subject or conversation, and augmented rows with their parents are on
    one side. Shares are approximate: whole groups of such rows are drawn, each by a hash of its first row, so that rows
    added at the end of the last source never move an earlier one; in large data the shares come out as asked, up to
    chance.
    """

    by: Literal["hash", "time"] = Field(
        "hash",
        description="hash draws groups of rows at random, each label by itself; time trains on the past and tests on "
        "what came later (needs data.time).",
    )
    validation: float = Field(
        0.1, gt=0.0, lt=0.5, description="Share of rows for choosing the best checkpoint; approximate."
    )
    test: float = Field(0.1, gt=0.0, lt=0.5, description="Share of rows for the final evidence; approximate.")
    validation_from: Moment | None = Field(
        None,
        description="With by: time, the date or time from which rows are for validation, such as 2024-03-01 (UTC where "
        "it names no zone); empty goes by the shares, and then rows that are added move the cut.",
    )
    test_from: Moment | None = Field(
        None,
        description="With by: time, the date or time from which rows are for the test; given with validation_from.",
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=20,
        description="Deal train and validation out into this many folds as well, for cross-validation; a row that "
        "would join two of them is rejected.",
    )
    keep_together: list[Together] = Field(
        default_factory=lambda: list(_TOGETHER),
        description="Which rows besides duplicates stay on one side, where they are known; prompt is everything said "
        "before the last answer of instruction data. A model that serves the same people it learned from may leave out "
        "subject.",
    )

    @field_validator("keep_together")
    @classmethod
    def _together_once(cls, value: list[Together]) -> list[Together]:
        return sorted(set(value))

    @field_validator("validation_from", "test_from")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                datetime.datetime.fromisoformat(value)
            except ValueError:
                raise ValueError(f"{value!r} is no date; write 2024-03-01 or 2024-03-01T15:00:00+08:00") from None
        return value

    @model_validator(mode="after")
    def _time_agrees(self) -> SplitConfig:
        dates = (self.validation_from, self.test_from)
        if self.by != "time" and any(dates):
            raise ValueError("validation_from and test_from are for by: time; by is 'hash'")
        if any(dates) and not all(dates):
            raise ValueError("validation_from and test_from go together; only one of them came")
        if all(dates) and seconds_of(dates[0]) >= seconds_of(dates[1]):
            raise ValueError(f"validation_from is {dates[0]}, which must be before test_from, {dates[1]}")
        if self.by == "time" and self.folds:
            raise ValueError("folds would train on what comes after the tested rows; leave folds out, or set by: hash")
        return self


def seconds_of(moment: str | None) -> int:
    """Seconds since 1970, UTC, of an ISO 8601 date or time; one without a zone is taken as UTC."""
    parsed = datetime.datetime.fromisoformat(moment or "")
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=datetime.UTC)
    return (parsed - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(seconds=1)


class ReferenceConfig(Config):
    """A file whose rows must not be trained on: a public benchmark, or an examination of your own."""

    path: Resource = Field(description="File, folder or pattern, as under data.sources.")
    text: str = Field("text", min_length=1, description="Name of the column with the text, such as the question.")
    format: Format = Field("auto", description="File format; auto goes by the ending and then by the content.")
    encoding: str = Field("auto", description="Text encoding, such as utf-8 or gb18030; auto detects it.")


class LicencesConfig(Config):
    """Which licences the data may have."""

    allow: list[str] | None = Field(
        None,
        description="Licences that sources may have (SPDX identifiers; case does not count); a source with another, "
        "or with none named, is refused. Empty allows all.",
    )


class CleanConfig(Config):
    """What the clean stage sees of the data section: from the sources to clean, masked rows."""

    sources: list[SourceConfig] = Field(min_length=1, description="The files to read, in order.")
    licences: Annotated[LicencesConfig, NotFingerprinted()] = Field(
        LicencesConfig(), description="Which licences the sources may have."
    )
    text: str = Field("text", min_length=1, description="Name of the column with the text.")
    pair: str | None = Field(
        None,
        min_length=1,
        description="Name of the column with the text that belongs to data.text, such as the answer to a question. For "
        "embed it is pair unless another is named; for classify, tag and regress both texts are then asked about "
        "together, and empty means that the text stands alone.",
    )
    columns: ColumnsConfig | None = Field(
        None,
        description="Columns with numbers and categories that a model for classify, tag or regress is told beside the "
        "text; empty is none.",
    )
    label: str | None = Field(
        "label",
        description="Name of the column with the label, for tag the labels, for regress the number; not used for "
        "generate and embed.",
    )
    label_separator: str | None = Field(
        "|",
        min_length=1,
        description="What stands between the labels of one cell, for tag; a cell may also hold a list. Empty takes a "
        "cell as one label.",
    )
    unlabelled: Literal["drop", "keep"] = Field(
        "drop",
        description="Rows without a label: drop leaves them out; keep, for tag, learns that none of the labels fits.",
    )
    targets: Targets = Field(
        default_factory=dict,
        description="For multitask: what a text is to be answered with, each target by its name.",
    )
    language: Literal["auto", "zh", "en"] = Field("auto", description="Main language of the texts.")
    subject: str | None = Field(
        None,
        description="Name of the column that says whose data a row is (a customer number); it is stored as a keyed "
        "hash. All rows of one subject are on one side of the split.",
    )
    identity_key: Annotated[IdentityKeyConfig | None, ResourceMarker()] = Field(
        None, description="The secret under which subjects and conversations are hashed."
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
        None,
        ge=20,
        description="Use at most this many rows, chosen at random by the seed and by what they say, so that rows that "
        "are added change few of them; empty means all.",
    )
    max_bad_rows: int = Field(
        1_000, ge=0, description="Stop when more rows than this cannot be read (a broken line, a missing column)."
    )
    mask: MaskSection = Field(
        MaskConfig(),
        description="Personal data replaced before anything else sees the text; a list of kinds, or a section.",
    )
    keep_rejected_text: bool = Field(False, description="Keep the masked text of dropped rows in rejected/.")
    teacher: TeacherConfig | None = Field(
        None,
        description="A chat model behind an endpoint that answers the rows without an answer. For classify and "
        "generate.",
    )
    seed: int = Field(1, ge=0, description="Seed of the split and of any sampling.")

    @model_validator(mode="before")
    @classmethod
    def _key_for_ids(cls, value: Any) -> Any:
        """Whoever names a column of ids has a key; without one the fingerprint must not depend on the workspace."""
        if not isinstance(value, dict) or value.get("identity_key") is not None:
            return value
        named = any(value.get(column) is not None for column in ("subject", "conversation"))
        return value | {"identity_key": IdentityKeyConfig()} if named else value

    @model_validator(mode="after")
    def _licences_allowed(self) -> CleanConfig:
        allow = self.licences.allow
        if allow is None:
            return self
        wrong = [source for source in self.sources if refused(source.licence, allow)]
        if wrong:
            named = "; ".join(f"{source.named!r} has the licence {source.licence!r}" for source in wrong)
            raise ValueError(
                f"licences.allow is {listed(allow)}, but {named}. Name the source's licence, add it to "
                "licences.allow, or leave the source out"
            )
        return self

    @model_validator(mode="after")
    def _lengths_agree(self) -> CleanConfig:
        if self.min_characters > self.max_characters:
            raise ValueError(
                f"min_characters is {self.min_characters}, above max_characters, which is {self.max_characters}"
            )
        if self.speaker is not None and self.conversation is None:
            raise ValueError("speaker needs conversation: name the column that tells which turns belong together")
        return self

    def pair_of(self, task: str) -> str | None:
        """The column with the second text of a row of `task`; None where a text stands alone."""
        return self.pair or ("pair" if task == "embed" else None)


class LinksConfig(Config):
    """What the duplicates stage sees of the data section."""

    duplicates: NearConfig = Field(NearConfig(), description="Which texts count as nearly the same.")


class CorpusConfig(Config):
    """What the data stage sees of the data section: from clean rows to a split corpus.

    `normalise` and `mask` are there for benchmarks, which are cleaned as the rows were.
    """

    normalise: NormaliseConfig = Field(NormaliseConfig(), description="How each text is made even.")
    mask: MaskSection = Field(
        MaskConfig(),
        description="Personal data replaced before anything else sees the text; a list of kinds, or a section.",
    )
    keep_rejected_text: bool = Field(False, description="Keep the masked text of dropped rows in rejected/.")
    label: str | None = Field(
        "label",
        description="Name of the column with the label, for tag the labels, for regress the number; not used for "
        "generate and embed.",
    )
    labels: LabelsConfig = Field(LabelsConfig(), description="Spellings that are one class, and what people decided.")
    label_conflicts: Literal["drop", "majority", "keep"] = Field(
        "drop",
        description="What to do with equal texts that carry different labels. Of different numbers (task regress) "
        "their mean is kept, once, unless this is keep.",
    )
    duplicates: DuplicatesConfig = Field(DuplicatesConfig(), description="Which rows count as the same text.")
    time: str | None = Field(
        None, description="Name of the column with a row's date or time, for a split by time or to keep the newest."
    )
    split: SplitConfig = Field(SplitConfig(), description="How much is held back for testing.")
    contamination: list[ReferenceConfig] = Field(
        default_factory=list,
        description="Benchmark files of which no training row should hold a part; they are normalised and masked as "
        "the rows are, and the card says how much is in training.",
    )
    outliers: OutlierFilter | None = Field(
        None, description="Drop the training texts that are farthest from all others; validation and test keep theirs."
    )
    augment: AugmentConfig | None = Field(None, description="New training rows made from real ones.")
    mix: MixConfig | None = Field(None, description="What share of the training rows each source has.")
    extends: OptionalResource = Field(
        None,
        description="An earlier corpus whose rows keep their sides, and what is nearly equal to them with them: "
        "corpus://NAME for that of the last run of NAME, or the path of its sides.parquet. A new row that would join "
        "two sides is rejected.",
    )
    balance: BalanceConfig | None = Field(
        None, description="Repeat or leave out training rows so that classes are of more equal size. For classify."
    )
    seed: int = Field(1, ge=0, description="Seed of the split and of any sampling.")

    @model_validator(mode="after")
    def _something_is_left(self) -> CorpusConfig:
        if self.split.validation + self.split.test > 0.6:
            raise ValueError("split.validation and split.test together leave less than 40 % of the rows for training")
        if self.mix is not None and self.balance is not None and self.balance.method == "oversample":
            raise ValueError("mix and balance.method: oversample both repeat training rows; use one of them")
        if self.augment is not None and self.augment.generate is not None and self.augment.generate.endpoint is None:
            raise ValueError("augment.generate needs endpoint: name base_url and model of an OpenAI-compatible server")
        for needs, why in (
            (self.split.by == "time", "split.by: time"),
            (self.duplicates.keep == "newest", "duplicates.keep: newest"),
        ):
            if needs and self.time is None:
                raise ValueError(f"{why} needs data.time, the name of the column with the time")
        return self


class DataConfig(CorpusConfig, LinksConfig, CleanConfig):
    """From the files a team has to a clean, masked, deduplicated, split corpus.

    Three stages see a part of it each (see the base classes), so that a change to one part leaves the others' results
    as they are.
    """

    duplicates: DuplicatesConfig = Field(DuplicatesConfig(), description="Which rows count as the same text.")

    @model_validator(mode="after")
    def _columns_agree(self) -> DataConfig:
        if self.columns is None:
            return self
        if not self.duplicates.near:
            raise ValueError(
                "columns needs duplicates.near: true, which keeps equal texts with other columns on one side of the "
                "split"
            )
        used = {"text": self.text, "pair": self.pair, "label": self.label}
        names = [*self.columns.numeric, *self.columns.categorical]
        for key, column in used.items():
            if column is not None and column in names:
                raise ValueError(f"columns names {column!r}, which is data.{key}; a model must not be told it twice")
        return self

    @model_validator(mode="after")
    def _a_weight_for_each_source(self) -> DataConfig:
        weights = self.mix.weights if self.mix is not None else None
        if weights is not None and len(weights) != len(self.sources):
            raise ValueError(
                f"mix.weights is for {len(weights)} of {len(self.sources)} sources; give one number for each source, "
                "in their order"
            )
        return self


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
