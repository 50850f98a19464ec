"""Where the things a recipe names really lie, and what they hold.

reviews.csv, ./base-model         a file or folder beside the recipe
data/*.jsonl, data/**/*.csv       every file that fits, in the order of their names
package://NAME/path               inside an installed Python package
qwen3-0.6b                        a model by its short name (see `danlu.core.bases`; `danlu recipe bases` lists them)
hf://OWNER/NAME[@REVISION]        a model of the Hugging Face hub (honours HF_ENDPOINT and HF_HUB_OFFLINE)
hf://datasets/OWNER/NAME[/path]   a data set of it
corpus://NAME                     the sides of the corpus that the last run of NAME made
run://NAME                        the model that the last run of NAME trained, as its training left it
modelscope://OWNER/NAME[@REVISION] a model of ModelScope; modelscope://datasets/OWNER/NAME[/path] a data set
s3://, oss://, gs://, https://    anything fsspec has a driver for, fetched once into the workspace's cache
"""

from __future__ import annotations

import difflib
import glob
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel

from danlu.core import bases
from danlu.core.config import ComposedResource
from danlu.core.errors import UserError

_CHUNK_BYTES = 1 << 20

#: What tells of an artifact and is none of its content; see `danlu.core.artifact`.
_RECORD, _LOGS = "record.json", "logs/"


def _nothing(*_: object) -> None:
    """A listener that looks away."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where and how resources are looked for.

    `base`: the folder that relative paths start at. `cache`: where fetched files are kept; None where nothing may be
    fetched. `workspace`: the `.danlu` folder, for what earlier runs made. `refresh`: take fresh snapshots, whatever is
    in the cache. `say` is told one line when something is fetched. `pulse` is called every MiB or so; what it raises
    ends the fetching, which can go on later.
    """

    base: Path
    cache: Path | None = None
    workspace: Path | None = None
    refresh: bool = False
    say: Callable[[str], None] = _nothing
    pulse: Callable[[], None] = _nothing


@dataclass(kw_only=True)
class Resolver:
    """Finds each resource once, so that every stage of a run sees the same bytes."""

    site: Site
    _known: dict[str, Path] = field(default_factory=dict)

    def of(self, resource: str | BaseModel) -> Path:
        """The file, folder or pattern that `resource` stands for. Raises `UserError` when there is nothing there."""
        key = resource if isinstance(resource, str) else resource.model_dump_json()
        if key not in self._known:
            self._known[key] = _locate(resource, self.site)
        return self._known[key]


def resolve(resource: str | BaseModel, base: Path, cache: Path | None = None) -> Path:
    """The file or folder that `resource` names; relative paths start at the folder `base`.

    A pattern such as `data/*.csv` comes back as a path with the pattern in it, which `listed` lists. Raises
    `UserError` when there is nothing there.
    """
    return _locate(resource, Site(base=base, cache=cache))


def check(resource: str | BaseModel, base: Path) -> None:
    """Look whether `resource` can be meant, and fetch nothing.

    Raises `UserError` for a local file that is not there, an unknown scheme, or a password in a URL.
    """
    if not isinstance(resource, str):
        return
    scheme, _, rest = resource.partition("://")
    if is_local(resource):
        resolve(resource, base)
    elif scheme == bases.SCHEME:
        _only_by_name(rest, base)
    elif scheme not in _SCHEMES:
        _load(_ANY_URL_CHECK)(resource)


def is_local(resource: str) -> bool:
    """Whether `resource` is on this machine, so that a look at it fetches nothing."""
    scheme, separator, _ = resource.partition("://")
    return not separator or scheme in _LOCAL_SCHEMES


def _locate(resource: str | BaseModel, site: Site) -> Path:
    if not isinstance(resource, str):
        assert isinstance(resource, ComposedResource)
        found: Path = _load(resource.resolver)(resource, site)
        return found
    scheme, separator, rest = resource.partition("://")
    if not separator:
        return _beside(resource, site.base)
    return _SCHEMES.get(scheme, _by_any_url)(resource, rest, site)


