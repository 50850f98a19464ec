"""The JSON that comes in and goes out, as pydantic models; the OpenAPI page is drawn from them.

A parameter that would change the answer and is not supported is refused, never ignored. `user` and `metadata`
change nothing and are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from danlu.core.asked import Question, question
from danlu.core.tasks import TASKS

_STRICT = ConfigDict(extra="forbid", strict=True)


def _whole_characters(text: str) -> str:
    """Refuse halves of surrogate pairs: JSON can carry them, but they are no characters."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("the text has half of a surrogate pair, which is no character")
    return text


#: A number, a word, or null: what of them a column takes is checked against the model.
Cell = float | str | None
Text = Annotated[str, AfterValidator(_whole_characters)]
_MODEL = "Name of the model, as /v1/models lists it; may be left out."


class PredictRequest(BaseModel):
    """One text, or several."""

    model_config = ConfigDict(
        **_STRICT,
        json_schema_extra={"examples": [{"text": "What a lovely day!"}, {"texts": ["Great.", "Never again."]}]},
    )

    text: Text | None = Field(None, description="One text.")
    texts: list[Text] | None = Field(None, description="Several texts; they are answered in order.", min_length=1)
    pair: Text | None = Field(None, description="The text that belongs to `text`, of a model that is asked two.")
    pairs: list[Text] | None = Field(None, description="The texts that belong to `texts`, in their order.")
    columns: dict[Text, Cell] | list[dict[Text, Cell]] | None = Field(
        None,
        description="Numbers and words beside the text, by name, of a model that is told them; one that is left out or "
        "null is missing. With `texts` a list of them, in their order.",
    )
    model: str | None = Field(None, description=_MODEL)

    @model_validator(mode="after")
    def _one_of_them(self) -> PredictRequest:
        if (self.text is None) == (self.texts is None):
            raise ValueError('give either "text" (one) or "texts" (several)')
        if self.texts is None and self.pairs is not None:
            raise ValueError('"pairs" goes with "texts"; beside "text" give "pair"')
        if self.texts is not None and self.pair is not None:
            raise ValueError('"pair" goes with "text"; beside "texts" give "pairs", one for each text')
        if self.columns is not None and isinstance(self.columns, list) != (self.texts is not None):
            raise ValueError('"columns" is one object beside "text", and a list of objects beside "texts"')
        for name, given in (("pairs", self.pairs), ("columns", self.columns)):
            if self.texts is not None and given is not None and len(given) != len(self.texts):
                raise ValueError(f'"texts" has {len(self.texts)} entries and "{name}" {len(given)}: one for each text')
        return self

    @property
    def asked(self) -> list[Question]:
        """What the model is asked, in order."""
        texts = [self.text or ""] if self.texts is None else self.texts
        pairs: Sequence[str | None] = self.pairs or [self.pair] * len(texts)
        columns = self.columns if isinstance(self.columns, list) else [self.columns] * len(texts)
        return [question(text, pair, cells) for text, pair, cells in zip(texts, pairs, columns, strict=True)]


class Prediction(BaseModel):
    """The label of one text, and how probable each label is."""

    label: str = Field(description="The most probable label.")
    probabilities: dict[str, float] = Field(description="Probability of each label; they sum to 1.")


class TagPrediction(BaseModel):
    """The labels of one text, of a model that may give it any number of them."""

    labels: list[str] = Field(description="Labels whose probability reaches their threshold, the most probable first.")
    probabilities: dict[str, float] = Field(description="Probability of each label, each by itself.")


class ValuePrediction(BaseModel):
    """The number of one text."""

    value: float = Field(description="The number, in the unit of the training data.")


class Candidate(BaseModel):
    """A token that may stand where a word is hidden."""

    token: str = Field(description="The token, as it is spelt.")
    probability: float = Field(description="How probable it is there.")


class FillPrediction(BaseModel):
    """A text with its hidden words filled in."""

    filled: str = Field(description="The text with the most probable tokens in its gaps.")
    masks: list[list[Candidate]] = Field(description="For each gap, in their order, the most probable tokens.")


class _About(BaseModel):
    """Which model answered `text`."""

    model: str = Field(description="Name of the model.")
    version: int = Field(description="Version of the model that answered.")


class PredictAnswer(Prediction, _About):
    """The answer to `text`, of a model for classify."""


class TagAnswer(TagPrediction, _About):
    """The answer to `text`, of a model for tag."""


class ValueAnswer(ValuePrediction, _About):
    """The answer to `text`, of a model for regress."""


class FillAnswer(FillPrediction, _About):
    """The answer to `text`, of a model for fill."""


