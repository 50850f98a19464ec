"""How training rows are multiplied."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from danlu.core.config import Config, NotFingerprinted, OptionalResource
from danlu.core.urls import endpoint_address

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class _Operation(Config):
    weight: float = Field(1.0, gt=0.0, description="How often this operation is chosen, beside the others' weights.")


class CharacterNoise(_Operation):
    """Slips of the finger: a neighbouring key, a letter left out, doubled, or two letters swapped."""

    kind: Literal["character_noise"] = Field("character_noise", description="Which operation.")
    share: Share = Field(0.05, description="Share of letters and Han characters that slip; at least one does.")
    slips: list[Literal["neighbour", "drop", "duplicate", "swap"]] = Field(
        ["neighbour", "drop", "duplicate", "swap"],
        min_length=1,
        description="Kinds of slips; neighbour (QWERTY) only for Latin letters.",
    )


class Homophone(_Operation):
    """Han characters become others of the same sound, as pinyin input slips."""

    kind: Literal["homophone"] = Field("homophone", description="Which operation.")
    share: Share = Field(0.1, description="Share of Han characters replaced; at least one is.")
    same_tone: bool = Field(True, description="Only characters of the same tone.")


class LookAlike(_Operation):
    """Han characters become others that look alike, as handwriting and OCR slip."""

    kind: Literal["look_alike"] = Field("look_alike", description="Which operation.")
    share: Share = Field(0.1, description="Share of Han characters replaced, as far as they have one; at least one is.")


class Synonym(_Operation):
    """Words become synonyms from the file or the neighbours that were given."""

    kind: Literal["synonym"] = Field("synonym", description="Which operation.")
    share: Share = Field(0.1, description="Share of words replaced, as far as they have a synonym; at least one is.")


class WordDrop(_Operation):
    """Words go missing."""

    kind: Literal["word_drop"] = Field("word_drop", description="Which operation.")
    share: Share = Field(0.1, description="Chance of each word to go; one always stays.")


class WordSwap(_Operation):
    """Neighbouring words change places."""

    kind: Literal["word_swap"] = Field("word_swap", description="Which operation.")
    share: Share = Field(0.1, description="Swaps for each word of the text; at least one.")


class EasyDataAugmentation(_Operation):
    """EDA: one of synonym replacement, random insertion, swap or deletion (Wei and Zou 2019, arXiv:1901.11196).

    The paper advises alpha 0.05 with 16 copies up to 500 rows, 0.05 with 8 up to 2,000, 0.1 with 4 above.
    """

    kind: Literal["eda"] = Field("eda", description="Which operation.")
    alpha: Share = Field(0.1, description="Share of words changed; the chance of each word to be deleted.")


Operation = Annotated[
    CharacterNoise | Homophone | LookAlike | Synonym | WordDrop | WordSwap | EasyDataAugmentation,
    Field(discriminator="kind"),
]


class Selection(Config):
    """Which training rows get children, and how many."""

    copies: int = Field(1, ge=1, le=64, description="New rows for each chosen one, where as many different come out.")
    share: Share = Field(1.0, description="Share of the rows that are chosen, by a hash of their ids.")
    labels: list[str] = Field(default_factory=list, description="Only rows with these labels; empty means all.")
    fewer_than: int | None = Field(
        None, ge=1, description="Only labels with fewer training rows than this; empty means all."
    )


class EndpointConfig(Config):
    """An OpenAI-compatible endpoint (POST BASE/chat/completions)."""

    base_url: str = Field(description="Address up to and without /chat/completions, such as http://localhost:8000/v1.")
    model: str = Field(min_length=1, description="Name of the model, as the endpoint knows it.")
    api_key_env: str | None = Field(
        None, description="Environment variable that holds the key; empty where none is needed. Never the key itself."
    )
    temperature: float = Field(0.9, ge=0.0, le=2.0, description="How freely the model writes.")
    max_tokens: int = Field(512, ge=1, description="Longest answer, in tokens; a longer one is cut and not used.")
    timeout: Annotated[float, NotFingerprinted()] = Field(120.0, gt=0.0, description="Seconds to wait for an answer.")
    retries: Annotated[int, NotFingerprinted()] = Field(
        5, ge=0, le=20, description="New tries after a refusal that may pass (429, 5xx) or a broken connection."
    )
    concurrency: Annotated[int, NotFingerprinted()] = Field(4, ge=1, le=256, description="Requests at a time.")

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        return endpoint_address(value)


class GenerateConfig(Selection):
    """A language model writes new rows after the model of real ones, best for rare labels."""

    prompt: str = Field(
        "Rewrite the text below in other words, in the same language, with the same meaning and the same mood "
        "({label}). Answer with the new text only.\n\n{text}",
        description="What to ask. {text} and {label} are replaced by the row's.",
    )
    endpoint: EndpointConfig | None = Field(
        None, description="Where to ask; empty where the caller brings an engine of its own."
    )
    send_unmasked: bool = Field(
        False, description="Send texts in which personal data is found unmasked. Otherwise that stops the run."
    )

    @field_validator("prompt")
    @classmethod
    def _has_text(cls, value: str) -> str:
        if "{text}" not in value:
            raise ValueError("prompt lacks {text}, where the row's text goes")
        return value


class AugmentConfig(Selection):
    """New rows made from training rows. Each carries its parent's id and stays on its parent's side."""

    operations: list[Operation] = Field(
        default_factory=list, description="What may be done to a text; one is chosen for each copy, by weight."
    )
    synonyms: OptionalResource = Field(
        None, description="Text file in UTF-8 with a word, a tab and its synonyms with commas between, a line each."
    )
    generate: GenerateConfig | None = Field(None, description="Also let a language model write rows.")

    @model_validator(mode="after")
    def _does_something(self) -> AugmentConfig:
        if not self.operations and self.generate is None:
            raise ValueError("augment names neither operations nor generate, so it would do nothing; give one of them")
        return self
