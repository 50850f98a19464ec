"""A stage that runs another one, on settings of its own: a trial of a search, a fold.

The child is a stage like any other: it has a fingerprint, is published whole, is reused where it was made before, and
goes on where it was stopped. The parent may say that it has seen enough.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from danlu.core.artifact import Artifact, Record, content_hash, list_files
from danlu.core.context import Context
from danlu.core.errors import Interrupted
from danlu.core.fingerprint import digest
from danlu.core.lazy import load_attribute
from danlu.core.runner import Caps, Runner
from danlu.core.stage import from_values
from danlu.core.store import Workspace

_POLL_SECONDS = 0.2


class Enough(Exception):
    """The parent stopped the child; what it had done is kept, and it would go on from there."""


class Child:
    """One run of the stage `name`, which the parent's row has under `starts`.

    It gets `config`, the parent's inputs and caps, and `threads` CPU threads, by default all of the parent's. `share`:
    so many children at once divide the parent's cap on memory. `observe` is told its events. `inputs` are read in place
    of the parent's of the same name. Afterwards `reused` says whether it had been made before.
    """

    def __init__(
        self,
        ctx: Context,
        name: str,
        config: BaseModel,
        *,
        observe: Callable[[dict[str, Any]], None],
        threads: int | None = None,
        share: int = 1,
        inputs: Mapping[str, Artifact] | None = None,
    ) -> None:
        if ctx.origin is None or name not in ctx.origin.stages:
            raise LookupError(f"the row of {ctx.stage!r} does not say that it starts {name!r}")
        row = ctx.origin.stages[name]
        self._name = name
        self._config = config
        self._observe = observe
        self._stop = threading.Event()
        self._print: str | None = None
        self._runner = Runner(
            stages=(from_values(row, load_attribute(row["config"])),),
            workspace=Workspace(ctx.origin.workspace),
            base=ctx.origin.base,
            caps=Caps(
                deadline=ctx.limits.deadline,
                memory_bytes=None if ctx.limits.memory_bytes is None else ctx.limits.memory_bytes // share,
                threads=threads or ctx.threads,
                watts_per_core=ctx.origin.watts_per_core,
            ),
            observer=self._on_event,
            interrupted=self._stop,
            artifacts={**ctx.inputs, **(inputs or {})},
        )

    def run(self) -> Artifact:
        """Run it to its end or reuse what is there. Raises `Enough` after `stop`, and what the stage raises."""
        try:
            self._runner.walk(self._config)
        except Interrupted as error:
            if self._stop.is_set():
                raise Enough from error
            raise
        return self._runner.artifacts[self._name]

    @property
    def fingerprint(self) -> str | None:
        """Of what it makes; None before `run` has looked."""
        return self._print

    @property
    def reused(self) -> bool:
        return bool(self._runner.outcomes) and self._runner.outcomes[-1].reused

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask it to save what it did and end; from any thread."""
        self._stop.set()

    def _on_event(self, event: dict[str, Any]) -> None:
        if event["type"] == "stage":
            self._print = event["fingerprint"]
        self._observe(event)


def watched(ctx: Context, child: Child) -> Artifact:
    """Run `child` to its end while the parent goes on listening: it stops when the parent has to.

    Raises `BudgetReached` or `Interrupted` then, and what the child's stage raises.
    """
    ended: list[Artifact | BaseException] = []

    def run() -> None:
        try:
            ended.append(child.run())
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    reason = None
    while thread.is_alive():
        reason = reason or ctx.stop_reason()
        if reason is not None:
            child.stop()
        thread.join(_POLL_SECONDS)
    (result,) = ended
    if isinstance(result, Artifact):
        return result
    if isinstance(result, Enough) and reason is not None:
        ctx.stop(reason)
    raise result


def lend(ctx: Context, name: str, folder: Path, *, of: Artifact, what: Mapping[str, Any]) -> Artifact:
    """Publish `folder`, part of the artifact `of` or made from it, as one of the stage `name` for children to read.

    `what` says what it is, in plain values: equal ones of one artifact are the same. To be forgotten afterwards.
    """
    assert ctx.origin is not None, "only a stage that starts others lends to them"
    files = list_files(folder)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    record = Record(
        stage=name,
        version=of.record.version,
        fingerprint=digest([ctx.stage, name, of.content, dict(what)]),
        content=content_hash(files),
        inputs={of.record.stage: [of.fingerprint, of.content]},
        resources={},
        config=dict(what),
        environment={},
        libraries={},
        files=files,
        started=now,
        finished=now,
        seconds=0.0,
        attempts=1,
        peak_memory_bytes=0,
        kwh=None,
        danlu=importlib.metadata.version("danlu"),
    )
    return Workspace(ctx.origin.workspace).publish(folder, record)


def forget(ctx: Context, name: str, fingerprint: str) -> None:
    """Remove what a child of `ctx` has made or begun. Not for one that was `reused`: others may need it."""
    assert ctx.origin is not None, "only a stage that starts others has made some"
    if not fingerprint:
        raise ValueError("a child without a fingerprint has made nothing")
    workspace = Workspace(ctx.origin.workspace)
    for folder in (workspace.folder_of(name, fingerprint), workspace.work_of(name, fingerprint)):
        shutil.rmtree(folder, ignore_errors=True)
