"""What may be asked of the release stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from danlu.core.config import Config, NotFingerprinted
from danlu.core.tasks import TaskName


def _gate(text: str) -> str:
    """`text`, once it can be read; each gate for itself, so that all mistakes are told at once with their lines."""
    from danlu.release.gates import parse

    parse(text)
    return text


class ReleaseConfig(Config):
    """What must be true before the model may go live."""

    gates: list[Annotated[str, AfterValidator(_gate)]] | None = Field(
        None,
        description="Expressions over the evidence, such as 'macro_f1 >= 0.70' or 'beats(baseline)'; empty means the "
        "defaults of the task.",
    )
    promote: Annotated[Literal["first", "always", "never"], NotFingerprinted()] = Field(
        "first",
        description="When a release that passes becomes the champion: first (only if there is none), always, never.",
    )
    summary: str = Field("", description="What the model is for, in a sentence or two, for the model card.")


class ReleaseStage(Config):
    """The recipe's sections that the release stage is given."""

    name: str = Field(description="Name of the model.")
    task: TaskName = Field(description="What the model is for.")
    release: ReleaseConfig = Field(description="The recipe's release section.")
