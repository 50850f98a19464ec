"""One trial: a run of the train stage with the proposed settings, watched from validation to validation."""

from __future__ import annotations

import threading
import time
from typing import Any

from pydantic import ValidationError

from danlu.core.children import Child, Enough, forget
from danlu.core.context import Context
from danlu.core.errors import BudgetReached, DanluError, Interrupted
from danlu.tune.config import TuneStage, put, trained
from danlu.tune.study import TRAIN, Study


class Trial(threading.Thread):
    """A trial in a thread of its own. After its end `said` is its outcome for people; `result` raises its error.

    `counted`: it came to an end by itself, so that it is one of the trials that were asked for.
    """

    def __init__(self, ctx: Context, config: TuneStage, study: Study, *, threads: int) -> None:
        super().__init__(daemon=True)
        self._ctx = ctx
        self._study = study
        self._trial = study.ask()
        self._name = f"trial {self._trial.number + 1}"
        self._settings = self._trial.params
        self._validations = 0
        self._poor = False
        self._error: BaseException | None = None
        self.counted = False
        self.said = ""
        try:
            sections = put(config.model_dump(mode="json"), self._settings)
            self._child: Child | None = Child(ctx, TRAIN, trained(sections), observe=self._on_event, threads=threads)
        except (ValidationError, ValueError) as error:
            self._child = None
            self._fails(str(error))

    def run(self) -> None:
        try:
            if self._child is not None:
                self._train(self._child)
        except BaseException as error:
            self._error = error

    def stop(self) -> None:
        """End it so that it can go on later; from any thread."""
        if self._child is not None:
            self._child.stop()

    def result(self) -> None:
        """Wait for its end; raises what ended it, where that was neither its settings nor the stage's own wish."""
        self.join()
        if self._error is not None:
            raise self._error

    def _train(self, child: Child) -> None:
        began = time.monotonic()
        try:
            artifact = child.run()
        except Enough:
            if self._poor:
                self._study.prune(self._trial, time.monotonic() - began)
                forget(self._ctx, TRAIN, child.fingerprint or "")
                self._ends(f"ended after {self._validations} validations, below the others")
            return
        except (BudgetReached, Interrupted):
            raise
        except DanluError as error:
            self._fails(str(error))
            return
        best = artifact.json("training.json")["best"]
        self._study.score(
            self._trial,
            float(best["value"]),
            metric=best["metric"],
            fingerprint=artifact.fingerprint,
            seconds=time.monotonic() - began,
            made=not child.reused,
        )
        self._ends(f"{best['metric']} {best['value']:.4g}")

    def _fails(self, why: str) -> None:
        first = next(iter(why.strip().splitlines()), "no reason given")
        self._study.fail(self._trial, first)
        self._ends(f"failed: {first}")

    def _ends(self, how: str) -> None:
        self.counted = True
        self.said = f"{self._name.capitalize()}: {how} ({told(self._settings)})."

    def _on_event(self, event: dict[str, Any]) -> None:
        """Watch the scores; show the bar of the training under the trial's name; keep its warnings."""
        if event["type"] == "metric" and "validation_score" in event["values"]:
            self._validations += 1
            if self._study.is_poor(self._trial, self._validations, event["values"]["validation_score"]):
                self._poor = True
                self.stop()
        elif event["type"] == "progress" and event["what"] == TRAIN:
            self._ctx.emit({**event, "what": self._name})
        elif event["type"] == "warn":
            self._ctx.warn(f"{self._name}: {event['text']}")


def told(settings: dict[str, Any]) -> str:
    """Settings in a line: `learning_rate 0.0003, warmup 0.1`."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in settings.items()
    )
