"""Where the things a recipe names really lie, and what they hold.

reviews.csv, ./base-model      a file or folder beside the recipe
package://NAME/path            inside an installed Python package
hf://OWNER/NAME                the Hugging Face hub (honours HF_ENDPOINT and HF_HUB_OFFLINE)
modelscope://OWNER/NAME        ModelScope
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from danlu.core.errors import UserError
from danlu.core.lazy import need

_CHUNK_BYTES = 1 << 20


def resolve(resource: str, base: Path) -> Path:
    """The file or folder that `resource` names; relative paths start at the folder `base`.

    Raises `UserError` when there is nothing there.
    """
    scheme, separator, rest = resource.partition("://")
    if not separator:
        try:
            path = (base / Path(resource).expanduser()).resolve()
            there = path.exists()
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{resource[:80]!r} cannot be a path: {error}.") from None
        if not there:
            raise UserError(f"There is no file or folder {resource!r} ({path}). {_neighbours(path)}")
        return path
    if scheme == "package":
        return _in_package(resource, rest)
    if scheme == "hf":
        return _from_hugging_face(rest)
    if scheme == "modelscope":
        return _from_modelscope(rest)
    raise UserError(
        f"Cannot read {resource!r}: expected a path, package://NAME/path, hf://OWNER/NAME or modelscope://OWNER/NAME."
    )


def _neighbours(path: Path) -> str:
    import difflib

    folder = path.parent
    if not folder.is_dir():
        return f"The folder {str(folder)!r} does not exist either."
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return "Did you mean " + " or ".join(repr(name) for name in near) + "?"
    return "Check the path: it is read relative to the recipe's folder."


def _in_package(resource: str, rest: str) -> Path:
    name, _, inside = rest.partition("/")
    if not name:
        raise UserError(f"{resource!r} names no package: expected package://NAME/path.")
    module = name.replace("-", "_")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.submodule_search_locations:
        for location in spec.submodule_search_locations:
            path = Path(location) / inside
            if path.exists():
                return path
        raise UserError(f"The package {name!r} is installed but has no {inside!r} (asked for by {resource!r}).")
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"{resource!r} names the Python package {name!r}, which is not installed. Install it with: "
            f"pip install {name} (the ready recipes need: pip install 'danlu[demo]')."
        ) from None
    path = Path(str(distribution.locate_file(inside)))
    if not path.exists():
        raise UserError(f"The package {name!r} is installed but has no {inside!r} (asked for by {resource!r}).")
    return path


def _from_hugging_face(name: str) -> Path:
    hub: Any = need("huggingface_hub")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.safetensors", "*.model"]))
    except (OSError, ValueError) as error:
        raise UserError(
            f"Could not fetch {name!r} from the Hugging Face hub: {_first_line(error)}. Check the name and your "
            "connection; a mirror is used when HF_ENDPOINT is set; or give a local folder instead."
        ) from error


def _from_modelscope(name: str) -> Path:
    modelscope: Any = need("modelscope", extra="modelscope")
    try:
        return Path(modelscope.snapshot_download(name))
    except (OSError, ValueError) as error:
        raise UserError(
            f"Could not fetch {name!r} from ModelScope: {_first_line(error)}. Check the name and your connection, "
            "or give a local folder instead."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


class Digests:
    """Content hashes of files and folders, remembered by size, time and inode.

    `cache` is a JSON file that may be deleted at any time.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._known: dict[str, list[Any]] = {}
        if cache is not None and cache.exists():
            try:
                self._known = json.loads(cache.read_text(encoding="utf-8"))
            except (ValueError, OSError):
                self._known = {}

    def of(self, path: Path) -> str:
        """SHA-256 of a file, or of the names and hashes of all files below a folder; hexadecimal."""
        if path.is_file():
            return self._file(path)
        whole = hashlib.sha256()
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            relative = file.relative_to(path)
            if any(part.startswith(".") or part == "__pycache__" for part in relative.parts):
                continue
            whole.update(f"{relative.as_posix()}\0{self._file(file)}\n".encode())
        return whole.hexdigest()

    def _file(self, path: Path) -> str:
        state = path.stat()
        mark = [state.st_size, state.st_mtime_ns, state.st_ino]
        known = self._known.get(str(path))
        if known is not None and known[:3] == mark:
            return str(known[3])
        digest = sha256_of(path)
        self._known[str(path)] = [*mark, digest]
        return digest

    def save(self) -> None:
        """Write the cache; a folder that cannot be written is no error."""
        if self._cache is None:
            return
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            beside = self._cache.with_suffix(f".{os.getpid()}.tmp")
            beside.write_text(json.dumps(self._known), encoding="utf-8")
            beside.replace(self._cache)
        except OSError:
            return


def sha256_of(path: Path) -> str:
    """SHA-256 of one file, hexadecimal; reads 1 MiB at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
