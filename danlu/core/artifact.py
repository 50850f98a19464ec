"""What a stage leaves behind: a folder of files and the record that says where they come from."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from danlu.core.fingerprint import digest
from danlu.core.resource import sha256_of

RECORD = "record.json"

#: Files below this folder of an artifact (TensorBoard, timings) say how it came about; they do not count as content.
LOGS = "logs"

#: Where the models of an ensemble lie, in folders 0, 1 and so on: of a checkpoint and of a form alike.
MEMBERS = "members"


class FileEntry(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True)

    path: str
    bytes: int
    sha256: str


class Record(BaseModel):
    """`record.json`: written last, so that a folder without one is no artifact.

    `inputs` maps each stage read to `[fingerprint, content]` of its artifact. `content` is the hash over the
    names and hashes of `files` outside `logs/`. `seconds` is the wall time of all attempts together;
    `peak_memory_bytes` is resident memory of the stage's process and its gang. `kwh` is the energy of all attempts
    together, None where part of it is not known; `kwh_by` says how it is known: `rapl`, `nvml` or, from CPU time,
    `estimated`.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    version: int
    fingerprint: str
    content: str
    inputs: dict[str, list[str]]
    resources: dict[str, str]
    config: dict[str, Any]
    environment: dict[str, str]
    libraries: dict[str, str]
    files: list[FileEntry]
    started: str
    finished: str
    seconds: float
    attempts: int
    peak_memory_bytes: int
    kwh: float | None
    kwh_by: str | None = None
    danlu: str


class Artifact:
    """A whole artifact on disk: `folder`, its `record`, and readers for what it holds."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.record = record

    @property
    def fingerprint(self) -> str:
        return self.record.fingerprint

    @property
    def content(self) -> str:
        return self.record.content

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def json(self, name: str) -> Any:
        """The parsed JSON file `name` of this artifact."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def bytes(self) -> int:
        """Size of all files, in bytes."""
        return sum(entry.bytes for entry in self.record.files)

    def __repr__(self) -> str:
        return f"Artifact({self.record.stage}, {self.fingerprint[:12]}, {str(self.folder)!r})"


def origin_of(folder: Path) -> dict[str, Any] | None:
    """Which artifact lies in `folder`: its stage, fingerprint, content and inputs; None where it holds none."""
    try:
        record = Record.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    return record.model_dump(include={"stage", "fingerprint", "content", "inputs"})


def list_files(folder: Path) -> list[FileEntry]:
    """Every file below `folder` but the record, sorted by path, with its size and hash."""
    return [
        FileEntry(path=file.relative_to(folder).as_posix(), bytes=file.stat().st_size, sha256=sha256_of(file))
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != RECORD
    ]


def content_hash(files: list[FileEntry]) -> str:
    """Hash of the files that count as content."""
    return digest([[entry.path, entry.sha256] for entry in files if not entry.path.startswith(f"{LOGS}/")])


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON with sorted keys, so that equal values give equal files.

    Raises `ValueError` on NaN: a score that is missing is written as null and fails its gate.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def link_tree(source: Path, target: Path) -> None:
    """Give `target` the files of `source` by hard links, so that it takes no further space.

    Copies where the file system has no hard links. Artifacts are never written again, so sharing is safe.
    """
    for path in sorted(source.rglob("*")):
        if path.is_file():
            here = target / path.relative_to(source)
            here.parent.mkdir(parents=True, exist_ok=True)
            here.unlink(missing_ok=True)
            try:
                os.link(path, here)
            except OSError:
                shutil.copyfile(path, here)
