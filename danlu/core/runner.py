"""From a recipe to what must run and what is reused; one subprocess a stage; caps, Ctrl-C and resume."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import itertools
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from danlu.core.artifact import LOGS, Artifact, Record, content_hash, list_files
from danlu.core.attempts import Attempts, meter
from danlu.core.config import as_seen
from danlu.core.config import resources as resources_of
from danlu.core.context import Limits
from danlu.core.energy import JOULES_PER_KWH, WATTS_PER_CORE
from danlu.core.errors import BudgetReached, DataError, Interrupted, from_os_error
from danlu.core.fingerprint import fingerprint, plain
from danlu.core.machine import library_versions, peak_resident_bytes, this_machine
from danlu.core.process import Observer, StageProcess
from danlu.core.resource import Digests, Resolver, Site
from danlu.core.stage import Stage, as_values, libraries_of
from danlu.core.store import Workspace
from danlu.core.worker import Job, execute


def ignore(_event: dict[str, Any]) -> None:
    """An observer that looks away."""


@dataclass(frozen=True, kw_only=True)
class StageOutcome:
    """What became of one stage; `seconds` is of all attempts that made the artifact."""

    stage: str
    fingerprint: str
    folder: Path
    reused: bool
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Caps:
    """Caps of one invocation; None means no cap. `threads` is how many CPU threads a stage may use.

    `kwh` is of all stages together, and `energy` the field of the recipe it comes from; `watts_per_core` is what a busy
    core is taken to use where no counter can be read.
    """

    deadline: float | None = None
    memory_bytes: int | None = None
    kwh: float | None = None
    energy: str = "budget.kwh"
    watts_per_core: float = WATTS_PER_CORE
    threads: int = 1


@dataclass(kw_only=True)
class Runner:
    """Walks the stages for one recipe.

    `base` is the folder that relative paths of the recipe start at. `lock` is the descriptor that
    `Workspace.lock` yielded; stages inherit it. With `refresh`, what was fetched from databases and URLs is fetched
    anew. With `in_process` the stages run in this process, for tests
    that are not about processes. `interrupted` is set by who wants the walk to stop; None listens to Ctrl-C.
    """

    stages: tuple[Stage, ...]
    workspace: Workspace
    base: Path
    caps: Caps = field(default_factory=Caps)
    observer: Observer = ignore
    lock: int | None = None
    in_process: bool = False
    refresh: bool = False
    interrupted: threading.Event | None = None
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    outcomes: list[StageOutcome] = field(default_factory=list)
    _joules: float = 0.0

    def walk(self, recipe: BaseModel, until: str | None = None) -> BaseModel:
        """Run or reuse every stage up to and with `until`; returns the recipe with `auto` values resolved.

        What was done is in `artifacts` and `outcomes`, also when an error ends the walk.
        """
        digests = Digests(self.workspace.root / "cache" / "digests.json")
        try:
            with _stopping(self.interrupted) as interrupted:
                resolver = self._resolver(interrupted)
                for stage in self.stages:
                    artifact = self._stage(stage, recipe, digests, resolver, interrupted)
                    self.artifacts[stage.name] = artifact
                    if stage.resolves:
                        recipe = _apply(recipe, artifact.json("resolved.json"))
                    if stage.name == until:
                        break
        finally:
            digests.save()
        return recipe

    def _resolver(self, interrupted: threading.Event) -> Resolver:
        """Finds the recipe's resources; fetching stops at Ctrl-C and at the cap on hours."""

        def pulse() -> None:
            if interrupted.is_set():
                raise Interrupted("Stopped while fetching. The same command continues from here.")
            if self.caps.deadline is not None and time.time() > self.caps.deadline:
                raise BudgetReached("The cap budget.hours was reached while fetching. Run again to continue.")

        def say(text: str) -> None:
            self.observer({"type": "say", "stage": self.stages[0].name, "text": text})

        cache = self.workspace.root / "cache" / "sources"
        return Resolver(
            site=Site(
                base=self.base, cache=cache, workspace=self.workspace.root, refresh=self.refresh, say=say, pulse=pulse
            )
        )

    def _stage(
        self, stage: Stage, recipe: BaseModel, digests: Digests, resolver: Resolver, interrupted: threading.Event
    ) -> Artifact:
        sections = {
            name: as_seen(field.annotation, _section(recipe, name)) for name, field in stage.config.model_fields.items()
        }
        config = stage.config.model_validate(sections)
        paths = {name: resolver.of(value) for name, value in resources_of(config).items()}
        contents = {name: digests.of(path) for name, path in paths.items()}
        there = [name for name in stage.may_read if name in self.artifacts]
        inputs = {name: self.artifacts[name] for name in (*stage.reads, *there)}
        environment = self._environment(stage, config)
        print_ = fingerprint(
            stage=stage.name,
            version=stage.version,
            config=config,
            inputs={name: artifact.content for name, artifact in inputs.items()},
            resources=contents,
            environment=environment,
        )
        found = self.workspace.find(stage.name, print_)
        if found is not None:
            # A kill between publishing and tidying up leaves the work folder of a stage that is done.
            shutil.rmtree(self.workspace.work_of(stage.name, print_), ignore_errors=True)
            self._done(found, reused=True)
            return found
        if interrupted.is_set():
            raise Interrupted(f"Stopped before {stage.name}. The same command continues from here.")
        if self.caps.deadline is not None and time.time() > self.caps.deadline:
            raise BudgetReached(f"The cap budget.hours was reached before {stage.name}. Run again to continue.")
        if self.caps.kwh is not None and self._joules > self.caps.kwh * JOULES_PER_KWH:
            raise BudgetReached(f"The cap {self.caps.energy} was reached before {stage.name}. Run again to continue.")
        job = Job(
            stage=stage.name,
            fingerprint=print_,
            run=stage.run,
            config_class=stage.config_class,
            config=config.model_dump(mode="json"),
            workspace=str(self.workspace.root),
            base=str(self.base),
            children={row.name: as_values(row) for row in self.stages if row.name in stage.starts},
            out=str(self.workspace.work_of(stage.name, print_) / "out"),
            state=str(self.workspace.work_of(stage.name, print_) / "state"),
            inputs={name: artifact.fingerprint for name, artifact in inputs.items()},
            resources={name: str(path) for name, path in paths.items()},
            digests=contents,
            threads=self.caps.threads,
            deadline=self.caps.deadline,
            memory_bytes=self.caps.memory_bytes,
            energy=self.caps.energy,
            watts_per_core=self.caps.watts_per_core,
            parent=os.getpid(),
        )
        self.observer({"type": "stage", "stage": stage.name, "state": "started", "fingerprint": print_, "seconds": 0})
        try:
            record = self._attempt(stage, job, inputs, config, environment, interrupted)
            _refuse_changes(stage, job, paths, digests)
            artifact = self.workspace.publish(Path(job.out), record)
        except BaseException as error:
            self.observer(
                {"type": "stage", "stage": stage.name, "state": "failed", "fingerprint": print_, "text": str(error)}
            )
            meaning = from_os_error(error) if isinstance(error, OSError) else None
            if meaning is not None:
                raise meaning from error
            raise
        shutil.rmtree(Path(job.out).parent, ignore_errors=True)
        self._done(artifact, reused=False)
        return artifact

    def _environment(self, stage: Stage, config: BaseModel) -> dict[str, str]:
        started = [row for row in self.stages if row.name in stage.starts]
        # What a stage starts is a part of it: other code or libraries there give other results here.
        libraries = itertools.chain.from_iterable(libraries_of(row, config) for row in (stage, *started))
        environment = library_versions(tuple(dict.fromkeys(libraries)))
        environment |= {f"stage {row.name}": str(row.version) for row in started}
        if stage.numeric or stage.machine:
            environment["threads"] = str(self.caps.threads)
            environment["instructions"] = " ".join(this_machine().instructions)
            environment["gpus"] = ", ".join(this_machine().gpus)
        if stage.machine:
            environment["machine"] = json.dumps(this_machine().as_dict(), sort_keys=True)
        return environment

    def _done(self, artifact: Artifact, *, reused: bool) -> None:
        outcome = StageOutcome(
            stage=artifact.record.stage,
            fingerprint=artifact.fingerprint,
            folder=artifact.folder,
            reused=reused,
            seconds=artifact.record.seconds,
        )
        self.outcomes.append(outcome)
        self.observer(
            {
                "type": "stage",
                "stage": outcome.stage,
                "state": "reused" if reused else "finished",
                "fingerprint": outcome.fingerprint,
                "seconds": outcome.seconds,
            }
        )

    def _attempt(
        self,
        stage: Stage,
        job: Job,
        inputs: Mapping[str, Artifact],
        config: BaseModel,
        environment: Mapping[str, str],
        interrupted: threading.Event,
    ) -> Record:
        """Run the stage's process once more and describe what it left in `job.out`."""
        work, out = Path(job.out).parent, Path(job.out)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        Path(job.state).mkdir(exist_ok=True)
        attempts = Attempts(
            work / "attempts.json", lambda text: self.observer({"type": "warn", "stage": stage.name, "text": text})
        )
        started = _now()
        try:
            if self.in_process:
                attempts.meter = meter(os.getpid(), job)
                execute(job, lambda event: self.observer({**event, "stage": stage.name}), _limits_of(job))
                peak = peak_resident_bytes()
            else:
                allowed = None if self.caps.kwh is None else self.caps.kwh * JOULES_PER_KWH - self._joules
                peak = StageProcess(job, work, self.observer, self.lock, interrupted, attempts, allowed).wait()
        finally:
            seconds, joules = attempts.beat()
            self._joules += attempts.joules
        log = work / "log.txt"
        if log.exists() and log.stat().st_size:
            (out / LOGS).mkdir(exist_ok=True)
            log.replace(out / LOGS / "stage.log")
        files = list_files(out)
        return Record(
            stage=stage.name,
            version=stage.version,
            fingerprint=job.fingerprint,
            content=content_hash(files),
            inputs={name: [artifact.fingerprint, artifact.content] for name, artifact in inputs.items()},
            resources=job.digests,
            config=plain(config, job.digests),
            environment=dict(environment),
            libraries=library_versions(libraries_of(stage, config)),
            files=files,
            started=started,
            finished=_now(),
            seconds=round(seconds, 3),
            attempts=attempts.count,
            peak_memory_bytes=peak,
            kwh=None if joules is None else joules / JOULES_PER_KWH,
            kwh_by=None if joules is None else attempts.how,
            danlu=importlib.metadata.version("danlu"),
        )


