"""Where training tells its numbers: `logs/metrics.jsonl` and TensorBoard. Neither counts as content."""

from __future__ import annotations

import shutil
import time
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from danlu.core.artifact import LOGS
from danlu.core.context import Context
from danlu.train.state import Progress

#: Where `Context.metric` writes to, below the logs.
METRICS = "metrics.jsonl"


class Board:
    """Writes each row to both places and keeps it in `rows`, so that a resumed run shows the whole course."""

    def __init__(self, ctx: Context, rows: list[dict[str, Any]]) -> None:
        self._ctx = ctx
        self._start(rows)

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def go_back(self, rows: list[dict[str, Any]]) -> None:
        """Begin anew with `rows`: what came after them is to be done again."""
        self._writer.close()
        shutil.rmtree(self._ctx.out / LOGS / "tensorboard", ignore_errors=True)
        (self._ctx.out / LOGS / METRICS).unlink(missing_ok=True)
        self._start(rows)

    def _start(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows
        self._writer = SummaryWriter(str(self._ctx.out / LOGS / "tensorboard"))
        for row in rows:
            self._write(row)

    def row(self, row: dict[str, Any]) -> None:
        """One row of measurements; it must have `step`."""
        self._rows.append(row)
        self._write(row)

    def _write(self, row: dict[str, Any]) -> None:
        self._ctx.metric(**row)
        for name, value in row.items():
            if name != "step":
                part = "validation" if name.startswith("validation_") else "train"
                self._writer.add_scalar(f"{part}/{name.removeprefix('validation_')}", value, row["step"])


class Clock:
    """Adds up the time of all attempts: of steps alone, and of everything."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._since = time.perf_counter()
        self._step_since = 0.0
        self.step_seconds = 0.0

    def start_step(self) -> None:
        self._step_since = time.perf_counter()

    def end_step(self) -> None:
        self.step_seconds = time.perf_counter() - self._step_since
        self._progress.step_seconds += self.step_seconds

    def stop(self) -> None:
        now = time.perf_counter()
        self._progress.seconds += now - self._since
        self._since = now
