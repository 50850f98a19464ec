"""Pretrained models by a short name: where they lie, how large they are, under which licence.

`model.base: qwen3-0.6b` means a row of this table. A recipe's meaning must not depend on what happens to lie beside it,
so a file or folder of the same name is refused as ambiguous: `./qwen3-0.6b` is the folder. `modelscope://qwen3-0.6b`
takes the row's copy on ModelScope, `hf://qwen3-0.6b` the one on the Hugging Face hub.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from danlu.core.config import ResourceMarker

#: The scheme that a bare name gets when a recipe is read.
SCHEME = "base"

#: The hubs a row may name, by the scheme of their addresses.
_HUBS = ("hf", "modelscope")


@dataclass(frozen=True, kw_only=True)
class Base:
    """One pretrained model.

    `hugging_face`, `modelscope`: OWNER/NAME on each hub; None where no copy was found. `parameters`: weights, as the
    source rounds them. `context`: the most tokens of a text. `licence`: an SPDX identifier, or the hub's own where SPDX
    has none; `terms` is where it can be read. `languages`: ISO 639-1; "more" for many others. `tasks`: what it is a
    good start for. `source`: where these facts were read. `restricted`: what the licence asks beyond naming the source.
    `note`: what else a user has to know before choosing it.
    """

    hugging_face: str
    modelscope: str | None
    parameters: int
    context: int
    licence: str
    terms: str
    languages: tuple[str, ...]
    tasks: tuple[str, ...]
    source: str
    restricted: str = ""
    note: str = ""

    def address(self, hub: str) -> str | None:
        """OWNER/NAME on the hub with the scheme `hub`; None where it has no copy."""
        return {"hf": self.hugging_face, "modelscope": self.modelscope}[hub]


_APACHE = "https://www.apache.org/licenses/LICENSE-2.0"
_MIT = "https://opensource.org/license/mit"
_GEMMA = "https://ai.google.dev/gemma/terms"
_GEMMA_ASKS = "Its terms restrict what it may be used for, and go with whatever is made of it."

#: What an encoder is a base for, beside embedding.
_ANSWERING: tuple[str, ...] = ("classify", "tag", "regress")

#: Read on 26 November 2026 from the model cards, or from copies of them, and the files beside them.
BASES: dict[str, Base] = {
    "minilm": Base(
        hugging_face="sentence-transformers/all-MiniLM-L6-v2",
        modelscope="sentence-transformers/all-MiniLM-L6-v2",
        parameters=22_700_000,
        context=512,
        licence="Apache-2.0",
        terms=_APACHE,
        languages=("en",),
        tasks=(*_ANSWERING, "embed"),
        source="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        note="Trained on texts of at most 256 tokens.",
    ),
    "bge-small-zh": Base(
        hugging_face="BAAI/bge-small-zh-v1.5",
        modelscope="BAAI/bge-small-zh-v1.5",
        parameters=24_000_000,
        context=512,
        licence="MIT",
        terms=_MIT,
        languages=("zh",),
        tasks=(*_ANSWERING, "embed"),
        source="https://huggingface.co/BAAI/bge-small-zh-v1.5; https://bge-model.com/bge/bge_v1_v1.5.html (parameters)",
    ),
    "macbert-base": Base(
        hugging_face="hfl/chinese-macbert-base",
        modelscope="dienstag/chinese-macbert-base",
        parameters=102_000_000,
        context=512,
        licence="Apache-2.0",
        terms=_APACHE,
        languages=("zh",),
        tasks=_ANSWERING,
        source="https://huggingface.co/hfl/chinese-macbert-base; https://github.com/ymcui/MacBERT (parameters)",
        note="Its repository had pickled weights alone when this was written. Danlu reads none: convert them once.",
    ),
    "modernbert-base": Base(
        hugging_face="answerdotai/ModernBERT-base",
        modelscope=None,
        parameters=149_000_000,
        context=8_192,
        licence="Apache-2.0",
        terms=_APACHE,
        languages=("en",),
        tasks=_ANSWERING,
        source="https://huggingface.co/answerdotai/ModernBERT-base; arXiv:2412.13663",
    ),
    "gemma-3-270m": Base(
        hugging_face="google/gemma-3-270m",
        modelscope="google/gemma-3-270m",
        parameters=268_098_176,
        context=32_768,
        licence="gemma",
        terms=_GEMMA,
        languages=("en", "zh", "more"),
        tasks=("generate",),
        source="https://huggingface.co/google/gemma-3-270m; keras-hub, gemma3_presets.py (parameters)",
        restricted=_GEMMA_ASKS,
        note="The Hugging Face hub asks you to accept its terms first: then log in with `hf auth login`.",
    ),
    "qwen3-0.6b": Base(
        hugging_face="Qwen/Qwen3-0.6B",
        modelscope="Qwen/Qwen3-0.6B",
        parameters=596_049_920,
        context=32_768,
        licence="Apache-2.0",
        terms=_APACHE,
        languages=("zh", "en", "more"),
        tasks=("generate",),
        source="https://huggingface.co/Qwen/Qwen3-0.6B; keras-hub, qwen3_presets.py (parameters)",
    ),
    "qwen3-4b": Base(
        hugging_face="Qwen/Qwen3-4B",
        modelscope="Qwen/Qwen3-4B",
        parameters=4_022_468_096,
        context=32_768,
        licence="Apache-2.0",
        terms=_APACHE,
        languages=("zh", "en", "more"),
        tasks=("generate",),
        source="https://huggingface.co/Qwen/Qwen3-4B; keras-hub, qwen3_presets.py (parameters)",
    ),
    "qwen3-8b": Base(
        hugging_face="Qwen/Qwen3-8B",
        modelscope="Qwen/Qwen3-8B",
        parameters=8_190_735_360,
        context=32_768,
        licence="Apache-2.0",
        terms=_APACHE,
        languages=("zh", "en", "more"),
        tasks=("generate",),
        source="https://huggingface.co/Qwen/Qwen3-8B; keras-hub, qwen3_presets.py (parameters)",
    ),
}


def _marked(value: Any) -> Any:
    """A bare name of the table with the scheme that says so; everything else as it is."""
    return f"{SCHEME}://{value}" if isinstance(value, str) and value in BASES else value


#: A field that names a pretrained model: a name of the table, or anything else a resource may be.
ModelResource = Annotated[str, ResourceMarker(), BeforeValidator(_marked)]
OptionalModelResource = Annotated[str | None, ResourceMarker(), BeforeValidator(_marked)]


def base_of(resource: str) -> Base | None:
    """The row that a resource means: by its name, marked or bare, or by the address of one of its copies."""
    scheme, separator, rest = resource.partition("://")
    if not separator:
        return BASES.get(resource)
    name = rest.partition("@")[0].strip("/")
    if scheme in (SCHEME, *_HUBS) and name in BASES:
        return BASES[name]
    copies = (base for base in BASES.values() if scheme in _HUBS and base.address(scheme) == name)
    return next(copies, None)


def with_licence(section: Any) -> Any:
    """The plain values of a recipe's model section, with the licence of a base of the table where they give none.

    It is written into the configuration and not looked up later, so that it is part of what a run's fingerprint covers.
    """
    if not isinstance(section, Mapping) or section.get("licence") is not None:
        return section
    base = _named(section)
    known = base_of(base) if isinstance(base, str) else None
    return section if known is None else {**section, "licence": known.licence}


def _named(section: Mapping[str, Any]) -> Any:
    """The pretrained model that a model section starts from: its base, or the frozen encoder of a classic model."""
    found: Any = section
    for key in () if section.get("base") is not None else ("classic", "features"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found.get("base") if isinstance(found, Mapping) else None


def told_base(base: str | None) -> str | None:
    """A base as the recipe names it; of a path only the folder's name, since the rest is about one machine."""
    return base if base is None or "://" in base else Path(base).name


def near_names(name: str) -> list[str]:
    """Names of the table that are nearly `name`, the nearest first."""
    found = difflib.get_close_matches(name.rsplit("/", 1)[-1].lower(), BASES, n=3, cutoff=0.6)
    return [str(each) for each in found]
