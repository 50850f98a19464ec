"""How a model answers: the one interface behind which every library hides.

An engine loads a *form*, a folder with `form.json`, the weights, and `tokenizer.json`. What is evaluated and what
is served goes through the same engine and the same form, so that the model that was tested is the one that answers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from danlu.core.asked import TEXT_ALONE, Question, Takes, read_takes
from danlu.core.errors import ModelError
from danlu.core.heads import Head, columns
from danlu.core.tasks import TASKS, TaskName
from danlu.learning.scale import Scale

if TYPE_CHECKING:
    from danlu.engines.filling import Filled, HiddenScore

FORM = "form.json"


@dataclass(frozen=True, kw_only=True)
class FormHead(Head):
    """One target of several in a form: what `Form` says of a model that has it alone."""

    thresholds: tuple[float, ...] | None = None
    scale: Scale | None = None
    temperature: float = 1.0

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of a form that are this target's own."""
        return {
            "labels": self.labels or None,
            "thresholds": self.thresholds,
            "scale": self.scale,
            "temperature": self.temperature,
        }


def read_heads(values: Sequence[Mapping[str, Any]]) -> tuple[FormHead, ...]:
    """The heads that `FormHead.as_json` wrote, or a checkpoint's; raises `KeyError`, `TypeError` or `ValueError`."""
    return tuple(
        FormHead(
            name=str(value["name"]),
            task=value["task"],
            labels=tuple(value["labels"]),
            thresholds=_numbers(value.get("thresholds")),
            scale=_scale(value.get("scale")),
            temperature=float(value.get("temperature", 1.0)),
        )
        for value in values
    )


