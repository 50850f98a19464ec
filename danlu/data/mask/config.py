"""What may be asked of the masking of personal data."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from danlu.core.config import Config, NotFingerprinted, Resource

Kind = Literal[
    "address",
    "bank_card",
    "china_id",
    "credit_code",
    "email",
    "hong_kong_id",
    "iban",
    "ip",
    "macau_id",
    "passport",
    "person",
    "phone",
    "plate",
    "qq",
    "secret",
    "taiwan_id",
    "travel_permit",
    "url_credentials",
    "wechat",
]
Mode = Literal["token", "pseudonym", "drop"]
Checksum = Literal["none", "luhn", "mod11_2", "mod97", "verhoeff"]

#: What is masked unless the recipe says otherwise: values with a checksum or a form of their own, and addresses.
#: Names are left out: benchmarks/mask-2026-11-25.md says how often rules alone are wrong about them.
DEFAULT_KINDS: tuple[Kind, ...] = (
    "address",
    "bank_card",
    "china_id",
    "credit_code",
    "email",
    "hong_kong_id",
    "iban",
    "ip",
    "macau_id",
    "passport",
    "phone",
    "plate",
    "qq",
    "secret",
    "taiwan_id",
    "travel_permit",
    "url_credentials",
    "wechat",
)

_NAME = r"^[a-z][a-z0-9_]{0,39}$"


class PatternConfig(Config):
    """One kind of value of the user's own: a policy number, an order number."""

    name: str = Field(pattern=_NAME, description="Name of the kind; policy_number becomes [POLICY_NUMBER].")
    regex: str = Field(
        min_length=1,
        description="Regular expression (Python's re) of the value. Where it has a group called value, only that "
        "group is masked and checked. Digits and letters of full width are matched as plain ones.",
    )
    checksum: Checksum = Field(
        "none",
        description="Check that a match must pass, without its separators: luhn (ISO/IEC "
        "7812-1) and verhoeff over the digits alone, mod11_2 and mod97 (ISO 7064) over letters too, or none.",
    )

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            compiled = re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression: {error}") from None
        if compiled.search("") is not None:
            raise ValueError(f"{value!r} matches an empty text; it must need at least one character")
        return value


class PresidioConfig(Config):
    """Microsoft Presidio's analyzer, run in process; needs the library `presidio-analyzer` and a spaCy model."""

    finder: Literal["presidio"] = Field(description="Always presidio.")
    model: str = Field("en_core_web_sm", description="Name of the installed spaCy model that Presidio uses.")
    language: str = Field("en", description="Language code of that model, such as en or zh.")
    labels: dict[str, str] = Field(
        default_factory=lambda: {"PERSON": "person", "LOCATION": "address"},
        description="Which of Presidio's entity types to look for, and the kind that each becomes.",
    )
    threshold: float = Field(0.5, ge=0.0, le=1.0, description="Lowest score from which a finding counts, 0 to 1.")


class TransformersConfig(Config):
    """A token classification model (NER) in the form of Hugging Face transformers, run in process."""

    finder: Literal["transformers"] = Field(description="Always transformers.")
    model: Resource = Field(
        description="Folder of the model, or hf://OWNER/NAME, as AutoModelForTokenClassification loads it."
    )
    labels: dict[str, str] = Field(
        default_factory=lambda: {"PER": "person"},
        description="Which of the model's labels (without B- and I-) to use, and the kind that each becomes.",
    )
    threshold: float = Field(
        0.5, ge=0.0, le=1.0, description="Lowest mean probability of an entity's tokens from which it counts, 0 to 1."
    )
    max_tokens: int = Field(512, ge=8, description="Longest piece the model reads at once, in tokens.")


FinderConfig = Annotated[PresidioConfig | TransformersConfig, Field(discriminator="finder")]


