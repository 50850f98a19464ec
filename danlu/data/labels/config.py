"""What may be asked of labels: spellings that are one class, and what people decided."""

from __future__ import annotations

from functools import cached_property

from pydantic import Field, field_validator

from danlu.core.config import Config, OptionalResource


class LabelsConfig(Config):
    """How labels are mended before a row is kept."""

    merge: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Spellings that are one class, by the name it keeps: {spam: [Spam, SPAM, junk mail]}. White space "
        "around a label never counts; case does.",
    )
    decisions: OptionalResource = Field(
        None,
        description="The labels.csv that `danlu label import` writes: what people decided, by content of the text. "
        "It overrides the labels of the sources.",
    )

    @field_validator("merge")
    @classmethod
    def _one_name_each(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        cleaned = {name.strip(): [spelling.strip() for spelling in spellings] for name, spellings in value.items()}
        if len(cleaned) < len(value):
            raise ValueError("two names in merge are equal but for white space; make them one")
        known: dict[str, str] = {}
        for name, spellings in cleaned.items():
            for spelling in (name, *spellings):
                if not spelling:
                    raise ValueError(f"an empty spelling stands under {name!r}; a row without a label has no class")
                if known.setdefault(spelling, name) != name:
                    raise ValueError(
                        f"{spelling!r} stands under {known[spelling]!r} and under {name!r}; a spelling has one class"
                    )
        return cleaned

    @cached_property
    def class_of(self) -> dict[str, str]:
        """The class of each spelling that is to be changed."""
        return {spelling: name for name, spellings in self.merge.items() for spelling in spellings}


def merged(label: str, config: LabelsConfig) -> str:
    """The class that a label stands for: `merge`'s name for that spelling, else the label without outer white space."""
    stripped = label.strip()
    return config.class_of.get(stripped, stripped)