def _numbers(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return tuple(map(float, values)) if values is not None else None


def _scale(value: Mapping[str, Any] | None) -> Scale | None:
    return Scale(mean=float(value["mean"]), std=float(value["std"])) if value is not None else None


@dataclass(frozen=True, kw_only=True)
class Form:
    """What `form.json` says about one exported form of a model.

    `name`: the form's name, `form` in the file. `engine`: which engine loads it. `labels`: names in the order of the
    probabilities; None for tasks whose answers are none. `thresholds`: for tag, the probability from which each label
    holds. `scale`: for regress, the unit of its answers. `max_length`: longest input in tokens, 0 where texts are read
    whole; for generate the whole context, prompt and answer together. `batch_invariant`: whether the answer to one text
    is the same (to 1e-5) whatever else is in its batch. `precision`: of the weights. `bytes`: size of the form's files
    on disk. `end_ids`: tokens that end a generated text. `pooling`: how the vectors of a text's tokens become its own
    (embed), which has length 1 and `dimensions` numbers; None for other tasks. `temperature`: what the logits of a
    classifier are divided by before they become probabilities (`danlu.engines.sampling.at_temperature`).
    `takes`: what a question to it holds beside a text.
    `heads`: for multitask, the targets in the order of the outputs, whose names `labels` then are.
    """

    name: str
    engine: str
    task: TaskName
    labels: tuple[str, ...] | None
    max_length: int
    batch_invariant: bool
    precision: str
    bytes: int
    end_ids: tuple[int, ...] = ()
    thresholds: tuple[float, ...] | None = None
    scale: Scale | None = None
    pooling: str | None = None
    dimensions: int | None = None
    temperature: float = 1.0
    heads: tuple[FormHead, ...] = ()
    takes: Takes = TEXT_ALONE

    @property
    def parts(self) -> list[tuple[str, slice, Form]]:
        """Each target by its name: its columns of what `predict` gives, and the form as a model of that target alone.

        A form with one answer is its own only part, without a name.
        """
        if not self.heads:
            return [("", slice(0, self.answers), self)]
        return [
            (head.name, here, replace(self, task=head.task, heads=(), **head.facts))
            for head, here in zip(self.heads, columns(self.heads), strict=True)
        ]

    @property
    def answers(self) -> int:
        """How many numbers `predict` gives for a text: one for each label; one for regress."""
        return 1 if self.labels is None else len(self.labels)

    def as_json(self) -> dict[str, Any]:
        """The content of `form.json`."""
        values = asdict(self)
        values["form"] = values.pop("name")
        values["labels"] = list(self.labels) if self.labels is not None else None
        values["end_ids"] = list(self.end_ids)
        values["heads"] = [head.as_json() for head in self.heads]
        for name in ("thresholds", "scale", "heads"):
            if not values[name]:
                del values[name]
        values["takes"] = self.takes.as_json()
        if self.takes.text_alone:
            del values["takes"]
        return values


def read_form(folder: Path) -> Form:
    """The form in `folder`; raises `ModelError` when there is none or it cannot be read."""
    path = folder / FORM
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        labels = values["labels"]
        form = Form(
            name=str(values["form"]),
            engine=str(values["engine"]),
            task=values["task"],
            labels=tuple(labels) if labels is not None else None,
            max_length=int(values["max_length"]),
            batch_invariant=bool(values["batch_invariant"]),
            precision=str(values["precision"]),
            bytes=int(values["bytes"]),
            end_ids=tuple(values.get("end_ids", ())),
            thresholds=_numbers(values.get("thresholds")),
            scale=_scale(values.get("scale")),
            pooling=values.get("pooling"),
            dimensions=values.get("dimensions"),
            temperature=float(values.get("temperature", 1.0)),
            heads=read_heads(values.get("heads", ())),
            takes=read_takes(values.get("takes")),
        )
    except OSError as error:
        raise ModelError(
            f"There is no exported model in {folder}: expected {FORM} beside its weights. Give a folder below "
            "`forms/` of an export, or `form/` of a release."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read ({error!r}). Export the model again with `danlu run`.") from error
    if form.task not in TASKS:
        raise ModelError(f"{path} is for the task {form.task!r}; this version knows {', '.join(TASKS)}.")
    lacking = [name for name in _NEEDS.get(form.task, ()) if not getattr(form, name)]
    if not lacking and form.heads:
        lacking = [
            f"{name} of the target {target}"
            for target, _, part in form.parts
            for name in _NEEDS[part.task]
            if not getattr(part, name)
        ]
    if lacking:
        raise ModelError(
            f"{path} has no {lacking[0]}, which a model for {form.task} needs. Export the model again with `danlu run`."
        )
    for temperature in (form.temperature, *(head.temperature for head in form.heads)):
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ModelError(f"{path} has the temperature {temperature}; it must be above 0. Export the model again.")
    return form


#: What `form.json` must hold beside the common facts, by task.
_NEEDS: dict[str, tuple[str, ...]] = {
    "classify": ("labels",),
    "tag": ("labels", "thresholds"),
    "regress": ("scale",),
    "multitask": ("labels", "heads"),
    "embed": ("pooling", "dimensions"),
}


#: Parts of a text that count, each `(begin, end)` in characters.
Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """How well a generate model foresaw one text.

    `tokens`: how many tokens were foreseen: all but a first one that nothing precedes, and the token that ends a
    text where the model knows one, which `end_counted` says. `log_likelihood`: sum of their natural logarithms of
    probability. `greedy`: how many of them were the most probable one. `characters`: characters of the text that
    those tokens spell, for bits per character. Where spans were asked for, only tokens and characters in them count,
    and the end does not.
    """

    tokens: int
    log_likelihood: float
    greedy: int
    characters: int
    end_counted: bool


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a generation ended.

    `tokens`: how many the model made. `reason`: "length" when it made as many as it was allowed or had room for,
    else "stop" (an end token, or a stop sequence). The names are OpenAI's.
    """

    reason: Literal["stop", "length"]
    tokens: int


class Engine(Protocol):
    """What every engine can do. A call that the form's task has no answer to raises `UserError`."""

    form: Form

    def predict(self, asked: Sequence[Question]) -> np.ndarray:
        """What the form answers to each of N questions, float32 [N, K] (classify, tag, regress, multitask).

        Columns are the probabilities of `form.labels`, or the one number of regress, in the user's unit; for multitask
        those of each target in turn (`Form.parts`).
        Probabilities of classify sum to 1; for tag each label has one of its own.
        Texts are cut at `form.max_length` tokens; an empty text is answered like any other. A form that is not
        batch invariant answers one text at a time inside. Raises `UserError` for a question that does not hold what
        `form.takes` says, or more.
        """
        ...

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors float32 [N, D] of length 1 for N texts (embed): the product of two of them is their cosine.

        Texts are cut at `form.max_length` tokens. A form that is not batch invariant answers one text at a time inside.
        """
        ...

    def score(self, texts: Sequence[str], spans: Sequence[Spans | None] | None = None) -> list[TextScore]:
        """How well the model foresees each text and its end, in windows where it is longer than the context (generate).

        A text that has `spans` is one that a chat template wrote, with its special tokens spelt out; of it only what
        lies in them counts: the answers.

        The tokens are those of training, so exp(-log_likelihood / tokens) over texts that fit into the context is
        the perplexity that training reports for them. Longer ones are foreseen from more of what is before.
        """
        ...

    def next_token(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities float32 [N, V] of the token that follows each text, over the whole vocabulary (generate)."""
        ...

    def generate(
        self,
        prompt: str,
        *,
        max_new_tokens: int = 128,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        written: bool = False,
    ) -> Generator[str, None, Ending]:
        """Yield the continuation of `prompt` in pieces of whole characters (generate).

        `written`: the prompt spells its special tokens itself, as a chat template does (`danlu.engines.prompt`); none
        are added, none taken away. `temperature` 0 always takes the most probable token. Ends at an end token, before
        a `stop` sequence, after `max_new_tokens` tokens, or where the context is full; which of them, the generator
        returns.
        """
        ...

    def fill(self, texts: Sequence[str]) -> list[Filled]:
        """The words that are hidden in each text by the model's token for it, such as [MASK] (fill).

        Texts are cut at `form.max_length` tokens; gaps beyond stay, and a text without any is answered as it came.
        """
        ...

    def score_hidden(self, texts: Sequence[str], seed: int) -> list[HiddenScore]:
        """How well the model foresees `filling.HIDDEN_SHARE` of the tokens of each text, chosen by `seed` (fill).

        A text that is longer than the model reads goes on in a further window.
        """
        ...

    def gap(self) -> str:
        """What stands in a text where a word is hidden, such as [MASK] (fill)."""
        ...

    def close(self) -> None:
        """Free the memory; the engine cannot be used afterwards."""
        ...
