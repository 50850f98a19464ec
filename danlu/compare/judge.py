"""What a comparison needs of a task: answers, scores, and whether one is better than another. A table by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from danlu.compare.config import CompareConfig
from danlu.compare.entrants import EndpointModel, Entrant, Kind, Release
from danlu.compare.local import Rates, Used
from danlu.compare.notes import Note, note
from danlu.core.context import Context
from danlu.evaluate.config import EvaluateConfig, SpeedConfig
from danlu.evaluate.rows import Part
from danlu.evaluate.speed import measure


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything that is the same for all entrants.

    `rows`: the N rows that all of them answer. `labels`: of the run. `predictions`: for each file by its name, the
    label of each row, None where it gave none. `cache`: where answers of endpoints are kept.
    """

    ctx: Context
    config: CompareConfig
    rates: Rates
    rows: Part
    labels: Sequence[str]
    language: str
    entrants: Sequence[Entrant]
    predictions: Mapping[str, Sequence[str | None]]
    cache: Path

    @property
    def evaluation(self) -> EvaluateConfig:
        """How scores are resampled."""
        return EvaluateConfig.model_validate({"resamples": self.config.resamples, "seed": self.config.seed})


@dataclass(kw_only=True)
class Answered:
    """What came of one entrant. `answers` is between a judge's own methods; None where it is not comparable.

    `scores`: by name, each value, low and high. `latency` and `cost` as the page has them.
    """

    answers: Any = None
    scores: dict[str, Any] | None = None
    latency: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None
    unanswered: int = 0
    notes: list[Note] = field(default_factory=list)


class Judge(Protocol):
    """One task. `primary` is the score that is compared, `shown` are those in the table, `takes` who can be scored: an
    endpoint that cannot is told so, a file is refused.
    """

    primary: str
    shown: tuple[str, ...]
    lower_is_better: bool
    takes: frozenset[Kind]

    def __init__(self, setting: Setting) -> None: ...

    @staticmethod
    def labels(known: Sequence[str], rows: Part) -> list[str]:
        """The labels that answers have, of those that the data card knows and the rows; empty where there are none."""
        ...

    def answered(self, entrant: Any) -> Answered:
        """Ask, and score."""
        ...

    def compared(
        self, name: str, answers: Any, first: str, first_answers: Any
    ) -> tuple[dict[str, Any] | None, list[Note]]:
        """The difference to the first (this - first), as `danlu.metrics.paired.verdict` has it, and what to say."""
        ...


#: task -> its judge. A new task is one row and one class.
JUDGES: dict[str, str] = {
    "classify": "danlu.compare.classify:ClassifyJudge",
    "generate": "danlu.compare.generate:GenerateJudge",
    "embed": "danlu.compare.embed:EmbedJudge",
}


def of_release(setting: Setting, entrant: Release, used: Used, texts: Sequence[str]) -> dict[str, Any]:
    """Latency of single requests and cost of a release, as fields of `Answered`."""
    speed = SpeedConfig.model_validate({"requests": setting.config.requests})
    measured = measure(setting.ctx, entrant.folder, texts, speed)
    latency = {key: measured[key] for key in ("p50_ms", "p95_ms", "requests")} | {"where": "here"}
    more = {key: measured[key] for key in ("tokens_per_second", "first_token_ms", "new_tokens") if key in measured}
    return {"latency": latency | more, "cost": used.cost(setting.rates)}


def not_for(entrant: Entrant, english: str, chinese: str) -> Answered:
    """An entrant that this task has nothing to ask."""
    assert isinstance(entrant, EndpointModel)
    return Answered(notes=[note("not_for_task", entrant.name, why=english, why_zh=chinese)])