def _beside(resource: str, base: Path) -> Path:
    try:
        path = (base / Path(resource).expanduser()).resolve()
        there = path.exists() or any(True for _ in _matches(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{resource[:80]!r} cannot be a path: {error}.") from None
    if not there and glob.has_magic(resource):
        raise UserError(
            f"No file fits {resource!r} ({path}). {_neighbours(_fixed_part(path) / 'x')} A pattern is read relative "
            "to the recipe's folder; * stands for part of a name, ** for any folders."
        )
    if not there:
        raise UserError(
            f"There is no file or folder {resource!r} ({path}). {_neighbours(path)}{_perhaps_a_base(resource)}"
        )
    return path


def _perhaps_a_base(resource: str) -> str:
    """A hint for who meant a model by name and mistyped it."""
    near = [] if "/" in resource else bases.near_names(resource)
    if not near:
        return ""
    return f" A model by name is {' or '.join(map(repr, near))}; `danlu recipe bases` lists them."


def _by_name(_resource: str, name: str, site: Site) -> Path:
    """A model of the table of bases, from the Hugging Face hub."""
    _only_by_name(name, site.base)
    return _from_hugging_face(name, bases.BASES[name].hugging_face, site)


def _only_by_name(name: str, folder: Path) -> None:
    """Refuse a name that also stands for something on this machine, and one that is not in the table."""
    base = bases.BASES.get(name)
    if base is None:
        raise UserError(f"There is no base {name!r}.{_perhaps_a_base(name) or ' See `danlu recipe bases`.'}")
    if (folder / name).exists():
        raise UserError(
            f"{name!r} is the name of a base and of a file or folder ({folder / name}). Write './{name}' for that one, "
            f"or 'hf://{base.hugging_face}' for the base."
        )


def _by_any_url(resource: str, _rest: str, site: Site) -> Path:
    found: Path = _load(_ANY_URL)(resource, site)
    return found


def _load(name: str) -> Any:
    """The function that `module:function` names; core knows the rooms above it by name only."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


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


def _in_package(resource: str, rest: str, _site: Site | None = None) -> Path:
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


def _from_hugging_face(resource: str, rest: str, site: Site) -> Path:
    return _from_hub("hugging_face", resource, rest, site)


def _from_modelscope(resource: str, rest: str, site: Site) -> Path:
    return _from_hub("modelscope", resource, rest, site)


def _from_hub(hub: str, resource: str, rest: str, site: Site) -> Path:
    kind = "data" if rest.startswith("datasets/") else "model"
    found: Path = _load(f"danlu.sources.hub:{hub}_{kind}")(resource, rest.removeprefix("datasets/"), site)
    return found


def _corpus_of_last_run(resource: str, name: str, site: Site) -> Path:
    """What the corpus of the last run of NAME says about the sides of its rows."""
    return _made_by_last_run(resource, name, site, stage="data", file=_SIDES, what="a corpus") / _SIDES


def _model_of_last_run(resource: str, name: str, site: Site) -> Path:
    """The checkpoint of the last run of NAME that has trained. Raises `UserError` where it is no neural network."""
    folder = _made_by_last_run(resource, name, site, stage="train", file="", what="a trained model")
    if (folder / _MODEL).is_file():
        return folder
    made = "an ensemble of its folds" if (folder / _MEMBERS).is_dir() else "a classic model"
    raise UserError(
        f"{resource!r}: the last run of {name!r} made {made}, which nothing can begin with or learn from; expected one "
        "neural network. Run that recipe without folds.release: ensemble or model.classic, or give the folder of the "
        f"checkpoint that you mean, below {folder.parent}."
    )


def _made_by_last_run(resource: str, name: str, site: Site, *, stage: str, file: str, what: str) -> Path:
    """The artifact of `stage`, with a `file` in it (whatever is in it for ""), of the last run of NAME that has one.

    Named by when they started; a run that was stopped before that stage hides no earlier one, nor does one whose
    artifact was cleared away.
    """
    if site.workspace is None:
        raise UserError(f"{resource!r} names a run, and there is no workspace to look for it in.")
    runs = site.workspace / "runs"
    for record in sorted((runs / name).glob("[0-9]*.json"), reverse=True):
        try:
            stages = json.loads(record.read_text(encoding="utf-8"))["stages"]
            folder: Path = next(site.workspace / row["folder"] for row in stages if row["stage"] == stage)
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            continue
        if (folder / file).exists():
            return folder
    known = sorted(path.name for path in runs.iterdir() if path.name != name) if runs.is_dir() else []
    near = difflib.get_close_matches(name, known, n=1)
    scheme = resource.partition("://")[0]
    hint = f" Did you mean {scheme}://{near[0]}?" if near else ""
    raise UserError(
        f"No run {name!r} with {what} is in {site.workspace}.{hint} `danlu list` shows what was run; expected "
        f"{scheme}://NAME, {_OR_A_PATH[scheme]}."
    )


#: The file of a corpus that says on which side its rows are.
_SIDES = "sides.parquet"

#: A file that every neural network has, and the folder of an ensemble's models.
_MODEL, _MEMBERS = "config.json", "members"

#: What may be written instead of the name of a run.
_OR_A_PATH = {"corpus": "or the path of a corpus's sides.parquet", "run": "or the folder of a model"}

_ANY_URL = "danlu.sources.fetch:fetch"
_ANY_URL_CHECK = "danlu.sources.fetch:check"

_LOCAL_SCHEMES = ("file", "package")

#: What each scheme means; every other one is left to fsspec.
_SCHEMES: dict[str, Callable[[str, str, Site], Path]] = {
    "file": lambda _resource, rest, site: _beside(rest, site.base),
    "package": _in_package,
    "hf": _from_hugging_face,
    "modelscope": _from_modelscope,
    bases.SCHEME: _by_name,
    "corpus": _corpus_of_last_run,
    "run": _model_of_last_run,
}


def listed(path: Path) -> list[tuple[str, Path]]:
    """The files that a resolved resource stands for, with their names below it, sorted by name.

    A file stands for itself; a folder for all below it but hidden ones and `__pycache__`; a pattern for what fits.
    """
    if path.is_file():
        return [(path.name, path)]
    root = path if path.is_dir() else _fixed_part(path)
    found = path.rglob("*") if path.is_dir() else _matches(path)
    names = {file.relative_to(root).as_posix(): file for file in found if file.is_file()}
    hidden = {name for name in names if any(part[0] == "." or part == "__pycache__" for part in name.split("/"))}
    return sorted((name, file) for name, file in names.items() if name not in hidden)


def _content(path: Path) -> list[tuple[str, Path]]:
    """The files of a folder or pattern that make its content: of an artifact, as there, neither record nor logs.

    So a model that was trained anew, and came out the same, is the same base.
    """
    files = listed(path)
    try:
        record = json.loads((path / _RECORD).read_text(encoding="utf-8"))
        artifact = record["fingerprint"] == path.name and "inputs" in record
    except (OSError, ValueError, LookupError, TypeError):
        artifact = False
    return [row for row in files if row[0] != _RECORD and not row[0].startswith(_LOGS)] if artifact else files


def _matches(path: Path) -> Iterator[Path]:
    """The files that fit a pattern; none for a path without one."""
    if glob.has_magic(str(path)):
        yield from (Path(name) for name in glob.iglob(str(path), recursive=True) if os.path.isfile(name))


def _fixed_part(path: Path) -> Path:
    """The deepest folder above a pattern that has no sign of a pattern in it."""
    return next(parent for parent in path.parents if not glob.has_magic(str(parent)))


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
        """SHA-256 of a file, or of the names and hashes of all files of a folder or pattern; hexadecimal."""
        if path.is_file():
            return self._file(path)
        return joint_digest((name, self._file(file)) for name, file in _content(path))

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
            beside = self._cache.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
            beside.write_text(json.dumps(self._known), encoding="utf-8")
            beside.replace(self._cache)
        except OSError:
            return


def joint_digest(files: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over names and hashes of files, hexadecimal."""
    whole = hashlib.sha256()
    for name, digest in files:
        whole.update(f"{name}\0{digest}\n".encode())
    return whole.hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of one file, hexadecimal; reads 1 MiB at a time."""
    with path.open("rb") as file:
        return sha256_of_stream(file)


def sha256_of_stream(stream: IO[bytes]) -> str:
    """SHA-256 of all that is left of a stream, hexadecimal."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
