"""Models and data sets by name from the Hugging Face hub and from ModelScope.

hf://OWNER/NAME[@REVISION], modelscope://OWNER/NAME[@REVISION]: a model's configuration, tokenizer and safetensors; a
short name of `danlu.core.bases` may stand for OWNER/NAME.
hf://datasets/OWNER/NAME[@REVISION][/path], modelscope://datasets/OWNER/NAME[@REVISION][/path]: a file, a folder or a
pattern in the repository; without a path, every data file in it.
The hub's own library fetches, checks, resumes and caches; private repositories use its own login (`hf auth login`,
HF_TOKEN).
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.core.bases import BASES
from danlu.core.errors import ModelError, UserError, first_line
from danlu.core.lazy import need
from danlu.core.resource import Site
from danlu.sources.places import ENDINGS

#: What is fetched where no path is given: data files, plain and compressed, and what says which belong together.
_DATA_FILES = [
    *(f"*{ending}{packed}" for ending in ENDINGS for packed in ("", ".gz", ".zst", ".bz2", ".xz")),
    "*.zip",
]

#: What is fetched of a model: never pickled weights, nor what other frameworks and formats lay beside it.
_MODEL_FILES = ["*.json", "*.txt", "*.jinja", "*.model", "*.safetensors"]
_NOT_OF_A_MODEL = ["onnx/*", "openvino/*", "original/*"]

_MODEL = re.compile(r"(?P<name>(?:[\w.-]+/)?[\w.-]+)(?:@(?P<revision>[^@]+))?/?")
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


def hugging_face_model(resource: str, rest: str, site: Site) -> Path:
    """The local folder of a model of the Hugging Face hub."""
    name, revision = _model(resource, rest, "hf")
    hub: Any = need("huggingface_hub")
    errors: Any = need("huggingface_hub.errors")
    site.say(f"Fetching {_shown(resource, 'hf', name)}")
    try:
        folder = hub.snapshot_download(
            name, revision=revision, allow_patterns=_MODEL_FILES, ignore_patterns=_NOT_OF_A_MODEL
        )
    except errors.RevisionNotFoundError:
        raise UserError(f"The model {name!r} has no revision {revision!r} on the hub.") from None
    except errors.GatedRepoError:
        raise UserError(
            f"The model {name!r} asks you to accept its terms first: do so at its page on the hub, then run `hf auth "
            "login` or set HF_TOKEN."
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"The Hugging Face hub has no model {name!r}, or it is private. Check the name (`danlu recipe bases` lists "
            "some); for a private one run `hf auth login` or set HF_TOKEN."
        ) from None
    except (OSError, ValueError, errors.HfHubHTTPError) as error:
        raise _failed(resource, "the Hugging Face hub", error) from error
    return _with_weights(resource, Path(folder), name)


def modelscope_model(resource: str, rest: str, site: Site) -> Path:
    """The local folder of a model of ModelScope."""
    name, revision = _model(resource, rest, "modelscope")
    library: Any = need("modelscope", extra="modelscope")
    errors: Any = need("modelscope_hub.errors", extra="modelscope")
    site.say(f"Fetching {_shown(resource, 'modelscope', name)}")
    try:
        folder = library.snapshot_download(
            name, revision=revision, allow_patterns=_MODEL_FILES, ignore_patterns=_NOT_OF_A_MODEL
        )
    except errors.NotExistError:
        raise UserError(
            f"ModelScope has no model {name!r} (or no revision {revision or 'master'!r} of it). Check the name; for a "
            "private one log in with `modelscope login`."
        ) from None
    except (OSError, ValueError, errors.HubError) as error:
        raise _failed(resource, "ModelScope", error) from error
    return _with_weights(resource, Path(folder), name)


def _model(resource: str, rest: str, hub: str) -> tuple[str, str | None]:
    """OWNER/NAME and the revision of a model; a short name stands for the address of its base on this hub."""
    found = _MODEL.fullmatch(rest)
    if found is None:
        scheme = resource.partition("://")[0]
        raise UserError(f"{resource!r} names no model: expected {scheme}://OWNER/NAME[@REVISION].")
    base = BASES.get(found["name"])
    address = found["name"] if base is None else base.address(hub)
    if address is None:
        raise UserError(f"No copy of the base {found['name']!r} on ModelScope is known; take it as {found['name']!r}.")
    return address, found["revision"]


def _shown(resource: str, hub: str, name: str) -> str:
    """A resource and, where it does not say so itself, the address that is fetched."""
    address = f"{hub}://{name}"
    return resource if resource.startswith(address) else f"{resource} ({address})"


def _with_weights(resource: str, folder: Path, name: str) -> Path:
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"The model {name!r} (asked for by {resource!r}) has no safetensors weights. Danlu reads no pickled ones, "
            "which can run any code when they are opened. On a machine where you trust them, load the model with "
            "transformers, call save_pretrained on it and on its tokenizer, and give that folder."
        )
    return folder


def hugging_face_data(resource: str, rest: str, site: Site) -> Path:
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


def modelscope_data(resource: str, rest: str, site: Site) -> Path:
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
