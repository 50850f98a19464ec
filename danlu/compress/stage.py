"""The compress stage: a checkpoint becomes the forms that engines load, each compared with where it came from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from danlu.compress import chosen
from danlu.compress.config import CompressStage
from danlu.compress.forms import Source, write_form
from danlu.compress.parity import COMPARED, answers, parity
from danlu.core.artifact import MEMBERS, write_json
from danlu.core.asked import read_takes
from danlu.core.context import Context
from danlu.core.tasks import TASKS
from danlu.engines.base import Engine, Form, read_heads
from danlu.engines.ensemble_engine import EnsembleEngine
from danlu.engines.sampling import at_temperature
from danlu.engines.table import load, open_form
from danlu.learning.asking import beside, questions
from danlu.learning.corpus import read_part
from danlu.learning.scale import Scale

_TRAINING = "training.json"

#: Validation rows on which the temperature or the thresholds of labels are chosen; more would move them little.
_MOST_ROWS_TO_CHOOSE = 5_000


def run(ctx: Context, config: CompressStage) -> None:
    """Write `forms/`, `export.json` and `training.json`."""
    torch.set_num_threads(ctx.threads)
    checkpoint = ctx.inputs["train"]
    source = _source(checkpoint.folder, ctx.state, config)
    # The rows lie sorted by id, and ids are hashes: the first ones are a fair draw.
    columns = [*TASKS[config.task].columns, *beside(source.takes)]
    rows = read_part(ctx.inputs["data"].folder, "validation", columns)
    texts = COMPARED[config.task].asked(rows, config.compress.parity_rows)
    entries = {}
    with ctx.progress("exporting and comparing forms", total=1 + 2 * len(config.compress.forms), unit="steps") as bar:
        reference_engine = _opened(source, ctx.threads)
        reference = answers(reference_engine, texts)
        source = _choose(ctx, config, source, reference_engine, rows, reference)
        reference_engine.close()
        if config.compress.calibrate:
            reference = _at_temperature(reference, _as_form(source))
        bar.advance(1)
        for name in config.compress.forms:
            folder = ctx.out / "forms" / name
            form = write_form(name, source, folder)
            bar.advance(1, form=name)
            engine = load(folder, ctx.threads)
            measured = parity(reference, answers(engine, texts), form)
            engine.close()
            entries[name] = {
                "bytes": form.bytes,
                "batch_invariant": form.batch_invariant,
                "precision": form.precision,
                "parity": measured,
            }
            bar.advance(1, form=name)
            ctx.say(
                f"{name}: {form.bytes / 1e6:,.1f} MB; of {measured['rows']} held-out texts "
                f"{measured['disagreement']:.1%} are answered otherwise than by the checkpoint"
            )
    write_json(ctx.out / "export.json", {"ship": config.compress.ship, "forms": entries})
    shutil.copyfile(checkpoint / _TRAINING, ctx.out / _TRAINING)


def _source(folder: Path, scratch: Path, config: CompressStage) -> Source:
    """The checkpoint in `folder`, with those of its members where it is an ensemble."""
    about = json.loads((folder / "danlu.json").read_text(encoding="utf-8"))
    members = (str(number) for number in range(about.get("members", 0)))
    return Source(
        folder=folder,
        scratch=scratch,
        task=config.task,
        labels=tuple(about["labels"]) if about["labels"] else None,
        max_length=about["max_length"] or 0,
        scale=Scale(**about["scale"]) if about.get("scale") else None,
        pooling=about.get("pooling"),
        dimensions=about.get("dimensions"),
        takes=read_takes(about.get("takes")),
        heads=read_heads(about.get("heads") or ()),
        members=tuple(_source(folder / MEMBERS / one, scratch / MEMBERS / one, config) for one in members),
    )


def _opened(source: Source, threads: int) -> Engine:
    """The engine that answers as training left the checkpoint."""
    if source.members:
        return EnsembleEngine.of([_opened(member, threads) for member in source.members], _as_form(source))
    return open_form(source.folder, _as_form(source), threads)


def _choose(
    ctx: Context, config: CompressStage, source: Source, engine: Engine, rows: dict[str, Any], known: np.ndarray
) -> Source:
    """`source` with what its answers go by, chosen on validation rows; `known` are the answers to the first of them."""
    calibrate = config.compress.calibrate
    if not (calibrate or source.heads or config.task == "tag"):
        return source
    rest = questions(rows)[len(known) : _MOST_ROWS_TO_CHOOSE]
    found = np.concatenate([known, answers(engine, rest)]) if rest else known
    labels = source.labels or ()
    if source.heads:
        targets = rows["targets"][: len(found)]
        return replace(source, heads=chosen.for_heads(ctx, source.heads, found, targets, calibrate=calibrate))
    if config.task == "tag":
        return replace(source, thresholds=chosen.thresholds(found, labels, rows["labels"][: len(found)]))
    return replace(source, temperature=chosen.temperature(ctx, found, labels, rows["label"][: len(found)]))


def _at_temperature(reference: np.ndarray, form: Form) -> np.ndarray:
    """The checkpoint's answers at the temperature of each target; only those of classes have one."""
    return np.concatenate(
        [at_temperature(reference[:, here], part.temperature) for _, here, part in form.parts], axis=1
    )


def _as_form(source: Source) -> Form:
    """The checkpoint itself, to be run as training left it."""
    weights: list[Path] = sorted(source.folder.glob("*.safetensors"))
    return Form(
        name="checkpoint",
        engine=source.engine,
        task=source.task,
        labels=source.labels,
        max_length=source.max_length,
        batch_invariant=True,
        precision="float32",
        bytes=sum(file.stat().st_size for file in weights),
        end_ids=source.end_ids,
        scale=source.scale,
        pooling=source.pooling,
        dimensions=source.dimensions,
        temperature=source.temperature,
        heads=source.heads,
        takes=source.takes,
    )
