"""What many tests need: a Context that records events, and a recipe small enough to run in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from danlu.core.artifact import Artifact
from danlu.core.context import Context
from danlu.core.machine import this_machine
from danlu.core.resource import Digests


class Recorder:
    """Collects the events a stage emits."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def texts(self, kind: str) -> list[str]:
        return [event["text"] for event in self.events if event["type"] == kind]


def make_context(
    folder: Path,
    *,
    stage: str = "test",
    inputs: Mapping[str, Artifact] | None = None,
    resources: Mapping[str, Path] | None = None,
    threads: int = 1,
) -> Context:
    """A Context whose `out` and `state` are fresh folders below `folder`."""
    out, state = folder / "out", folder / "state"
    out.mkdir(parents=True, exist_ok=True)
    state.mkdir(parents=True, exist_ok=True)
    resources = resources or {}
    return Context(
        stage=stage,
        fingerprint="0" * 64,
        out=out,
        state=state,
        inputs=inputs or {},
        resources=resources,
        digests={name: Digests().of(path) for name, path in resources.items()},
        threads=threads,
        machine=this_machine(),
        emit=Recorder(),
    )


def as_artifact(folder: Path, stage: str) -> Artifact:
    """Treat a folder that a stage wrote as a whole artifact, for handing it to the next stage in a test."""
    from danlu.core.artifact import Record, content_hash, list_files

    files = list_files(folder)
    record = Record(
        stage=stage,
        version=1,
        fingerprint=content_hash(files),
        content=content_hash(files),
        inputs={},
        resources={},
        config={},
        environment={},
        libraries={},
        files=files,
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:00:00+00:00",
        seconds=0.0,
        attempts=1,
        peak_memory_bytes=0,
        kwh=None,
        danlu="test",
    )
    return Artifact(folder, record)
