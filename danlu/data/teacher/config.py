"""What may be asked of a teacher: a chat model that answers the rows that have no answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from danlu.core.config import Config, NotFingerprinted
from danlu.data.augment.config import EndpointConfig

#: What may stand around a label in an answer.
_AROUND = " \t\r\n\"'“”「」『』`*.。:：,，!！"


def bare(said: str) -> str:
    """A label, or an answer that names one, as both are compared: without quotes, stops and case."""
    return said.strip(_AROUND).casefold()


class TeacherPrice(Config):
    """What the endpoint asks for a million tokens."""

    prompt: float = Field(ge=0.0, description="USD for a million tokens of what is asked.")
    completion: float = Field(ge=0.0, description="USD for a million tokens of what is answered.")


class TeacherEndpoint(EndpointConfig):
    """Where the teacher is asked."""

    temperature: float = Field(0.0, ge=0.0, le=2.0, description="How freely the teacher answers; 0 is its best guess.")


class TeacherConfig(Config):
    """A chat model behind an OpenAI-compatible endpoint answers the rows that have no answer, for a student to learn.

    For classify rows without a label get one of `labels`; for generate a plain text is a question, and becomes a
    conversation with the teacher's answer. What is asked was masked before.
    """

    endpoint: TeacherEndpoint = Field(description="Where to ask.")
    labels: list[str] = Field(
        default_factory=list, description="For classify: the labels that the teacher may give, two or more."
    )
    prompt: str | None = Field(
        None,
        description="What to ask. {text} is replaced by the row's, {labels} by the labels; empty asks for one of the "
        "labels, or the text itself.",
    )
    price: TeacherPrice | None = Field(None, description="What the endpoint costs; without it no money is told.")
    max_usd: Annotated[float | None, NotFingerprinted()] = Field(
        None, gt=0.0, description="Most money that one run may spend on answers, in USD, by the price."
    )
    send_unmasked: bool = Field(
        False, description="Send texts in which personal data is found unmasked. Otherwise that stops the run."
    )
    licence: str | None = Field(
        None,
        description="Under which terms the teacher's answers may train another model, as an SPDX identifier or in "
        "words; it goes into the card. Many providers forbid it.",
    )

    @model_validator(mode="after")
    def _can_be_asked(self) -> TeacherConfig:
        if self.max_usd is not None and self.price is None:
            raise ValueError("max_usd caps what tokens cost, but no price was given")
        if self.prompt is not None and "{text}" not in self.prompt:
            raise ValueError("prompt lacks {text}, where the row's text goes")
        names = {bare(label) for label in self.labels}
        if len(self.labels) == 1 or len(names) < len(self.labels) or "" in names:
            raise ValueError(
                f"labels are {self.labels}; expected two or more, all different also without quotes, stops, stars and "
                "exclamation marks around them, for an answer may have or lack these"
            )
        return self
