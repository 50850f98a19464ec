"""The compress stage: a checkpoint becomes the forms that engines load, each compared with where it came from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from danlu.compress.config import CompressStage
from danlu.compress.forms import Source, write_form
from danlu.compress.parity import answers, parity
from danlu.core.artifact import write_json
from danlu.core.context import Context
from danlu.engines.base import Form
from danlu.engines.table import load
from danlu.engines.torch_engine import TorchEngine
from danlu.learning.corpus import read_part
from danlu.learning.scale import Scale
from danlu.metrics.multilabel import choose_thresholds, indicators

_TRAINING = "training.json"

#: Validation rows on which the thresholds of labels are chosen; more would move them little.
_MOST_ROWS_FOR_THRESHOLDS = 5_000


def run(ctx: Context, config: CompressStage) -> None:
    """Write `forms/`, `export.json` and `training.json`."""
    torch.set_num_threads(ctx.threads)
    checkpoint = ctx.inputs["train"]
    about = checkpoint.json("danlu.json")
    source = Source(
        folder=checkpoint.folder,
        scratch=ctx.state,
        task=config.task,
        labels=tuple(about["labels"]) if about["labels"] else None,
        max_length=about["max_length"],
        scale=Scale(**about["scale"]) if about.get("scale") else None,
    )
    # The rows lie sorted by id, and ids are hashes: the first ones are a fair draw.
    held_out = read_part(ctx.inputs["data"].folder, "validation", ["text", "labels"])
    texts = held_out["text"][: config.compress.parity_rows]
    entries = {}
    with ctx.progress("exporting and comparing forms", total=1 + 2 * len(config.compress.forms), unit="steps") as bar:
        reference_engine = TorchEngine(source.folder, _as_form(source), ctx.threads)
        reference = answers(reference_engine, texts)
        if config.task == "tag":
            source = replace(source, thresholds=_thresholds(reference_engine, held_out, reference))
        reference_engine.close()
        bar.advance(1)
        for name in config.compress.forms:
            folder = ctx.out / "forms" / name
            form = write_form(name, source, folder)
            bar.advance(1, form=name)
            engine = load(folder, ctx.threads)
            measured = parity(reference, answers(engine, texts), engine.form)
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


def _thresholds(engine: TorchEngine, rows: dict[str, Any], known: np.ndarray) -> tuple[float, ...]:
    """From which probability each label holds, chosen on validation rows; `known` are the answers to the first ones.

    All forms have those of the checkpoint, so that parity and evaluation see what they change in its decisions.
    """
    rest = rows["text"][len(known) : _MOST_ROWS_FOR_THRESHOLDS]
    probabilities = np.concatenate([known, answers(engine, rest)]) if rest else known
    truth = indicators(rows["labels"][: len(probabilities)], engine.form.labels or ())
    return tuple(choose_thresholds(probabilities, truth).tolist())


def _as_form(source: Source) -> Form:
    """The checkpoint itself, to be run by the torch engine."""
    weights: list[Path] = sorted(source.folder.glob("*.safetensors"))
    return Form(
        name="checkpoint",
        engine="torch",
        task=source.task,
        labels=source.labels,
        max_length=source.max_length,
        batch_invariant=True,
        precision="float32",
        bytes=sum(file.stat().st_size for file in weights),
        end_ids=source.end_ids,
        scale=source.scale,
    )
