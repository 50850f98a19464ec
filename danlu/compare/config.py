"""What may be asked of a comparison. Comparing is no stage: it reads a run and releases and writes no artifact."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from danlu.core.config import Config

#: Where the key of an endpoint comes from unless another variable is named.
DEFAULT_KEY = "OPENAI_API_KEY"

#: The key of a mapping by model that holds for every model that is not named.
ANY = ""


class PriceConfig(Config):
    """What an endpoint takes."""

    prompt: float = Field(ge=0.0, description="USD for a million tokens that it reads.")
    completion: float = Field(ge=0.0, description="USD for a million tokens that it writes.")


class EndpointsConfig(Config):
    """How endpoints are asked. Mappings are by the endpoint's model; the empty name holds for all others."""

    prices: dict[str, PriceConfig] = Field(
        default_factory=dict, description="Prices by model; without one the cost is not told."
    )
    key_env: dict[str, str] = Field(
        default_factory=dict,
        description=f"Environment variable that holds the key, by model. Where none is named, {DEFAULT_KEY} is sent to "
        "api.openai.com and to this machine, and to no other host.",
    )
    prompt: str | None = Field(
        None, description="What to ask instead of Danlu's own words; {text} and {labels} are replaced."
    )
    max_usd: float | None = Field(
        None, gt=0.0, description="Most money that this command may spend at each endpoint, in USD, by its price."
    )
    max_tokens: int = Field(512, ge=1, description="Longest answer, in tokens, with what a model thinks before it.")
    temperature: float | None = Field(
        0.0, ge=0.0, le=2.0, description="0 takes the likeliest answer; empty leaves it to the endpoint."
    )
    timeout: float = Field(120.0, gt=0.0, description="Seconds to wait for an answer.")
    retries: int = Field(5, ge=0, le=20, description="New tries after a refusal that may pass, or a broken connection.")
    concurrency: int = Field(4, ge=1, le=64, description="Requests at a time; more of them may slow each one.")

    @field_validator("prompt")
    @classmethod
    def _has_text(cls, value: str | None) -> str | None:
        if value is not None and "{text}" not in value:
            raise ValueError("the prompt lacks {text}, where the row's text goes")
        return value

    @model_validator(mode="after")
    def _money_has_a_price(self) -> EndpointsConfig:
        if self.max_usd is not None and not self.prices:
            raise ValueError("max_usd caps what tokens cost, but no price was given; give it with --price")
        return self


class CompareConfig(Config):
    """How models are compared."""

    part: Literal["test", "validation"] = Field("test", description="Part of the run's corpus that is asked about.")
    rows: int | None = Field(None, ge=2, description="Ask about at most this many rows, drawn at random.")
    keep_seen: bool = Field(
        False, description="Keep rows that one of the models was trained on; otherwise nobody is asked about them."
    )
    predicted: str | None = Field(
        None, description="Column with the answers in files of predictions; found by its name where empty."
    )
    requests: int = Field(200, ge=20, description="Single requests timed for the latency of a release.")
    machine_price: float | None = Field(
        None, ge=0.0, description="What this machine costs an hour, in USD; empty counts electricity alone."
    )
    resamples: int = Field(1_000, ge=100, description="Bootstrap resamples behind every interval.")
    seed: int = Field(1, ge=0, description="Seed of the bootstrap and of the rows drawn.")
    endpoints: EndpointsConfig = Field(EndpointsConfig(), description="How endpoints are asked.")
