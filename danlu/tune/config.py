"""What may be asked of the tune stage."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from danlu.core.config import Config, NotFingerprinted, resources
from danlu.core.tasks import TaskName
from danlu.core.urls import refuse_secret
from danlu.train.config import ModelConfig, TrainConfig, TrainStage


class Range(Config):
    """Numbers from `low` to `high`, both included."""

    low: int | float = Field(description="Smallest value, in the setting's own unit.")
    high: int | float = Field(description="Largest value.")
    log: bool = Field(False, description="Draw from the logarithm: right for rates, where 1e-5 and 2e-5 differ much.")
    step: int | float | None = Field(None, gt=0, description="Only low, low + step, low + 2 step and so on.")

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low}, which must be below high, which is {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0; it is {self.low}")
        if self.log and self.step is not None:
            raise ValueError("log and step cannot be had together")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"step is {self.step}, more than from {self.low} to {self.high}: only low could be tried")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))


class Choice(Config):
    """One of a few values."""

    choices: list[str | int | float | bool | None] = Field(min_length=2, description="The values to choose from.")


def _kind(value: Any) -> str:
    return "choices" if isinstance(value, Choice) or (isinstance(value, dict) and "choices" in value) else "range"


Space = Annotated[Annotated[Range, Tag("range")] | Annotated[Choice, Tag("choices")], Discriminator(_kind)]


class TuneConfig(Config):
    """A search for the settings of training that validate best (Optuna; Tree-structured Parzen Estimator)."""

    space: dict[str, Space] = Field(
        min_length=1,
        description="What to search, by setting: learning_rate: {low: 1e-5, high: 1e-3, log: true}. Settings of train "
        "are named without it (schedule.warmup), those of model with it (model.max_length).",
    )
    trials: int = Field(20, ge=1, description="Trainings to try.")
    hours: float | None = Field(
        None,
        gt=0.0,
        description="Begin no further trial after this many hours of the stage; the best so far is taken. At least one "
        "trial is made; hours before an interruption do not count.",
    )
    prune: bool = Field(
        True, description="End a trial whose validation score is below the median of the others at the same step."
    )
    workers: Annotated[int, NotFingerprinted()] = Field(
        1,
        ge=1,
        le=64,
        description="Trials at once, each with an equal share of CPU threads and memory. With more than one the best "
        "settings are trained once more, with all threads.",
    )
    storage: Annotated[str | None, NotFingerprinted()] = Field(
        None,
        description="SQLAlchemy URL where several machines of one kind share one search, such as "
        "postgresql+psycopg://tuner:${PGPASSWORD}@host/optuna; empty keeps it in the workspace.",
    )
    seed: int = Field(1, ge=0, description="Seed of the search.")

    @field_validator("storage")
    @classmethod
    def _no_password(cls, value: str | None) -> str | None:
        return refuse_secret(value)


def setting(name: str) -> tuple[str, ...]:
    """The place of a setting in the recipe: `learning_rate` is `("train", "learning_rate")`."""
    parts = tuple(name.split("."))
    return parts if parts[0] in TuneStage.model_fields else ("train", *parts)


class TuneStage(Config):
    """The recipe's sections that the tune stage is given."""

    task: TaskName = Field(description="What the model is for.")
    model: ModelConfig = Field(description="The recipe's model section.")
    train: TrainConfig = Field(description="The recipe's train section.")
    tune: TuneConfig = Field(description="The search.")


def put(values: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """`values` (sections as plain values) with the settings `found`, by name, in their places.

    Raises `ValueError` for a setting that is in no section.
    """
    changed: dict[str, Any] = {
        name: dict(value) if isinstance(value, dict) else value for name, value in values.items()
    }
    for name, value in found.items():
        *outer, last = setting(name)
        here = changed
        for part in outer:
            inner = here.get(part)
            if not isinstance(inner, dict):
                raise ValueError(f"there is no setting {name!r}: {part!r} has none below it here")
            here[part] = dict(inner)
            here = here[part]
        if last not in here:
            raise ValueError(f"there is no setting {name!r}")
        here[last] = value
    return changed


def trained(sections: dict[str, Any]) -> TrainStage:
    """The sections that the train stage is given. Raises pydantic's `ValidationError`, a `ValueError`."""
    given = {name: sections[name] for name in TrainStage.model_fields}
    return TrainStage.model_validate_json(json.dumps(given))


#: Settings and the largest value that anybody can mean, with what is common.
OUTLANDISH: dict[str, tuple[float, str]] = {
    "learning_rate": (10.0, "1e-6 to 0.01 are common"),
    "batch_size": (65_536, "8 to 512 are common"),
    "epochs": (10_000, "1 to 100 are common"),
}


def outlandish(name: str, value: Any) -> str | None:
    """Why `value` can hardly be meant for the setting `name`, or None."""
    most, common = OUTLANDISH.get(name, (math.inf, ""))
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= most:
        return None
    return f"which can hardly be meant: {common}"


def check_space(config: TuneConfig, model: ModelConfig, train: TrainConfig) -> None:
    """Refuse a search for what is no setting, or over values that it cannot have. Raises `ValueError`.

    Settings are tried one by one at the ends of their range; what only a combination forbids, a trial says. Every
    mistake stands on a line of its own.
    """
    sections = {"model": model.model_dump(mode="json"), "train": train.model_dump(mode="json")}
    told = [problem for name, space in config.space.items() for problem in _mistakes(name, space, sections)]
    if told:
        raise ValueError("\n".join(told))


_KINDS: dict[str, type[Config]] = {"model": ModelConfig, "train": TrainConfig}


def _mistakes(name: str, space: Range | Choice, sections: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the search over one setting; the first of it."""
    section = setting(name)[0]
    if section not in _KINDS:
        yield f"tune.space: {name} is no setting of train or model; these can be searched"
        return
    kind = _KINDS[section]
    for value in space.choices if isinstance(space, Choice) else [space.low, space.high]:
        reason = outlandish(name, value)
        if reason is not None:
            yield f"tune.space: {name} cannot be {value!r}, {reason}"
            return
        try:
            found = kind.model_validate_json(json.dumps(put(sections, {name: value})[section]))
            given = kind.model_validate_json(json.dumps(sections[section]))
            if resources(found) != resources(given):
                raise ValueError(f"{name!r} names a model or a file; a search is over settings of one model")
        except ValidationError as error:
            said = error.errors()[0]["msg"].removeprefix("Value error, ")
            yield f"tune.space: {name} cannot be {value!r}: {said[:1].lower()}{said[1:]}"
            return
        except ValueError as error:
            near = difflib.get_close_matches(name, TrainConfig.model_fields, n=1)
            yield f"tune.space: {error}" + (f"; did you mean {near[0]!r}?" if near else "")
            return
