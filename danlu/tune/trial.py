"""One trial: a run of the train stage with the proposed settings, watched from validation to validation."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from danlu.core.children import Child, Enough, forget
from danlu.core.context import Context
from danlu.core.errors import DanluError, DataError, ModelError, UserError
from danlu.tune.config import TuneStage, put, trained
from danlu.tune.study import TRAIN, Study

#: Errors of training that other settings may not have; every other one ends the search, which can go on.
_ABOUT_SETTINGS = {UserError, ModelError, DataError}

#: A lock for each set of settings that was tried in this process.
_UNDER_WAY: dict[str, threading.Lock] = {}


class Trial(threading.Thread):
    """A trial in a thread of its own. After its end `said` is its outcome for people; `result` raises its error."""

    def __init__(self, ctx: Context, config: TuneStage, study: Study, *, number: int, threads: int) -> None:
        super().__init__(daemon=True)
        self._ctx = ctx
        self._study = study
        self._trial = study.ask()
        self._name = f"trial {number}"
        self._settings = self._trial.params
        self._validations = 0
        self._poor = False
        self._error: BaseException | None = None
        self.said = ""
        try:
            sections = put(config.model_dump(mode="json"), self._settings)
            self._child: Child | None = Child(
                ctx, TRAIN, trained(sections), observe=self._on_event, threads=threads, share=config.tune.workers
            )
        except ValueError as error:
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
            with _alone(self._settings, child):
                artifact = child.run()
        except Enough:
            if self._poor:
                self._prunes(child, time.monotonic() - began)
            return
        except DanluError as error:
            # A full disk, a killed process or a cap says nothing about the settings: the trial goes on another time.
            if type(error) not in _ABOUT_SETTINGS:
                raise
            self._fails(str(error))
            return
        if self._poor:  # it was quicker than the wish that it should end
            self._prunes(child, time.monotonic() - began)
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

    def _prunes(self, child: Child, seconds: float) -> None:
        self._study.prune(self._trial, seconds)
        if child.fingerprint is not None and not child.reused:
            forget(self._ctx, TRAIN, child.fingerprint)
        self._ends(f"ended after {self._validations} validations, below the others")

    def _fails(self, why: str) -> None:
        first = next(iter(why.strip().splitlines()), "no reason given")
        self._study.fail(self._trial, first)
        self._ends(f"failed: {first}")

    def _ends(self, how: str) -> None:
        self.said = f"{self._name.capitalize()}: {how} ({told(self._settings)})."

    def _on_event(self, event: dict[str, Any]) -> None:
        """Watch the scores; show the bar of the training under the trial's name; keep its warnings."""
        if event["type"] == "metric" and "validation_score" in event["values"]:
            if self._poor:  # what comes until it has stopped depends on how quick the machine is
                return
            self._validations += 1
            if self._study.is_poor(self._trial, self._validations, event["values"]["validation_score"]):
                self._poor = True
                self.stop()
        elif event["type"] == "progress" and event["what"] == TRAIN:
            self._ctx.emit({**event, "what": self._name})
        elif event["type"] == "warn":
            self._ctx.warn(f"{self._name}: {event['text']}")


@contextlib.contextmanager
def _alone(settings: dict[str, Any], child: Child) -> Iterator[None]:
    """Wait for a trial of the same settings that is under way: both are one run of the stage, in one folder.

    Raises `Enough` when the child is asked to stop meanwhile.
    """
    lock = _UNDER_WAY.setdefault(repr(sorted(settings.items())), threading.Lock())
    while not lock.acquire(timeout=0.2):
        if child.stopped:
            raise Enough
    try:
        yield
    finally:
        lock.release()


def told(settings: dict[str, Any]) -> str:
    """Settings in a line: `learning_rate 0.0003, warmup 0.1`."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in settings.items()
    )
