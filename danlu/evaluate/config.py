"""What may be asked of the evaluate and speed stages."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from danlu.core.config import ComposedResource, Config, ResourceMarker
from danlu.core.tasks import TaskName


def _slice(text: str) -> str:
    """`text`, once it can be read; each slice for itself, so that all mistakes are told at once with their lines."""
    from danlu.evaluate.query import parse

    parse(text)
    return text


class CostsConfig(Config):
    """What answers cost, in any unit, to find out when a person should be asked."""

    mistake: float = Field(gt=0.0, description="What a wrong answer costs.")
    person: float = Field(gt=0.0, description="What it costs that a person answers a text instead of the model.")
    mistakes: dict[str, dict[str, Annotated[float, Field(ge=0.0)]]] = Field(
        default_factory=dict,
        description="Mistakes that cost more or less than others: true label, answer, cost, such as "
        "{complaint: {praise: 20}}.",
    )


class EvaluateConfig(Config):
    """How the evidence is gathered."""

    resamples: int = Field(1_000, ge=100, description="Bootstrap resamples behind every interval.")
    baseline: bool = Field(True, description="Score the cheap baseline on the same rows, for comparison.")
    worst_rows: int = Field(20, ge=0, description="How many of the most confidently wrong texts to show.")
    max_rows: int | None = Field(None, ge=20, description="Score at most this many test rows; empty means all.")
    seed: int = Field(1, ge=0, description="Seed of the bootstrap.")
    slices: list[Annotated[str, AfterValidator(_slice)]] = Field(
        default_factory=list,
        description="Parts of the test rows that a classifier is scored on by themselves, such as 'length > 200' or "
        "'source == \"app\" and digits == 0'. Columns: length (characters), digits, text, label, source, origin, "
        "licence, consent, subject, conversation, time.",
    )
    slice_rows: int = Field(30, ge=5, description="Test rows that a slice must have before anything is said of it.")
    worst_slices: int = Field(
        5,
        ge=0,
        description="How many of the worst slices that a search finds to show, by length, digits, source, licence and "
        "consent and two of them together; corrected for how many it tried. 0 searches none.",
    )
    costs: CostsConfig | None = Field(
        None,
        description="What a classifier's mistakes and a person cost: then the confidence from which on it should "
        "answer is chosen on validation rows, and what that saves is measured on test rows. Empty is none.",
    )


class SpeedConfig(Config):
    """How speed is measured."""

    requests: int = Field(200, ge=20, description="Single requests timed for latency.")
    warmup: int = Field(10, ge=0, description="Requests made before timing starts.")


class EvaluateStage(Config):
    """The recipe's sections that the evaluate stage is given."""

    task: TaskName = Field(description="What the model is for.")
    evaluate: EvaluateConfig = Field(description="The recipe's evaluate section.")


class ChampionConfig(ComposedResource):
    """A comparison with the version that is live. What it holds, and so its fingerprint, is which versions were."""

    resolver: ClassVar[str] = "danlu.release.champion:locate"

    name: str = Field("", description="Name of the model whose champion is compared with; empty is the recipe's own.")


class ChampionStage(Config):
    """The recipe's sections that the champion stage is given."""

    task: TaskName = Field(description="What the model is for.")
    evaluate: EvaluateConfig = Field(description="The recipe's evaluate section.")
    champion: Annotated[ChampionConfig, ResourceMarker()] = Field(description="The recipe's champion section.")


class SpeedStage(Config):
    """The recipe's sections that the speed stage is given."""

    task: TaskName = Field(description="What the model is for.")
    speed: SpeedConfig = Field(description="The recipe's speed section.")
