"""Data sets by name from the Hugging Face hub and from ModelScope.

hf://datasets/OWNER/NAME[@REVISION][/path], modelscope://datasets/OWNER/NAME[@REVISION][/path]: a file, a folder or a
pattern in the repository; without a path, every data file in it. The hub's own library fetches, checks, resumes and
caches; private repositories use its own login (`hf auth login`, HF_TOKEN).
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.core.errors import UserError, first_line
from danlu.core.lazy import need
from danlu.core.resource import Site
from danlu.sources.places import ENDINGS

#: What is fetched where no path is given: data files, plain and compressed, and what says which belong together.
_DATA_FILES = [
    *(f"*{ending}{packed}" for ending in ENDINGS for packed in ("", ".gz", ".zst", ".bz2", ".xz")),
    "*.zip",
]

_NAME = re.compile(
    r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?(?:/(?P<inside>.+?))?/?",
)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    name: str
    revision: str | None
    inside: str

    def patterns(self) -> list[str]:
        if not self.inside:
            return _DATA_FILES
        # A folder's files, or the file or pattern itself.
        return [self.inside, f"{self.inside}/*"]


def hugging_face(resource: str, rest: str, site: Site) -> Path:
    """The local folder, file or pattern of a data set of the Hugging Face hub."""
    asked = _parse(resource, rest)
    hub: Any = need("huggingface_hub")
    errors: Any = need("huggingface_hub.errors")
    site.say(f"Fetching {resource}")
    try:
        folder = hub.snapshot_download(
            asked.name, repo_type="dataset", revision=asked.revision, allow_patterns=asked.patterns()
        )
    except errors.RevisionNotFoundError:
        raise UserError(f"The data set {asked.name!r} has no revision {asked.revision!r} on the hub.") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"The Hugging Face hub has no data set {asked.name!r}, or it is private. Check the name; for a private one "
            "run `hf auth login` or set HF_TOKEN."
        ) from None
    except (OSError, ValueError, errors.HfHubHTTPError) as error:
        raise _failed(resource, "the Hugging Face hub", error) from error
    return _inside(resource, Path(folder), asked)


def modelscope(resource: str, rest: str, site: Site) -> Path:
    """The local folder, file or pattern of a data set of ModelScope."""
    asked = _parse(resource, rest)
    library: Any = need("modelscope", extra="modelscope")
    errors: Any = need("modelscope_hub.errors", extra="modelscope")
    site.say(f"Fetching {resource}")
    try:
        folder = library.dataset_snapshot_download(asked.name, revision=asked.revision, allow_patterns=asked.patterns())
    except errors.NotExistError:
        raise UserError(
            f"ModelScope has no data set {asked.name!r} (or no revision {asked.revision or 'master'!r} of it). Check "
            "the name; for a private one log in with `modelscope login`."
        ) from None
    except (OSError, ValueError, errors.HubError) as error:
        raise _failed(resource, "ModelScope", error) from error
    return _inside(resource, Path(folder), asked)


def _parse(resource: str, rest: str) -> _Asked:
    found = _NAME.fullmatch(rest)
    if found is None:
        scheme = resource.partition("://")[0]
        raise UserError(f"{resource!r} names no data set: expected {scheme}://datasets/OWNER/NAME[@REVISION][/path].")
    return _Asked(name=found["name"], revision=found["revision"], inside=found["inside"] or "")


def _inside(resource: str, folder: Path, asked: _Asked) -> Path:
    path = folder / asked.inside
    if path.exists() or (glob.has_magic(asked.inside) and glob.glob(str(path), recursive=True)):
        return path
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    held = f" It has {', '.join(names[:5])}." if names else ""
    raise UserError(f"The data set {asked.name!r} has no {asked.inside!r} (asked for by {resource!r}).{held}")


def _failed(resource: str, where: str, error: Exception) -> UserError:
    return UserError(
        f"Could not fetch {resource!r} from {where}: {first_line(error)}. Check the name and your "
        "connection (HF_ENDPOINT and MODELSCOPE_DOMAIN name a mirror), or give a local folder instead."
    )