class MaskConfig(Config):
    """Which personal data is replaced, and by what. A plain list stands for `kinds`; an empty one masks nothing."""

    kinds: list[Kind] = Field(
        default_factory=lambda: list(DEFAULT_KINDS),
        description="Kinds of personal data to look for, by Danlu's own rules for Chinese and English.",
    )
    mode: Mode = Field(
        "token",
        description="What becomes of a value: token ([PHONE]), pseudonym ([PHONE_5d41402abc4b], the same for the same "
        "value wherever it stands; needs a key), or drop (the whole row goes).",
    )
    modes: dict[str, Mode] = Field(
        default_factory=dict, description="Other modes by kind, such as person: pseudonym and china_id: drop."
    )
    key_env: str | None = Field(
        None, min_length=1, description="Environment variable with the secret key of pseudonyms, at least 16 bytes."
    )
    key_file: Annotated[str | None, NotFingerprinted()] = Field(
        None, min_length=1, description="File with the secret key of pseudonyms, at least 16 bytes; not copied."
    )
    patterns: list[PatternConfig] = Field(default_factory=list, description="Kinds of your own, such as order numbers.")
    finders: list[FinderConfig] = Field(
        default_factory=list, description="Models that also look for values; slower than rules by far."
    )
    near_misses: Literal["mask", "keep"] = Field(
        "mask",
        description="What becomes of what is called an identity or card number but fails its checksum: mask it or "
        "keep it. It is listed for a person either way.",
    )
    allow: list[str] = Field(
        default_factory=list, description="Values that stay as they are, such as your own hotline; compared whole."
    )

    @model_validator(mode="before")
    @classmethod
    def _list_of_kinds(cls, value: Any) -> Any:
        return {"kinds": value} if isinstance(value, list) else value

    @field_validator("kinds")
    @classmethod
    def _kinds_once(cls, value: list[Kind]) -> list[Kind]:
        return sorted(set(value))

    @model_validator(mode="after")
    def _agrees(self) -> MaskConfig:
        own = [pattern.name for pattern in self.patterns]
        taken = sorted({name for name in own if own.count(name) > 1 or name in Kind.__args__})  # type: ignore[attr-defined]
        if taken:
            raise ValueError(f"patterns: the name {taken[0]!r} is taken; give each kind a name of its own")
        unknown = sorted(set(self.modes) - set(self.names))
        if unknown:
            raise ValueError(
                f"modes: {unknown[0]!r} is not looked for; there are {', '.join(self.names) or 'no kinds'}"
            )
        if self.key_env and self.key_file:
            raise ValueError("key_env and key_file are both given; one key is enough")
        if self.needs_key and not (self.key_env or self.key_file):
            raise ValueError(
                "pseudonyms need a secret key: name the environment variable or the file that holds it in key_env or "
                "key_file"
            )
        return self

    @property
    def names(self) -> list[str]:
        """Every kind that may be found, sorted: Danlu's own, those of patterns and those of finders."""
        found = {*self.kinds, *(pattern.name for pattern in self.patterns)}
        return sorted(found.union(*(finder.labels.values() for finder in self.finders)))

    @property
    def needs_key(self) -> bool:
        """Whether some kind becomes a pseudonym."""
        return any(self.mode_of(name) == "pseudonym" for name in self.names)

    def secret_mark(self) -> str | None:
        """Eight digits of the key of pseudonyms; a key that is not there is missed when the texts are masked."""
        from danlu.core.errors import UserError
        from danlu.data.mask.pseudonyms import key_mark, read_key

        try:
            key = read_key(self)
        except UserError:
            return None
        return None if key is None else key_mark(key)

    def mode_of(self, kind: str) -> Mode:
        """What becomes of values of a kind."""
        return self.modes.get(kind, self.mode)


class _OrKinds:
    """Lets the schema of a section say that a list of kinds may stand for it."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        section = handler(schema)
        kinds = handler.resolve_ref_schema(section)["properties"]["kinds"]
        return {"anyOf": [section, {"type": "array", "items": kinds["items"]}]}


#: The type of the field `mask` of a recipe.
MaskSection = Annotated[MaskConfig, _OrKinds()]
