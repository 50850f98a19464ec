"""Who is compared: releases of this workspace, models behind endpoints, and files of predictions."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from danlu.compare.config import ANY, DEFAULT_KEY, EndpointsConfig, PriceConfig
from danlu.core.artifact import RECORD, Artifact
from danlu.core.errors import UserError
from danlu.core.store import Workspace
from danlu.core.urls import endpoint_address, without_secrets
from danlu.data.card import trained_rows
from danlu.engines.base import Form, read_form
from danlu.release.registry import Registry, Version, verify

Kind = Literal["release", "endpoint", "file"]

#: Endings of files that may hold predictions; another file is taken for one where it is there.
_FILES = frozenset((".csv", ".tsv", ".xlsx", ".jsonl", ".json", ".parquet"))
_RELEASE = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]{0,63})(?:@(?P<version>champion|candidate|[0-9]+))?")
_OPENAI = "https://api.openai.com/v1"

#: What an entrant may be, for messages.
EXPECTED = (
    "Expected NAME, NAME@champion, NAME@2, endpoint:URL#MODEL, openai:MODEL, or a file of predictions such as "
    "answers.csv."
)


@dataclass(frozen=True, kw_only=True)
class Release:
    """A released model. `corpus` is what it was trained on, None where that is gone; `facts`: what else is known."""

    name: str
    version: Version
    form: Form
    corpus: Artifact | None
    facts: Mapping[str, Any]
    kind: Kind = "release"

    @property
    def folder(self) -> Path:
        """The folder of the form that answers."""
        return self.version.folder / "form"


@dataclass(frozen=True, kw_only=True)
class EndpointModel:
    """A model that answers over HTTP. `price`: None where none was given."""

    name: str
    base_url: str
    model: str
    key: str | None = field(repr=False)
    price: PriceConfig | None
    kind: Kind = "endpoint"


@dataclass(frozen=True, kw_only=True)
class File:
    """Answers that somebody else's model gave."""

    name: str
    path: Path
    kind: Kind = "file"


Entrant = Release | EndpointModel | File


def read_entrants(
    texts: tuple[str, ...], workspace: Workspace, config: EndpointsConfig, environment: Mapping[str, str] | None = None
) -> list[Entrant]:
    """The entrants that `texts` name, in their order.

    Raises `UserError` for one that is not there, is named twice, or lacks its key.
    """
    if len(texts) < 2:
        raise UserError(f"One model alone cannot be compared: {len(texts)} came, at least two are needed. {EXPECTED}")
    environment = os.environ if environment is None else environment
    found = [_entrant(text, workspace, config, environment) for text in texts]
    names = [entrant.name for entrant in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name} is named twice; name each model once.")
    _check_used(config, [entrant.model for entrant in found if isinstance(entrant, EndpointModel)])
    return found


def _entrant(text: str, workspace: Workspace, config: EndpointsConfig, environment: Mapping[str, str]) -> Entrant:
    prefix, colon, rest = text.partition(":")
    if colon and prefix in _PREFIXES:
        base_url, model = _PREFIXES[prefix](rest)
        return _endpoint_model(base_url, model, config, environment)
    path = Path(text)
    if path.is_file() or path.suffix.lower() in _FILES:
        if not path.is_file():
            raise UserError(f"There is no file {text!r}. {EXPECTED}")
        return File(name=path.name, path=path)
    match = _RELEASE.fullmatch(text)
    if match is None:
        raise UserError(f"{text!r} names no model. {EXPECTED}")
    return _release(match["name"], match["version"] or "champion", workspace)


def _endpoint(rest: str) -> tuple[str, str]:
    url, _, model = rest.partition("#")
    if not model:
        raise UserError(
            f"endpoint:{without_secrets(url)} names no model; write endpoint:URL#MODEL, such as "
            "endpoint:http://localhost:8000/v1#qwen3-8b."
        )
    try:
        return endpoint_address(url), model
    except ValueError as error:
        raise UserError(f"The endpoint of {model} cannot be used: {error}.") from None


def _openai(rest: str) -> tuple[str, str]:
    if not rest:
        raise UserError("openai: names no model; write openai:MODEL.")
    return _OPENAI, rest


#: What comes before the colon -> the base of the address, and the model.
_PREFIXES: dict[str, Callable[[str], tuple[str, str]]] = {"endpoint": _endpoint, "openai": _openai}


def _endpoint_model(
    base_url: str, model: str, config: EndpointsConfig, environment: Mapping[str, str]
) -> EndpointModel:
    host = urlsplit(base_url).netloc
    named = config.key_env.get(model, config.key_env.get(ANY))
    # A key is no one's but its owner's: a stranger is sent the one that was named for it, or none.
    variable = named or (DEFAULT_KEY if _may_have_default(base_url) else None)
    key = None if variable is None else environment.get(variable, "").strip() or None
    if key is None and (named or base_url == _OPENAI):
        raise UserError(
            f"The environment variable {variable}, which holds the key of {model} at {host}, is not set. Set it "
            f"(export {variable}=...), or name another with --key-env."
        )
    price = config.prices.get(model, config.prices.get(ANY))
    if price is None and config.max_usd is not None:
        raise UserError(f"--max-usd caps what {model} may cost, but its price is not known: --price {model}=IN/OUT.")
    return EndpointModel(name=f"{model} at {host}", base_url=base_url, model=model, key=key, price=price)


def _may_have_default(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    if base_url.startswith(_OPENAI) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_used(config: EndpointsConfig, models: list[str]) -> None:
    for what, named in (("--price", config.prices), ("--key-env", config.key_env)):
        unused = sorted(set(named) - set(models) - {ANY})
        if unused:
            known = f"the endpoints' models are {', '.join(models)}" if models else "no endpoint was named"
            raise UserError(f"{what} names the model {unused[0]!r}, but {known}.")


def _release(name: str, wanted: str, workspace: Workspace) -> Release:
    version = Registry(workspace, name).resolve(wanted)
    verify(version)
    inputs = _inputs(version)
    corpus = workspace.find("data", inputs.get("data", ""))
    return Release(
        name=f"{name}@{version.number}",
        version=version,
        form=read_form(version.folder / "form"),
        corpus=corpus,
        facts=_facts(corpus, workspace.find("train", inputs.get("train", ""))),
    )


def _inputs(version: Version) -> dict[str, str]:
    """Fingerprints of what the release was made from, by stage."""
    record = json.loads((version.folder / RECORD).read_bytes())  # `verify` has read it
    return {stage: str(made[0]) for stage, made in record["inputs"].items()}


def _facts(corpus: Artifact | None, checkpoint: Artifact | None) -> dict[str, Any]:
    """Licence, size and data of a release, as its artifacts say; None where they are gone."""
    facts: dict[str, Any] = {"licence": None, "parameters": None, "base": None, "data": None}
    tokens = None
    if checkpoint is not None:
        known, training = checkpoint.json("danlu.json"), checkpoint.json("training.json")
        facts |= {key: known.get(key) for key in ("licence", "parameters", "base")}
        tokens = training.get("tokens")
    if corpus is not None:
        card = corpus.json("card.json")
        facts["data"] = {
            "sources": [
                {"name": source["name"], "rows": source["rows"], "licence": source["licence"]}
                for source in card["sources"]
            ],
            "rows": trained_rows(card),
            "tokens": tokens,
            "languages": [card["language"]] if card["language"] else [],
        }
    return facts
