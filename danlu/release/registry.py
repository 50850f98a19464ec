"""Which release is live: numbered versions, and the aliases `candidate` and `champion` that point at them.

registry/NAME/versions/N.json        one release that passed its gates; never changed
registry/NAME/aliases/ALIAS.json     where the alias points, where it pointed before, and a log of every move
registry/NAME/lock                   held while anything above changes

An alias moves by one atomic rename, so that a reader sees the old version or the new one. Readers take no lock.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from danlu.core.artifact import RECORD, Artifact
from danlu.core.errors import Refused, StorageError, UserError, from_os_error
from danlu.core.resource import sha256_of
from danlu.core.store import Workspace, write_json_atomically

Alias = Literal["candidate", "champion"]
ALIASES: tuple[Alias, ...] = ("candidate", "champion")
_FORM = "form/"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Version:
    """One release in the registry. `folder` holds `release.json`, `README.md` and `form/`; `created` is UTC."""

    number: int
    fingerprint: str
    folder: Path
    created: str
    verdict: str


def verify(version: Version) -> None:
    """Compare the files of the form with the hashes taken when it was released; call it before loading them.

    Raises `UserError` naming the first file that was changed, removed or added since.
    """
    recorded, shared = _recorded(version)
    there = {
        path.relative_to(version.folder).as_posix(): path
        for path in (version.folder / _FORM).rglob("*")
        if not path.is_dir() and not path.name.startswith(".")  # such as .DS_Store; no engine reads them
    }
    for name in sorted(recorded.keys() | there.keys()):
        if name not in there:
            what = "is gone"
        elif name not in recorded:
            what = "was not there when it was tested"
        elif _hash(there[name]) != recorded[name]:
            what = "is not the file that was tested"
        else:
            continue
        folders = " and ".join(f"the folder {folder}" for folder in (version.folder, *shared))
        raise UserError(
            f"Version {version.number} cannot be used: {version.folder / name} {what}. Restore it from a backup, or "
            f"remove {folders} and run the recipe again: the same inputs make the same release."
        )


def _recorded(version: Version) -> tuple[dict[str, str], list[Path]]:
    """The SHA-256 of each file of the form, and the folder of the export, which may share these files."""
    path = version.folder / RECORD
    try:
        record = json.loads(path.read_bytes())
        hashes = {entry["path"]: entry["sha256"] for entry in record["files"] if entry["path"].startswith(_FORM)}
        fingerprint, inputs = record["fingerprint"], dict(record["inputs"])
        shared = [version.folder.parent.parent / "compress" / inputs["compress"][0]] if "compress" in inputs else []
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"Version {version.number} cannot be checked: {path} is missing or damaged.") from error
    if fingerprint != version.fingerprint:
        raise UserError(f"Version {version.number} cannot be used: {path} is the record of another release.")
    return hashes, shared


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise from_os_error(error) or UserError(f"Cannot read {path}: {error.strerror}.") from error


def names(workspace: Workspace) -> list[str]:
    """The models that have a registry in this workspace."""
    root = workspace.root / "registry"
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []


class Registry:
    """The versions and aliases of one model.

    Every method raises `UserError` for a registry file that is damaged, naming it. Changes are made under a file
    lock, so that two processes may call them at once.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise UserError(f"{name!r} is no name of a model: small letters, digits, dot, dash, underscore.")
        self.name = name
        self._workspace = workspace
        self._root = workspace.root / "registry" / name

    def versions(self) -> list[Version]:
        """Every version, oldest first."""
        folder = self._root / "versions"
        files = folder.glob("*.json") if folder.is_dir() else ()
        numbers = sorted(int(path.stem) for path in files if path.stem.isdecimal())
        return [self._version(number) for number in numbers]

    def register(self, artifact: Artifact) -> Version:
        """Enter a release and point `candidate` at it; one that is already there keeps its number.

        Raises `Refused` for a release whose gates did not pass, and `UserError` for one of another name.
        """
        release = artifact.json("release.json")
        if release["name"] != self.name:
            raise UserError(f"This release is of {release['name']!r}; it cannot be registered as {self.name!r}.")
        if release["verdict"] != "ship":
            failed = "; ".join(f"{gate['expression']}: {gate['reason']}" for gate in release["gates"])
            raise Refused(f"A refused release is not registered ({failed}).")
        with self._lock():
            known = self.versions()
            found = next((version for version in known if version.fingerprint == artifact.fingerprint), None)
            if found is None:
                found = Version(
                    number=known[-1].number + 1 if known else 1,
                    fingerprint=artifact.fingerprint,
                    folder=artifact.folder,
                    created=_now(),
                    verdict=release["verdict"],
                )
                self._write_version(found)
            self._move("candidate", found.number, "register")
        return found

    def promote(self, version: int | str = "candidate") -> Version:
        """Make `version`, as `resolve` takes it, the champion. Promoting the champion changes nothing.

        Raises `UserError` when there is no such version, or its files are not those that were tested.
        """
        with self._lock():
            target = self.resolve(str(version))
            verify(target)
            self._move("champion", target.number, "promote")
        return target

    def rollback(self) -> Version:
        """Make the champion before this one the champion again.

        Raises `UserError` when there is none, or its files are not those that were tested.
        """
        with self._lock():
            state = self._alias("champion")
            if state is None or not state["previous"]:
                raise UserError(f"{self.name!r} has no earlier champion to go back to. {self._known()}")
            target = self.resolve(str(state["previous"][-1]))
            verify(target)
            self._write_alias("champion", target.number, state["previous"][:-1], state, "rollback")
        return target

    def champion(self) -> Version | None:
        """The version that is live, or None before the first promotion."""
        return self.alias("champion")

    def line(self) -> list[Version]:
        """The champion and those that were champions before it, newest first; a rollback takes one away."""
        state = self._alias("champion")
        numbers = [] if state is None else [state["version"], *reversed(state["previous"])]
        return [self._version(number) for number in numbers]

    def alias(self, alias: Alias) -> Version | None:
        """The version that `alias` points at, or None where it points nowhere yet."""
        state = self._alias(alias)
        return None if state is None else self._version(state["version"])

    def history(self) -> list[dict[str, Any]]:
        """Every move of the champion, oldest first: `{"at", "action", "from", "to"}`."""
        state = self._alias("champion")
        return [] if state is None else list(state["log"])

    def resolve(self, wanted: str) -> Version:
        """The version that "champion", "candidate" or a number means.

        Raises `UserError` when there is none, or when its files are gone.
        """
        found: Version | None
        if wanted in ALIASES:
            found = self.alias(wanted)
            if found is None:
                how = "`danlu promote` names one." if self.versions() else ""
                raise UserError(f"{self.name!r} has no {wanted}. {self._known()} {how}".rstrip())
        elif wanted.isdecimal() and self._path_of(int(wanted)).exists():
            found = self._version(int(wanted))
        else:
            raise UserError(
                f"{self.name!r} has no version {wanted!r}; write champion, candidate or a number. {self._known()}"
            )
        if not (found.folder / "form" / "form.json").is_file():
            raise UserError(
                f"The files of {self.name!r} version {found.number} are gone ({found.folder}). Restore them, or run "
                "its recipe again: the same inputs make the same release."
            )
        return found

    def mark(self, alias: str) -> tuple[int, int] | None:
        """Something that changes whenever `alias` moves, cheap enough to ask every second; None without a file."""
        try:
            status = (self._root / "aliases" / f"{alias}.json").stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _known(self) -> str:
        numbers = [str(version.number) for version in self.versions()]
        if numbers:
            return f"Versions: {', '.join(numbers)}."
        others = [name for name in names(self._workspace) if name != self.name]
        models = f" Models here: {', '.join(others)}." if others else ""
        return f"No release of it has passed its gates in {self._workspace.root}; `danlu run` makes one.{models}"

    def _move(self, alias: Alias, number: int, action: str) -> None:
        state = self._alias(alias)
        if state is not None and state["version"] == number:
            return
        previous = [] if state is None else [*state["previous"], state["version"]]
        self._write_alias(alias, number, previous, state, action)

    def _write_alias(
        self, alias: Alias, number: int, previous: list[int], before: dict[str, Any] | None, action: str
    ) -> None:
        step = {"at": _now(), "action": action, "from": before["version"] if before else None, "to": number}
        log = [*(before["log"] if before else []), step]
        self._write(self._root / "aliases" / f"{alias}.json", {"version": number, "previous": previous, "log": log})

    def _write_version(self, version: Version) -> None:
        value = {
            "number": version.number,
            "fingerprint": version.fingerprint,
            "folder": version.folder.resolve().relative_to(self._workspace.root).as_posix(),
            "created": version.created,
            "verdict": version.verdict,
        }
        self._write(self._path_of(version.number), value)

    def _write(self, path: Path, value: object) -> None:
        try:
            write_json_atomically(path, value)
        except OSError as error:
            raise from_os_error(error) or StorageError(f"Cannot write {path}: {error.strerror}.") from error

    def _path_of(self, number: int) -> Path:
        return self._root / "versions" / f"{number}.json"

    def _version(self, number: int) -> Version:
        path = self._path_of(number)
        value = self._read(path, {"number": int, "fingerprint": str, "folder": str, "created": str, "verdict": str})
        if value is None:
            raise UserError(f"The registry points at version {number} of {self.name!r}, but {path} is missing.")
        return Version(
            number=value["number"],
            fingerprint=value["fingerprint"],
            folder=self._workspace.root / value["folder"],
            created=value["created"],
            verdict=value["verdict"],
        )

    def _alias(self, alias: Alias) -> dict[str, Any] | None:
        return self._read(self._root / "aliases" / f"{alias}.json", {"version": int, "previous": list, "log": list})

    def _read(self, path: Path, shape: dict[str, type]) -> dict[str, Any] | None:
        """A registry file, or None where there is none. Raises `UserError` when it is not what was written."""
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error) or UserError(f"Cannot read {path}: {error.strerror}.") from error
        except ValueError:
            value = None
        if not isinstance(value, dict) or any(not isinstance(value.get(key), kind) for key, kind in shape.items()):
            raise UserError(
                f"The registry file {path} is damaged. Restore it from a backup, or remove it and run the recipe "
                "again, then `danlu promote` the version you want live."
            )
        return value

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise from_os_error(error) or StorageError(f"Cannot write {self._root}: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
