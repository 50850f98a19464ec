"""The forms a checkpoint can take. Adding one is a function, a row here, a name in `config.FormName`, and a test."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from danlu.compress.config import FormName
from danlu.compress.onnx_graph import export_onnx, quantize
from danlu.core.artifact import MEMBERS, write_json
from danlu.core.asked import TEXT_ALONE, Takes
from danlu.core.errors import ModelError
from danlu.core.tasks import TaskName
from danlu.engines.base import FORM, Form, FormHead
from danlu.engines.onnx_engine import MODEL
from danlu.learning.asking import COLUMNS
from danlu.learning.classic import files as classic_files
from danlu.learning.models import load_checkpoint, read_config
from danlu.learning.pooling import Embedder, write_modules
from danlu.learning.scale import Scale
from danlu.learning.text import TOKENIZER_FILE, end_id, load_tokenizer

_GRAPH_FOLDER = "graph"

#: What goes with a tokenizer where the checkpoint has it: transformers' AutoTokenizer reads the form's folder too, and
#: the chat template says how a conversation is written down as one text.
_TOKENIZER_SETTINGS = ("tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json", "added_tokens.json")


@dataclass(frozen=True)
class Source:
    """A checkpoint to be exported. `scratch` is a folder that may survive a kill: what is whole in it is reused.

    `members`: the checkpoints of an ensemble, whose answers are averaged; then there is no model of its own.
    `pooling` and `dimensions` are those of an embedding model's vectors, None for other tasks; `temperature` is that of
    a classifier's answers, `takes` what it is asked. `heads` are the targets of a multitask model.
    """

    folder: Path
    scratch: Path
    task: TaskName
    labels: tuple[str, ...] | None
    max_length: int
    thresholds: tuple[float, ...] | None = None
    scale: Scale | None = None
    pooling: str | None = None
    dimensions: int | None = None
    temperature: float = 1.0
    heads: tuple[FormHead, ...] = ()
    members: tuple[Source, ...] = ()
    takes: Takes = TEXT_ALONE

    @property
    def engine(self) -> str:
        """Which engine answers for the checkpoint as it is."""
        if self.members:
            return "ensemble"
        return "classic" if (self.folder / classic_files.MODEL).is_file() else "torch"

    @functools.cached_property
    def model(self) -> Any:
        """The checkpoint's model in float32; raises `ModelError` where its head does not fit the labels."""
        model = load_checkpoint(self.folder)
        if self.labels is not None and model.config.num_labels != len(self.labels):
            raise ModelError(
                f"The checkpoint {self.folder} has {model.config.num_labels} outputs for {len(self.labels)} labels. "
                "Train it again with `danlu run`."
            )
        return model

    @functools.cached_property
    def graph(self) -> Path:
        """The float32 ONNX graph, made once for all forms that come from it."""
        folder = self.scratch / _GRAPH_FOLDER
        if not folder.exists():
            beside = self.scratch / f"{_GRAPH_FOLDER}.tmp"
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            model = self.model if self.pooling is None else Embedder(self.model, self.pooling)
            export_onnx(model, self.task, beside / MODEL, self.takes)
            beside.rename(folder)  # whole or not there, also after a kill
        return folder / MODEL

    @functools.cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Tokens that end a generated text, from the tokenizer and the model's configs."""
        if self.task != "generate":
            return ()
        found = [end_id(load_tokenizer(self.folder)), *_listed(read_config(self.folder).get("eos_token_id"))]
        generation = self.folder / "generation_config.json"
        if generation.is_file():
            found += _listed(json.loads(generation.read_text(encoding="utf-8")).get("eos_token_id"))
        return tuple(sorted({token for token in found if token is not None}))


def _listed(value: int | list[int] | None) -> list[int | None]:
    return [*value] if isinstance(value, list) else [value]


@dataclass(frozen=True, kw_only=True)
class FormKind:
    """One row: how a form is written, which engine loads it, and what it promises."""

    export: Callable[[Source, Path], None]
    engine: str
    precision: str
    batch_invariant: bool


def _torch(source: Source, folder: Path) -> None:
    source.model.save_pretrained(folder)
    if source.pooling is not None and source.dimensions is not None:
        write_modules(folder, source.pooling, source.dimensions, source.max_length)


def _onnx(source: Source, folder: Path) -> None:
    for file in sorted(source.graph.parent.iterdir()):
        shutil.copyfile(file, folder / file.name)


def _onnx_int8(source: Source, folder: Path) -> None:
    quantize(source.graph, folder / MODEL)


def _classic(source: Source, folder: Path) -> None:
    for name in classic_files.FILES:
        if (source.folder / name).is_file():
            shutil.copyfile(source.folder / name, folder / name)
    if (source.folder / classic_files.ENCODER).is_dir():
        shutil.copytree(source.folder / classic_files.ENCODER, folder / classic_files.ENCODER)


FORMS: dict[FormName, FormKind] = {
    "torch": FormKind(export=_torch, engine="torch", precision="float32", batch_invariant=True),
    "onnx": FormKind(export=_onnx, engine="onnx", precision="float32", batch_invariant=True),
    # Each batch gets scales of its own for the activations, so an answer depends on the other texts.
    "onnx-int8": FormKind(export=_onnx_int8, engine="onnx", precision="int8", batch_invariant=False),
    "classic": FormKind(export=_classic, engine="classic", precision="float64", batch_invariant=True),
}


def write_form(name: FormName, source: Source, folder: Path) -> Form:
    """Write the form `name` of `source` into the new folder `folder`, with its tokenizer and `form.json`.

    Of an ensemble the forms of its members lie below it, each whole.
    """
    kind = FORMS[name]
    folder.mkdir(parents=True)
    members = [
        write_form(name, replace(member, thresholds=source.thresholds), folder / MEMBERS / str(number))
        for number, member in enumerate(source.members)
    ]
    if not members:
        kind.export(source, folder)
    for settings in (TOKENIZER_FILE, *_TOKENIZER_SETTINGS, COLUMNS):
        if (source.folder / settings).is_file():
            shutil.copyfile(source.folder / settings, folder / settings)
    form = Form(
        name=name,
        engine="ensemble" if members else kind.engine,
        task=source.task,
        labels=source.labels,
        max_length=source.max_length,
        batch_invariant=kind.batch_invariant,
        precision=kind.precision,
        bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        end_ids=source.end_ids,
        thresholds=source.thresholds,
        scale=source.scale,
        pooling=source.pooling,
        dimensions=source.dimensions,
        temperature=source.temperature,
        heads=source.heads,
        takes=source.takes,
    )
    write_json(folder / FORM, form.as_json())
    return form
