"""What a stage is handed, and the events by which it tells how it is doing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from danlu.core.artifact import LOGS, Artifact
from danlu.core.energy import WATTS_PER_CORE
from danlu.core.errors import BudgetReached, Interrupted
from danlu.core.machine import Machine, resident_bytes

Item = TypeVar("Item")
Emit = Callable[[dict[str, Any]], None]
StopReason = Literal["interrupted", "hours", "memory", "energy"]

_SECONDS_BETWEEN_EVENTS = 0.1

_CAPS: dict[StopReason, str] = {
    "hours": "budget.hours was reached during {stage}. What was done is saved: run again to continue.",
    "memory": "budget.memory_gib was reached during {stage}. What was done is saved. Raise the cap, or lower "
    "train.batch_size or model.max_length, and run again.",
    "energy": "{energy} was reached during {stage}. What was done is saved: run again to continue.",
}


@dataclass(kw_only=True)
class Limits:
    """Caps of this invocation. `deadline` is in seconds of `time.time()`; `asked` is set by the parent's signals.

    `energy` names the field that caps energy, which the parent measures.
    """

    deadline: float | None = None
    memory_bytes: int | None = None
    energy: str = "budget.kwh"
    asked: StopReason | None = None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a stage was started from, for one that starts others (see `danlu.core.children`).

    `workspace`: the `.danlu` folder. `base`: the folder that relative paths of the recipe start at. `stages`: the rows
    of the corridor that it may start, as plain values, by name. `watts_per_core`: for energy that has to be estimated.
    """

    workspace: Path
    base: Path
    stages: Mapping[str, Mapping[str, Any]]
    watts_per_core: float = WATTS_PER_CORE


@dataclass(frozen=True, kw_only=True)
class Rank:
    """Which process of how many this is, counted from 0; `meeting`: a folder that all of them see.

    The first one alone writes to the stage's folders.
    """

    number: int = 0
    count: int = 1
    meeting: Path | None = None

    @property
    def first(self) -> bool:
        return self.number == 0


@dataclass(kw_only=True)
class Context:
    """Everything a stage may touch.

    `out`: the empty folder that becomes the artifact. `state`: a folder that survives a kill, for resuming.
    `inputs`: artifacts by stage name. `resources`: local paths by dotted path of the configuration, and
    `digests` their content hashes. `threads`: CPU threads to use. `origin`: for stages that start others.
    `rank`: which process of a gang it is that this was handed to. `pids`: the gang's other processes, known to the
    first; `elsewhere_bytes`: the most memory that they had in sum, known once they have ended.
    """

    stage: str
    fingerprint: str
    out: Path
    state: Path
    inputs: Mapping[str, Artifact]
    resources: Mapping[str, Path]
    digests: Mapping[str, str]
    threads: int
    machine: Machine
    emit: Emit
    limits: Limits = field(default_factory=Limits)
    origin: Origin | None = None
    rank: Rank = Rank()
    pids: Sequence[int] = ()
    elsewhere_bytes: int = 0

    def launch(self, worker: str, count: int, config: BaseModel) -> None:
        """Run `worker`, a "module:function" that is called as a stage's `run`, in `count` processes at once.

        The first of them is this one; each is given its part of the threads. Returns when all have ended. Raises what
        the first one raises. Where it raises `PeerGone`: what another one raised, `StageCrashed` for an error that is
        none of Danlu's, or `DanluError` that says how it was ended.
        """
        from danlu.core.gang import launch

        launch(self, worker, count, config)

    def say(self, text: str) -> None:
        """One line for people who watch."""
        self.emit({"type": "say", "text": text})

    def warn(self, text: str) -> None:
        """One line that people should read even later; it is kept in the artifact's logs."""
        self.emit({"type": "warn", "text": text})
        self._log("warnings.jsonl", {"text": text})

    def metric(self, **values: Any) -> None:
        """Append one row of measurements to `logs/metrics.jsonl`, and tell it; give `step` where there is one."""
        self._log("metrics.jsonl", values)
        self.emit({"type": "metric", "values": values})

    def _log(self, name: str, row: dict[str, Any]) -> None:
        path = self.out / LOGS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def progress(self, what: str, total: float | None, unit: str) -> Progress:
        """A progress bar; use it as a context manager, or wrap a sequence with `track`."""
        return Progress(self, what, total, unit)

    def track(self, items: Iterable[Item], what: str, total: int | None = None, unit: str = "rows") -> Iterator[Item]:
        """Yield `items`, moving a progress bar; stops at a cap or Ctrl-C."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        with self.progress(what, total, unit) as bar:
            for item in items:
                yield item
                bar.advance(1)

    def stop_reason(self) -> StopReason | None:
        """Why the stage should save its work and stop now, or None."""
        if self.limits.asked is not None:
            return self.limits.asked
        if self.limits.deadline is not None and time.time() > self.limits.deadline:
            return "hours"
        if self.limits.memory_bytes is not None and self._resident() > self.limits.memory_bytes:
            return "memory"
        return None

    def _resident(self) -> int:
        return resident_bytes() + sum(resident_bytes(pid) for pid in self.pids)

    def stop(self, reason: StopReason) -> None:
        """Raise what `reason` means; call it after saving."""
        if reason == "interrupted":
            raise Interrupted(
                f"Stopped during {self.stage}. What was done is saved: the same command continues from here."
            )
        raise BudgetReached(f"The cap {_CAPS[reason].format(stage=self.stage, energy=self.limits.energy)}")

    def check(self) -> None:
        """Stop here if a cap is reached or the user pressed Ctrl-C; for stages with nothing to save."""
        reason = self.stop_reason()
        if reason is not None:
            self.stop(reason)


class Progress:
    """A bar that the parent process draws. `advance` also honours caps and Ctrl-C, unless `checked` is False."""

    def __init__(self, context: Context, what: str, total: float | None, unit: str) -> None:
        self._context = context
        self._what = what
        self._unit = unit
        self.total = total
        self.done: float = 0
        self.checked = True
        self._last = 0.0
        self._started = time.monotonic()

    def __enter__(self) -> Progress:
        self._send(0.0, {})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._send(time.monotonic(), {}, ended=True)

    def advance(self, amount: float, **info: float | str) -> None:
        """Move by `amount`; `info` is shown beside the bar (loss, for instance)."""
        self.done += amount
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_EVENTS:
            self._send(now, info)
        if self.checked:
            self._context.check()

    def _send(self, now: float, info: dict[str, float | str], ended: bool = False) -> None:
        self._last = now
        self._context.emit(
            {
                "type": "progress",
                "what": self._what,
                "done": self.done,
                "total": self.total,
                "unit": self._unit,
                "info": info,
                "ended": ended,
            }
        )