class TargetsAnswer(_About):
    """The answer to `text`, of a model for multitask: beside these, each of its targets by its name."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "model": "shop",
                    "version": 1,
                    "mood": {"label": "good", "probabilities": {"bad": 0.1, "good": 0.9}},
                    "stars": {"value": 4.5},
                }
            ]
        },
    )

    __pydantic_extra__: dict[str, Prediction | TagPrediction | ValuePrediction]


class PredictAnswers(BaseModel):
    """The answer to `texts`."""

    model: str = Field(description="Name of the model.")
    version: int = Field(description="Version of the model that answered; the same for all texts of a request.")
    predictions: list[
        Prediction
        | TagPrediction
        | ValuePrediction
        | FillPrediction
        | dict[str, Prediction | TagPrediction | ValuePrediction]
    ] = Field(
        description="One prediction for each text, in the order they came; of a model for multitask each of its "
        "targets by its name."
    )


class StreamOptions(BaseModel):
    """What a stream carries beside text."""

    model_config = _STRICT

    include_usage: bool = Field(False, description="Count the tokens in a last event before [DONE].")


class GenerateRequest(BaseModel):
    """What both OpenAI forms share."""

    model_config = _STRICT

    model: str | None = Field(None, description=_MODEL)
    max_tokens: int | None = Field(None, ge=1, description="Most tokens to write; the server has a limit of its own.")
    temperature: float = Field(1.0, ge=0.0, le=2.0, description="0 always writes the most probable token.")
    top_p: float = Field(1.0, gt=0.0, le=1.0, description="Draw from the fewest tokens that reach this probability.")
    seed: int | None = Field(None, ge=0, description="The same seed writes the same text; empty draws one.")
    stop: Text | list[Text] | None = Field(None, description="End before any of these texts; at most 4.")
    stream: bool = Field(False, description="Send the text as it is written, as server-sent events.")
    stream_options: StreamOptions | None = Field(None, description="What a stream carries beside text.")
    n: Literal[1] = Field(1, description="How many texts; only 1 is supported.")
    presence_penalty: Literal[0] | None = Field(None, description="Not supported; only 0 is taken.")
    frequency_penalty: Literal[0] | None = Field(None, description="Not supported; only 0 is taken.")
    user: str | None = Field(None, description="Taken and not used.")
    metadata: dict[str, Any] | None = Field(None, description="Taken and not used.")

    @model_validator(mode="after")
    def _few_stops(self) -> GenerateRequest:
        if len(self.stops) > 4 or "" in self.stops:
            raise ValueError("stop takes at most 4 texts, none of them empty")
        return self

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])


class CompletionRequest(GenerateRequest):
    """A text to continue."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "今天天气", "max_tokens": 32, "stream": False}]}
    )

    prompt: Text = Field(description="The text to continue.", min_length=1)


class TextPart(BaseModel):
    """A part of a message; only text is supported."""

    model_config = _STRICT

    type: Literal["text"] = Field(description="Only text.")
    text: Text = Field(description="The text.")


class Message(BaseModel):
    """One turn of a chat."""

    model_config = _STRICT

    role: Literal["system", "developer", "user", "assistant"] = Field(description="Who says it.")
    content: Text | Annotated[list[TextPart], Field(min_length=1)] = Field(description="What is said.")
    name: str | None = Field(None, description="Taken and not used.")

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(GenerateRequest):
    """A chat to continue."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"messages": [{"role": "user", "content": "你好"}], "max_tokens": 32}]}
    )

    messages: list[Message] = Field(description="The chat so far, oldest first.", min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1, description="OpenAI's newer name of max_tokens.")


class Usage(BaseModel):
    """Counted tokens."""

    prompt_tokens: int = Field(description="Of the prompt, before a long one is cut.")
    completion_tokens: int = Field(description="Written by the model.")
    total_tokens: int = Field(description="Both.")


class CompletionChoice(BaseModel):
    """The text written."""

    index: int = 0
    text: str = Field(description="The continuation, without the prompt.")
    logprobs: None = None
    finish_reason: Literal["stop", "length"] = Field(description="length: max_tokens or the context was used up.")


class Completion(BaseModel):
    """The answer of /v1/completions."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int = Field(description="When, in seconds since 1970.")
    model: str
    choices: list[CompletionChoice]
    usage: Usage


class ChatMessage(BaseModel):
    """What the model says."""

    role: Literal["assistant"] = "assistant"
    content: str


class ChatChoice(BaseModel):
    """The turn written."""

    index: int = 0
    message: ChatMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length"] = Field(description="length: max_tokens or the context was used up.")


class Chat(BaseModel):
    """The answer of /v1/chat/completions."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="When, in seconds since 1970.")
    model: str
    choices: list[ChatChoice]
    usage: Usage


class ModelCard(BaseModel):
    """The model that answers, in OpenAI's form with a little more."""

    id: str = Field(description="Name of the model.")
    object: Literal["model"] = "model"
    created: int = Field(description="When it was released, in seconds since 1970.")
    owned_by: str = "danlu"
    version: int = Field(description="Its version in the registry.")
    task: str = Field(description=f"What it is for: {', '.join(TASKS)}.")
    form: str = Field(description="The exported form that answers.")
    labels: list[str] | None = Field(description="Labels it may answer with.")
    takes: dict[str, Any] | None = Field(
        None,
        description="What is asked beside a text: whether a `pair`, and the names of `numeric` and `categorical` "
        "columns; null for a text alone.",
    )


class ModelList(BaseModel):
    """The answer of /v1/models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(BaseModel):
    """Every error, in OpenAI's form."""

    error: ErrorDetail


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """A model answers."""

    status: Literal["ready"] = "ready"
    model: str
    version: int
    problem: str | None = Field(description="Says that a newer version cannot be loaded; null when all is well.")
