"""What makes two runs of a stage the same.

A fingerprint covers the stage's resolved configuration, the content of its inputs and resources, and the
stage's version; numeric stages add the library versions, threads and instruction set. It never covers paths,
host names, times, caps or predictions, and of a secret only a mark that tells it from another. What cannot be
fingerprinted raises, so that no run is taken for another by accident.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from danlu.core.config import Config, NotFingerprinted, ResourceMarker

#: The key under which the mark of a secret stands (`Config.secret_mark`).
SECRET = "secret"


def plain(value: Any, digests: Mapping[str, str] | None = None, path: str = "") -> Any:
    """`value` as JSON types; resources become the content hash that `digests` has for their path.

    Raises `TypeError` for a value of a type that has no one spelling (a set, a function, an object), and
    `ValueError` for NaN and infinities.
    """
    if isinstance(value, BaseModel):
        out = {}
        for name, field in type(value).model_fields.items():
            here = f"{path}.{name}" if path else name
            if any(isinstance(marker, NotFingerprinted) for marker in field.metadata):
                continue
            item = getattr(value, name)
            if isinstance(item, str | BaseModel) and any(
                isinstance(marker, ResourceMarker) for marker in field.metadata
            ):
                if digests is None or here not in digests:
                    raise TypeError(f"No content hash for the resource {here} = {item!r}")
                out[name] = f"content:{digests[here]}"
            else:
                out[name] = plain(item, digests, here)
        mark = value.secret_mark() if isinstance(value, Config) else None
        return out if mark is None else out | {SECRET: mark}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path or 'A value'} is {value}; a fingerprint needs a finite number")
        return value
    if isinstance(value, list | tuple):
        return [plain(item, digests, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{path or 'A mapping'} has keys that are not text")
        return {key: plain(value[key], digests, f"{path}.{key}") for key in sorted(value)}
    raise TypeError(f"{path or 'A value'} is a {type(value).__name__}, which has no fingerprint")


def digest(value: Any) -> str:
    """SHA-256 of `value` as canonical JSON, hexadecimal."""
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def fingerprint(
    *,
    stage: str,
    version: int,
    config: BaseModel,
    inputs: Mapping[str, str],
    resources: Mapping[str, str],
    environment: Mapping[str, str],
) -> str:
    """The fingerprint of one run of a stage, 64 hexadecimal digits.

    `inputs` are the content hashes of the artifacts read, by stage; `resources` the content hashes of what the
    configuration names, by dotted path; `environment` is empty for a stage whose numbers do not depend on it.
    """
    return digest(
        {
            "stage": stage,
            "version": version,
            "config": plain(config, resources),
            "inputs": dict(inputs),
            "environment": dict(environment),
        }
    )
