"""What may be asked of the data stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from danlu.core.config import Config, Resource
from danlu.core.tasks import TaskName
from danlu.data.mask.config import MaskConfig, MaskSection

Format = Literal["auto", "csv", "tsv", "excel", "jsonl", "json", "parquet", "text"]


class SourceConfig(Config):
    """One place the data comes from."""

    path: Resource = Field(description="File to read: a path beside the recipe, or package://NAME/path.")
    format: Format = Field("auto", description="File format; auto goes by the ending and then by the content.")
    encoding: str = Field("auto", description="Text encoding, such as utf-8 or gb18030; auto detects it.")
    sheet: str | None = Field(None, description="Excel sheet to read; empty means the first.")
    label: str | None = Field(
        None, description="One label for every row of this source, where the file itself has no label column."
    )
    licence: str = Field("unknown", description="Licence of the data, as an SPDX identifier where there is one.")


class DuplicatesConfig(Config):
    """Which rows count as the same text."""

    near: bool = Field(True, description="Also find near duplicates (MinHash), not only equal texts.")
    threshold: float = Field(
        0.8, gt=0.0, lt=1.0, description="Jaccard similarity of shingles from which two texts are near duplicates."
    )
    drop_near: bool = Field(
        False,
        description="Drop near duplicates instead of only keeping them on one side of the split. Equal texts are "
        "always dropped.",
    )


class SplitConfig(Config):
    """How much is held back. Duplicates never straddle two parts."""

    validation: float = Field(0.1, gt=0.0, lt=0.5, description="Share of rows for choosing the best checkpoint.")
    test: float = Field(0.1, gt=0.0, lt=0.5, description="Share of rows for the final evidence.")


class DataConfig(Config):
    """From the files a team has to a clean, masked, deduplicated, split corpus."""

    sources: list[SourceConfig] = Field(min_length=1, description="The files to read, in order.")
    text: str = Field("text", min_length=1, description="Name of the column with the text.")
    label: str | None = Field("label", description="Name of the column with the label; not used for generate.")
    language: Literal["auto", "zh", "en"] = Field("auto", description="Main language of the texts.")
    min_characters: int = Field(2, ge=1, description="Drop texts shorter than this many characters.")
    max_characters: int = Field(20_000, ge=1, description="Drop texts longer than this many characters.")
    max_rows: int | None = Field(
        None, ge=20, description="Use at most this many rows, chosen at random by the seed; empty means all."
    )
    max_bad_rows: int = Field(
        1_000, ge=0, description="Stop when more rows than this cannot be read (a broken line, a missing column)."
    )
    mask: MaskSection = Field(
        MaskConfig(),
        description="Personal data replaced before anything else sees the text; a list of kinds, or a section.",
    )
    keep_rejected_text: bool = Field(False, description="Keep the masked text of dropped rows in rejected/.")
    label_conflicts: Literal["drop", "majority", "keep"] = Field(
        "drop", description="What to do with equal texts that carry different labels."
    )
    duplicates: DuplicatesConfig = Field(DuplicatesConfig(), description="Which rows count as the same text.")
    split: SplitConfig = Field(SplitConfig(), description="How much is held back for testing.")
    seed: int = Field(1, ge=0, description="Seed of the split and of any sampling.")

    @model_validator(mode="after")
    def _lengths_agree(self) -> DataConfig:
        if self.min_characters > self.max_characters:
            raise ValueError(
                f"min_characters is {self.min_characters}, above max_characters, which is {self.max_characters}"
            )
        if self.split.validation + self.split.test > 0.6:
            raise ValueError("split.validation and split.test together leave less than 40 % of the rows for training")
        return self


class DataStage(Config):
    """The recipe's sections that the data stage is given."""

    task: TaskName = Field(description="What the model is for.")
    data: DataConfig = Field(description="The recipe's data section.")