def _refuse_changes(stage: Stage, job: Job, paths: Mapping[str, Path], digests: Digests) -> None:
    """Nothing may be published under the hash of a file that became another while the stage read it."""
    changed = [name for name, path in paths.items() if digests.of(path) != job.digests[name]]
    if changed:
        shutil.rmtree(Path(job.out).parent, ignore_errors=True)
        named = ", ".join(f"{name} ({paths[name].name})" for name in changed)
        raise DataError(f"{named} changed while {stage.name} read it, so what was made is of neither. Run again.")


def _limits_of(job: Job) -> Limits:
    return Limits(deadline=job.deadline, memory_bytes=job.memory_bytes, energy=job.energy)


@contextlib.contextmanager
def _stopping(event: threading.Event | None) -> Iterator[threading.Event]:
    if event is not None:
        yield event
        return
    with _ctrl_c() as pressed:
        yield pressed


@contextlib.contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets; the second one ends everything at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def handler(_number: int, _frame: object) -> None:
        if asked.is_set():
            raise Interrupted("Stopped at once. The last checkpoint is safe: the same command continues from it.")
        asked.set()

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _section(recipe: BaseModel, name: str) -> Any:
    """A section of the recipe; one it does not have itself belongs to a third party's stage."""
    return getattr(recipe if name in type(recipe).model_fields else recipe.extensions, name)  # type: ignore[attr-defined]


def _apply(recipe: BaseModel, values: Mapping[str, Any]) -> BaseModel:
    """`recipe` with the values by dotted path put in, and checked again."""
    tree = recipe.model_dump(mode="json")
    for path, value in values.items():
        *outer, last = path.split(".")
        here = tree
        for part in outer:
            here = here[part]
        here[last] = value
    return type(recipe).model_validate_json(json.dumps(tree))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
