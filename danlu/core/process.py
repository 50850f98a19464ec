"""The process of one stage, seen from its parent: events come in, signals and caps go out."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from danlu.core.attempts import Attempts, meter
from danlu.core.errors import BY_NAME, BudgetReached, Interrupted, StageCrashed
from danlu.core.machine import resident_bytes
from danlu.core.worker import Job

Observer = Callable[[dict[str, Any]], None]

#: How long a stage may take to save its work after it was asked to stop, before it is killed.
_GRACE_SECONDS = 60.0


class StageProcess:
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
                    env=environment_of_child(job.threads),
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


def environment_of_child(threads: int) -> dict[str, str]:
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
