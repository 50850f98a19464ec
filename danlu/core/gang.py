"""A gang: one function in several processes of this machine, which work together on one thing.

The first of them is the process of the stage itself, so that events, caps and Ctrl-C come and go as ever; the others
are started with `python -m danlu.core.gang FILE` and share its `state`, which the first alone writes to. Where one of
them ends before its time the whole gang does, and the stage says which one it was. What they say to one another while
they work is theirs to choose (`danlu.learning.processes`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from danlu.core.artifact import Artifact, Record
from danlu.core.context import Context, Rank
from danlu.core.errors import BY_NAME, BudgetReached, DanluError, Interrupted, PeerGone, StageCrashed, name_of
from danlu.core.lazy import load_attribute
from danlu.core.machine import peak_resident_bytes, this_machine
from danlu.core.process import environment_of_child
from danlu.core.worker import end_with_parent

#: How long the first process waits for the others to end after it has, and to say why after it failed.
_LAST_WORDS_SECONDS = 5.0
#: How long it may go on without one that is no more before it is ended too: it may wait where no exception comes.
_GRACE_SECONDS = 15.0
_POLL_SECONDS = 0.2


class Member(BaseModel):
    """What a process of a gang is told; see `Context` for the meaning of the fields. `inputs`: folder and record."""

    model_config = ConfigDict(frozen=True)

    worker: str
    config_class: str
    config: dict[str, Any]
    stage: str
    fingerprint: str
    out: str
    state: str
    inputs: dict[str, tuple[str, dict[str, Any]]]
    resources: dict[str, str]
    digests: dict[str, str]
    threads: int
    number: int
    count: int
    meeting: str
    parent: int


def launch(ctx: Context, worker: str, count: int, config: BaseModel) -> None:
    """See `Context.launch`."""
    folder = ctx.state / "gang"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    threads = max(1, ctx.threads // count)
    others = _Others(ctx, folder)
    try:
        for number in range(1, count):
            others.start(_member(ctx, worker, config, folder, threads=threads, number=number, count=count))
        first = replace(ctx, rank=Rank(number=0, count=count, meeting=folder), threads=threads, pids=others.pids)
        run = load_attribute(worker)
        try:
            with others.watched():
                run(first, config)
        except PeerGone as error:
            # Any other error is this process's own, of which the others die as well.
            reason = others.reason(_LAST_WORDS_SECONDS)
            if reason is None:
                raise
            raise reason from error
        others.join()
    finally:
        others.end()
        ctx.elsewhere_bytes = others.peak_bytes()
        shutil.rmtree(folder, ignore_errors=True)


def _member(
    ctx: Context, worker: str, config: BaseModel, folder: Path, *, threads: int, number: int, count: int
) -> Member:
    return Member(
        worker=worker,
        config_class=f"{type(config).__module__}:{type(config).__qualname__}",
        config=config.model_dump(mode="json"),
        stage=ctx.stage,
        fingerprint=ctx.fingerprint,
        out=str(folder / f"out-{number}"),
        state=str(ctx.state),
        inputs={
            name: (str(artifact.folder), artifact.record.model_dump(mode="json"))
            for name, artifact in ctx.inputs.items()
        },
        resources={name: str(path) for name, path in ctx.resources.items()},
        digests=dict(ctx.digests),
        threads=threads,
        number=number,
        count=count,
        meeting=str(folder),
        parent=os.getpid(),
    )


class _Others:
    """The processes of a gang but for the first."""

    def __init__(self, ctx: Context, folder: Path) -> None:
        self._ctx = ctx
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._over = threading.Event()
        self.pids: list[int] = []

    def start(self, member: Member) -> None:
        path = self._folder / f"member-{member.number}.json"
        path.write_text(member.model_dump_json(), encoding="utf-8")
        Path(member.out).mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "danlu.core.gang", str(path)],
            stdin=subprocess.DEVNULL,
            env=environment_of_child(member.threads),
        )
        self._processes.append(process)
        self.pids.append(process.pid)

    @contextlib.contextmanager
    def watched(self) -> Any:
        """Inside, the first process cannot wait for ever for one that is gone."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            reason = self.reason(0.0) or self._left()
            if reason is not None and not self._over.wait(_GRACE_SECONDS):
                # Its libraries wait in a place that no exception reaches.
                self._ctx.emit({"type": "error", "kind": name_of(reason), "text": str(reason)})
                os._exit(1)

    def reason(self, seconds: float) -> DanluError | None:
        """Why one of them ended before its time, or None; waits so long for one to end.

        One that ended because it could not reach another is no reason.
        """
        until = time.monotonic() + seconds
        while True:
            codes = [process.poll() for process in self._processes]
            for number, code in enumerate(codes, start=1):
                if code and self._said(number).get("kind") != PeerGone.__name__:
                    return self._why(number, code)
            if None not in codes or time.monotonic() >= until:
                return None
            time.sleep(_POLL_SECONDS / 4)

    def _left(self) -> DanluError | None:
        """That one of them ended because it could not reach another, or None."""
        codes = [process.poll() for process in self._processes]
        return next((self._why(number, code) for number, code in enumerate(codes, start=1) if code), None)

    def _why(self, number: int, code: int) -> DanluError:
        said = self._said(number)
        if said.get("kind", StageCrashed.__name__) not in {StageCrashed.__name__, PeerGone.__name__}:
            return BY_NAME[said["kind"]](said["text"])
        which = f"Process {number + 1} of {len(self._processes) + 1} of {self._ctx.stage}"
        if said:
            return StageCrashed(f"{which} failed: {said['text']}")
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        hint = ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
        return DanluError(
            f"{which} was ended {how}{hint}, and the others with it. What was saved is safe: the same command "
            "continues from there."
        )

    def _said(self, number: int) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            said: dict[str, Any] = json.loads((self._folder / f"end-{number}.json").read_text(encoding="utf-8"))
            return said
        return {}

    def join(self) -> None:
        """Let them end by themselves."""
        until = time.monotonic() + _LAST_WORDS_SECONDS
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))

    def end(self) -> None:
        """Let none go on."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def peak_bytes(self) -> int:
        """The most memory that they had, in sum; of those that could say it."""
        return sum(int(self._said(number).get("peak_memory_bytes", 0)) for number in range(1, len(self._processes) + 1))


def main(file: str) -> int:
    """One process of a gang; returns 0 when its work is done or was stopped with that of the others."""
    member = Member.model_validate_json(Path(file).read_bytes())
    end_with_parent(member.parent)
    # What it is asked for comes from the first process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    context = Context(
        stage=member.stage,
        fingerprint=member.fingerprint,
        out=Path(member.out),
        state=Path(member.state),
        inputs={
            name: Artifact(Path(folder), Record.model_validate(record))
            for name, (folder, record) in member.inputs.items()
        },
        resources={name: Path(path) for name, path in member.resources.items()},
        digests=member.digests,
        threads=member.threads,
        machine=this_machine(),
        emit=lambda _: None,
        rank=Rank(number=member.number, count=member.count, meeting=Path(member.meeting)),
    )
    config_class: type[BaseModel] = load_attribute(member.config_class)
    end: dict[str, Any] = {}
    try:
        load_attribute(member.worker)(context, config_class.model_validate_json(json.dumps(member.config)))
    except (BudgetReached, Interrupted):
        pass
    except BaseException as error:
        traceback.print_exc()
        said = str(error) if isinstance(error, DanluError) else "".join(traceback.format_exception_only(error)).strip()
        kind = PeerGone.__name__ if isinstance(error, PeerGone) else name_of(error)
        end = {"kind": kind, "text": said}
    end["peak_memory_bytes"] = peak_resident_bytes()
    with contextlib.suppress(OSError):  # the first process may have tidied up already
        (Path(member.meeting) / f"end-{member.number}.json").write_text(json.dumps(end), encoding="utf-8")
    return 1 if "kind" in end else 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
