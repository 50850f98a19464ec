"""Where artifacts live: the workspace folder `.danlu`.

lock                      held while a run is going on
artifacts/STAGE/PRINT/    whole artifacts; the record is written last
work/STAGE-PRINT/         a stage under way: out/ becomes the artifact, state/ survives a kill
runs/NAME/                what each run of a recipe used, newest in latest.json
registry/NAME/            releases, versions and aliases (see danlu.release)
cache/                    may be deleted at any time
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from danlu.core.artifact import RECORD, Artifact, Record
from danlu.core.errors import Busy, StorageError, from_os_error


class Workspace:
    """A `.danlu` folder. Creating the object touches nothing; `open()` makes the folder.

    Artifacts are published so that a reader sees a whole one or none: files are synced, the folder is renamed
    into place, and the record is written last.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def open(self) -> Workspace:
        """Make the folder; raises `StorageError` where that is not allowed."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if not (self.root / ".gitignore").exists():
                (self.root / ".gitignore").write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise from_os_error(error) or StorageError(
                f"Cannot make the workspace {self.root}: {error.strerror}. Choose another with --workspace."
            ) from error
        return self

    @contextlib.contextmanager
    def lock(self, wait_seconds: float = 0.0) -> Iterator[int]:
        """Hold the workspace for one run; yields the file descriptor, which child processes inherit.

        A child that outlives its parent keeps the lock, so that two runs never write the same folder.
        Raises `Busy` when another run holds it for longer than `wait_seconds`.
        """
        self.open()
        try:
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise from_os_error(error) or error from error
        until = time.monotonic() + wait_seconds
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
                        raise Busy(
                            f"Another run (process {holder}) is using the workspace {self.root}. Wait for it to "
                            "end, add --wait, or choose another folder with --workspace."
                        ) from None
                    time.sleep(0.2)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def folder_of(self, stage: str, fingerprint: str) -> Path:
        return self.root / "artifacts" / stage / fingerprint

    def work_of(self, stage: str, fingerprint: str) -> Path:
        return self.root / "work" / f"{stage}-{fingerprint[:24]}"

    def find(self, stage: str, fingerprint: str) -> Artifact | None:
        """The whole artifact with this fingerprint, or None.

        An artifact with a file missing or of another size is not whole: it is left where it is and made again.
        """
        folder = self.folder_of(stage, fingerprint)
        try:
            record = Record.model_validate_json((folder / RECORD).read_bytes())
        except (OSError, ValidationError):
            return None
        for entry in record.files:
            try:
                if (folder / entry.path).stat().st_size != entry.bytes:
                    return None
            except OSError:
                return None
        return Artifact(folder, record)

    def publish(self, out: Path, record: Record) -> Artifact:
        """Make the files in `out` the artifact that `record` describes.

        Raises `StorageError` when the disk is full; nothing half-made is taken for whole then.
        """
        folder = self.folder_of(record.stage, record.fingerprint)
        try:
            for entry in record.files:
                sync(out / entry.path)
            for inner in sorted((path for path in out.rglob("*") if path.is_dir()), reverse=True):
                sync(inner)
            folder.parent.mkdir(parents=True, exist_ok=True)
            if folder.exists():
                shutil.rmtree(folder)
            out.rename(folder)
            sync(folder.parent)
            write_atomically(folder / RECORD, record.model_dump_json(indent=2) + "\n")
        except OSError as error:
            raise from_os_error(error) or error from error
        return Artifact(folder, record)

    def artifacts(self, stage: str | None = None) -> list[Artifact]:
        """Every whole artifact, oldest first."""
        pattern = f"{stage or '*'}/*/{RECORD}"
        found = []
        for path in (self.root / "artifacts").glob(pattern):
            artifact = self.find(path.parent.parent.name, path.parent.name)
            if artifact is not None:
                found.append(artifact)
        return sorted(found, key=lambda artifact: artifact.record.finished)


def sync(path: Path) -> None:
    """Make a file, or a folder's entries, safe from a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the file `path` by one with `content`: a reader sees the old one or the new one, also after a crash.

    A text is written in UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_json_atomically(path: Path, value: object) -> None:
    """`write_atomically` of `value` as JSON."""
    write_atomically(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
