"""What was fetched from elsewhere, below the workspace's cache; it may be deleted at any time.

KEY.json            what a place (a URL, a query) gave last: which content, when, and the marks that show a change
content/DIGEST/     the files, never changed once they are there; `.source.json` says where they come from and when
parts/KEY/          what is being fetched, and `done.jsonl`, the files that are whole; it is gone on with where the
                    place can say that they are still the same
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from danlu.core.resource import joint_digest
from danlu.core.store import write_json_atomically

_SIDECAR = ".source.json"
_DONE = "done.jsonl"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """One file: its name below the place, SHA-256, size, and what the place says by which a change would be seen."""

    name: str
    sha256: str
    bytes: int
    mark: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a place gave: `folder` holds `files`; `several` where the place is a folder or a pattern."""

    place: str
    taken: str
    several: bool
    folder: Path
    files: tuple[Fetched, ...]

    @property
    def path(self) -> Path:
        return self.folder if self.several else self.folder / self.files[0].name


class Snapshots:
    """The cache at `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def parts(self, key: str) -> Path:
        """The folder in which a place is fetched."""
        folder = self._root / "parts" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def done(self, key: str) -> dict[str, Fetched]:
        """The files that an earlier attempt fetched whole, by name; they lie in `files` below the parts."""
        found = {}
        try:
            for line in (self._root / "parts" / key / _DONE).read_text(encoding="utf-8").splitlines():
                file = Fetched(**json.loads(line))
                if (self._root / "parts" / key / "files" / file.name).stat().st_size == file.bytes:
                    found[file.name] = file
        except (OSError, ValueError, TypeError):  # nothing there, or a line that a kill cut short
            pass
        return found

    def add_done(self, key: str, file: Fetched) -> None:
        """Note that a file of the parts is whole."""
        with (self.parts(key) / _DONE).open("a", encoding="utf-8") as out:
            out.write(json.dumps(asdict(file), ensure_ascii=False) + "\n")

    def find(self, key: str) -> Snapshot | None:
        """What the place gave last, if it is still whole."""
        try:
            known = json.loads((self._root / f"{key}.json").read_text(encoding="utf-8"))
            files = tuple(Fetched(**entry) for entry in known["files"])
            folder = self._root / "content" / known["content"]
            whole = all((folder / file.name).stat().st_size == file.bytes for file in files)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not whole or not files:
            return None
        return Snapshot(
            place=known["place"], taken=known["taken"], several=known["several"], folder=folder, files=files
        )

    def publish(self, key: str, place: str, staged: Path, files: Sequence[Fetched], *, several: bool) -> Snapshot:
        """Make the files below the folder `staged` the newest of `key`; a reader sees all of them or none."""
        files = sorted(files, key=lambda file: file.name)
        content = joint_digest((file.name, file.sha256) for file in files)[:32]
        folder = self._root / "content" / content
        taken = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        sidecar = origin_of(folder) or {"place": place, "taken": taken}
        (staged / _SIDECAR).write_text(json.dumps(sidecar), encoding="utf-8")
        folder.parent.mkdir(parents=True, exist_ok=True)
        # What is there may have been damaged since; what came just now is whole.
        aside = self._root / "parts" / key / "old"
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)  # of a kill between these lines
            folder.rename(aside)
        staged.rename(folder)
        shutil.rmtree(self._root / "parts" / key, ignore_errors=True)
        entry = {"place": place, "taken": taken, "several": several, "content": content}
        write_json_atomically(self._root / f"{key}.json", entry | {"files": [asdict(file) for file in files]})
        return Snapshot(place=place, taken=taken, several=several, folder=folder, files=tuple(files))


def key_of(*parts: str) -> str:
    """The name of a place in the cache; 32 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()[:32]


def origin_of(path: Path) -> dict[str, Any] | None:
    """`place` and `taken` (ISO 8601, UTC) of a fetched file or folder; None for one that was not fetched.

    Equal content fetched again keeps the time of the first fetch, so that what is made from it stays the same.
    """
    folder = path if path.is_dir() else path.parent
    try:
        found: dict[str, Any] = json.loads((folder / _SIDECAR).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def link(source: Path, target: Path) -> None:
    """`source` as `target` too, without a copy where the disk allows it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
