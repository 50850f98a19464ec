"""The process of one stage: `python -m danlu.core.worker JOB EVENTS_DESCRIPTOR`.

It imports the stage's `stage.py`, runs it, and tells its parent how it goes, one JSON line an event. Standard
output and error belong to the libraries; the parent sends them to a log file.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from danlu.core.artifact import Artifact
from danlu.core.context import Context, Emit, Limits, Origin, StopReason
from danlu.core.errors import DanluError, from_os_error, name_of
from danlu.core.lazy import load_attribute
from danlu.core.machine import cpu_seconds_of_all, peak_resident_bytes, this_machine
from danlu.core.store import Workspace

#: What the parent's signals ask for; they come before the handlers are there as well (see `process.StageProcess`).
_MEANING: dict[int, StopReason] = {
    signal.SIGTERM: "interrupted",
    signal.SIGUSR1: "memory",
    signal.SIGUSR2: "energy",
}


class Job(BaseModel):
    """What a stage's process is told; see `Context` for the meaning of the fields."""

    model_config = ConfigDict(frozen=True)

    stage: str
    fingerprint: str
    run: str
    config_class: str
    config: dict[str, Any]
    workspace: str
    base: str
    children: dict[str, dict[str, Any]]
    out: str
    state: str
    inputs: dict[str, str]
    resources: dict[str, str]
    digests: dict[str, str]
    threads: int
    deadline: float | None
    memory_bytes: int | None
    energy: str
    watts_per_core: float
    parent: int


def execute(job: Job, emit: Emit, limits: Limits) -> int:
    """Run the stage that `job` describes, in this process; bytes that processes it started had beside it.

    Raises what the stage raises; an error about disk or rights as `StorageError`.
    """
    workspace = Workspace(Path(job.workspace))
    inputs: dict[str, Artifact] = {}
    for name, fingerprint in job.inputs.items():
        artifact = workspace.find(name, fingerprint)
        if artifact is None:
            raise DanluError(f"The {name} artifact {fingerprint[:12]} is gone; run again to make it anew.")
        inputs[name] = artifact
    config_class: type[BaseModel] = load_attribute(job.config_class)
    context = Context(
        stage=job.stage,
        fingerprint=job.fingerprint,
        out=Path(job.out),
        state=Path(job.state),
        inputs=inputs,
        resources={name: Path(path) for name, path in job.resources.items()},
        digests=job.digests,
        threads=job.threads,
        machine=this_machine(),
        emit=emit,
        limits=limits,
        origin=Origin(
            workspace=workspace.root,
            base=Path(job.base),
            stages=job.children,
            watts_per_core=job.watts_per_core,
        ),
    )
    try:
        run = load_attribute(job.run)
        run(context, config_class.model_validate_json(json.dumps(job.config)))
    except DanluError:
        raise
    except Exception as error:
        meaning = from_os_error(error)
        if meaning is None:
            raise
        raise meaning from error
    return context.elsewhere_bytes


def end_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies, so that no stage goes on unwatched."""
    if sys.platform == "linux":
        death_signal_option = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None, use_errno=True).prctl(death_signal_option, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main(job_file: str, events: int) -> int:
    """Run a job file; returns 0 when the stage is done and 1 when it said why it is not."""
    job = Job.model_validate_json(Path(job_file).read_bytes())
    end_with_parent(job.parent)
    limits = Limits(deadline=job.deadline, memory_bytes=job.memory_bytes, energy=job.energy)

    def stop(number: int, _frame: object) -> None:
        limits.asked = _MEANING[number]

    for number in _MEANING:
        signal.signal(number, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    with os.fdopen(events, "w", encoding="utf-8") as pipe:

        def emit(event: dict[str, Any]) -> None:
            pipe.write(json.dumps(event, ensure_ascii=False) + "\n")
            pipe.flush()

        try:
            elsewhere = execute(job, emit, limits)
        except DanluError as error:
            emit({"type": "error", "kind": name_of(error), "text": str(error)})
            return 1
        except BaseException as error:
            traceback.print_exc()
            sys.stderr.flush()
            summary = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
            emit({"type": "error", "kind": "StageCrashed", "text": summary})
            return 1
        emit(
            {
                "type": "done",
                "peak_memory_bytes": peak_resident_bytes() + elsewhere,
                "cpu_seconds": cpu_seconds_of_all(),
            }
        )
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1], int(sys.argv[2]))
    # Threads of libraries must not keep a stage alive whose work is done and said.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
