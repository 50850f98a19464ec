"""From a recipe to what must run and what is reused; one subprocess a stage; caps, Ctrl-C and resume."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
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
from danlu.core.errors import BY_NAME, BudgetReached, DataError, Interrupted, StageCrashed, from_os_error
from danlu.core.fingerprint import fingerprint, plain
from danlu.core.machine import library_versions, peak_resident_bytes, resident_bytes, this_machine
from danlu.core.resource import Digests, Resolver, Site
from danlu.core.stage import Stage, as_values
from danlu.core.store import Workspace
from danlu.core.worker import Job, execute

Observer = Callable[[dict[str, Any]], None]


def ignore(_event: dict[str, Any]) -> None:
    """An observer that looks away."""


#: How long a stage may take to save its work after it was asked to stop, before it is killed.
_GRACE_SECONDS = 60.0


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
        inputs = {name: self.artifacts[name] for name in stage.reads}
        environment = self._environment(stage)
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

    def _environment(self, stage: Stage) -> dict[str, str]:
        environment = library_versions(stage.libraries)
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
        attempts = Attempts(work / "attempts.json")
        started = _now()
        try:
            if self.in_process:
                attempts.meter = meter(os.getpid(), job)
                execute(job, lambda event: self.observer({**event, "stage": stage.name}), _limits_of(job))
                peak = peak_resident_bytes()
            else:
                allowed = None if self.caps.kwh is None else self.caps.kwh * JOULES_PER_KWH - self._joules
                peak = _Process(job, work, self.observer, self.lock, interrupted, attempts, allowed).wait()
        finally:
            seconds, joules = attempts.beat()
            self._joules += attempts.joules or 0.0
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
            libraries=library_versions(stage.libraries),
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


class _Process:
    """A stage's process under watch: events in, signals and caps out."""

    def __init__(
        self,
        job: Job,
        work: Path,
        observer: Observer,
        lock: int | None,
        interrupted: threading.Event,
        attempts: Attempts,
        allowed_joules: float | None,
    ) -> None:
        self._job = job
        self._work = work
        self._observer = observer
        self._interrupted = interrupted
        self._attempts = attempts
        self._allowed_joules = allowed_joules
        self._asked_to_stop: float | None = None
        self._told = False
        self._error: tuple[str, str] | None = None
        self._peak: int | None = None
        read, write = os.pipe()
        job_file = work / "job.json"
        job_file.write_text(job.model_dump_json(), encoding="utf-8")
        passed = (write,) if lock is None else (write, lock)
        try:
            with (work / "log.txt").open("ab") as log:
                self._child = subprocess.Popen(
                    [sys.executable, "-m", "danlu.core.worker", str(job_file), str(write)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=passed,
                    start_new_session=True,
                    env=_environment_of_child(job.threads),
                )
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        attempts.meter = meter(self._child.pid, job)
        self._events = os.fdopen(read, "rb", buffering=0)

    def wait(self) -> int:
        """Until the process ends; returns its peak memory in bytes, or raises what it said."""
        buffer = b""
        try:
            with self._events, selectors.DefaultSelector() as selector:
                selector.register(self._events, selectors.EVENT_READ)
                open_ = True
                while open_:
                    for _ in selector.select(timeout=0.2):
                        chunk = self._events.read(65536)
                        open_ = bool(chunk)
                        *lines, buffer = (buffer + (chunk or b"")).split(b"\n")
                        for line in lines:
                            self._on_event(json.loads(line))
                    self._watch()
            code = self._child.wait()
        except BaseException:
            self._kill()
            raise
        return self._result(code)

    def _on_event(self, event: dict[str, Any]) -> None:
        if event["type"] == "done":
            self._peak = int(event["peak_memory_bytes"])
            if self._attempts.meter is not None:
                self._attempts.meter.ended(event["cpu_seconds"])
        elif event["type"] == "error":
            self._error = (event["kind"], event["text"])
        else:
            self._observer({**event, "stage": self._job.stage})

    def _watch(self) -> None:
        """Pass Ctrl-C on, keep the caps, and kill a process that does not stop when asked."""
        self._attempts.beat_if_due()
        now = time.time()
        over_time = self._job.deadline is not None and now > self._job.deadline
        over_memory = self._job.memory_bytes is not None and resident_bytes(self._child.pid) > self._job.memory_bytes
        if self._interrupted.is_set() and not self._told:
            self._told = True
            self._child.send_signal(signal.SIGTERM)
            self._observer({"type": "say", "stage": self._job.stage, "text": "Stopping: saving what was done."})
        over_energy = self._allowed_joules is not None and self._attempts.over(self._allowed_joules)
        for over, number in ((over_memory, signal.SIGUSR1), (over_energy, signal.SIGUSR2)):
            if over and self._asked_to_stop is None:
                self._child.send_signal(number)
        if (self._interrupted.is_set() or over_time or over_memory or over_energy) and self._asked_to_stop is None:
            self._asked_to_stop = now
        if self._asked_to_stop is not None and now - self._asked_to_stop > _GRACE_SECONDS:
            self._kill()
            stopped = (
                f"{self._job.stage} did not stop within {_GRACE_SECONDS:.0f} s and was ended; run again to redo it."
            )
            if self._interrupted.is_set():
                raise Interrupted(stopped)
            raise BudgetReached(f"A cap of the budget was reached. {stopped}")

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def _result(self, code: int) -> int:
        log = self._work / "log.txt"
        if self._error is not None:
            kind, text = self._error
            if kind == "StageCrashed":
                raise StageCrashed(f"{self._job.stage} failed: {text}\nThis is a fault of Danlu; the trace is in {log}")
            raise BY_NAME.get(kind, StageCrashed)(text)
        if code == 0 and self._peak is not None:
            return self._peak
        if code == -signal.SIGTERM and self._interrupted.is_set():
            raise Interrupted(f"Stopped while {self._job.stage} was starting. The same command continues from here.")
        if code == -signal.SIGUSR1:
            raise BudgetReached(
                f"The cap budget.memory_gib was reached while {self._job.stage} was starting. Raise it."
            )
        if code == -signal.SIGUSR2:
            raise BudgetReached(f"The cap {self._job.energy} was reached while {self._job.stage} was starting.")
        if code == -signal.SIGKILL:
            raise StageCrashed(
                f"The process of {self._job.stage} was killed, most likely by the system for lack of memory. Make "
                "train.batch_size or model.max_length smaller, or set budget.memory_gib to stop in time; then run "
                f"again: it continues. Its output is in {log}"
            )
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        raise StageCrashed(f"The process of {self._job.stage} ended {how} without saying why. Its output is in {log}")


def _environment_of_child(threads: int) -> dict[str, str]:
    """Thread pools are sized before libraries load; hashes are fixed so that set order cannot change a result."""
    fixed = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return {
        **os.environ,
        **fixed,
        # Threads that wait sleep: spinning ones make a step ten times slower as soon as another program uses a core.
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "DO_NOT_TRACK": "1",
    }


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
