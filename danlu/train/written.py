"""What a training leaves: weights in the layout of transformers, the tokenizer, and what is known of both."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from danlu.core.artifact import LOGS, write_json
from danlu.core.asked import Takes
from danlu.core.bases import told_base
from danlu.core.context import Context
from danlu.core.machine import peak_resident_bytes
from danlu.learning import scratch
from danlu.learning.adapters.base import Adapted
from danlu.learning.adapters.merge import Merged, merge_checked
from danlu.learning.batching import pack_rows
from danlu.learning.fast import NarrowVocabulary
from danlu.learning.fusion import HEAD_WEIGHTS
from danlu.learning.models import WEIGHTS, without_compilation
from danlu.learning.objectives.table import Kind
from danlu.learning.step import precision_of
from danlu.train import guard
from danlu.train.config import TrainStage
from danlu.train.lineage import licence_of
from danlu.train.loop import Training
from danlu.train.state import Progress, TrainingState

#: Validation texts on which a merged model is compared with the unmerged one.
_COMPARED_TEXTS = 32

#: Where an adapter is kept, beside the model that it was merged into.
ADAPTER = "adapter"


def write_weights(
    ctx: Context,
    config: TrainStage,
    training: Training,
    vocabulary: NarrowVocabulary,
    adapted: Adapted,
    state: TrainingState,
    progress: Progress,
) -> Merged | None:
    """The best weights as a plain model, the last ones in `last`. An adapter is merged, and kept in `adapter` too."""
    model, best, adapter, last = training.model, progress.best, adapted.adapter, ctx.out / "last"
    last_is_best = best is None or best["step"] == progress.step
    last.mkdir()
    if adapter is not None:
        base = told_base(config.model.base)
        adapter.save(last, base)
        if best is not None and not last_is_best:
            state.load_best(model, best["step"])
        adapter.save(ctx.out / ADAPTER, base)
        # Compared in float32, whatever training multiplied in.
        training.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        without_compilation(model)
        texts = range(min(_COMPARED_TEXTS, len(training.validation)))
        batches = [training.validation.batch(np.array([text]), training.pad_id) for text in texts]
        merged = merge_checked(model, adapter, batches)
        _save(model, vocabulary, ctx.out)
        return merged
    _save(model, vocabulary, ctx.out)
    written = [name for name in (WEIGHTS, HEAD_WEIGHTS) if (ctx.out / name).is_file()]
    if best is None or last_is_best:
        for name in written:
            shutil.copyfile(ctx.out / name, last / name)
        return None
    for name in written:
        (ctx.out / name).rename(last / name)
    state.load_best(model, best["step"])
    _save(model, vocabulary, ctx.out)
    return None


def _save(model: Any, vocabulary: NarrowVocabulary, folder: Path) -> None:
    with vocabulary.widened():
        model.save_pretrained(folder, max_shard_size="1000GB")


def write_tokenizer(ctx: Context, kind: Kind, source: Path | None, tokenizer: Tokenizer, max_length: int) -> None:
    if source is None:
        scratch.save_tokenizer(tokenizer, scratch.VOCABULARIES[kind.head], ctx.out, max_length)
        return
    scratch.copy_tokenizer(source, ctx.out, tokenizer, max_length)


def write_facts(
    ctx: Context,
    config: TrainStage,
    training: Training,
    adapted: Adapted,
    merged: Merged | None,
    progress: Progress,
    labels: list[str],
    max_length: int,
    earlier: dict[str, dict[str, Any]],
    takes: Takes,
) -> None:
    model, order, publish = training.model, training.order, training.objective.publish
    seen = np.zeros(int(training.examples.rows.max()) + 1, dtype=bool)
    seen[training.examples.rows[order.seen(progress.step)]] = True
    write_json(
        ctx.out / "danlu.json",
        {
            "task": config.task,
            "labels": labels or None,
            "max_length": max_length,
            "takes": takes.as_json(),
            "architecture": type(model).__name__,
            "parameters": adapted.total,
            "trainable_parameters": adapted.trainable,
            "method": config.train.method.kind,
            "base": told_base(config.model.base),
            "licence": config.model.licence or licence_of(ctx.resources.get("model.base")),
            "lineage": earlier,
        }
        | dict({} if publish is None else publish(ctx.out, model, max_length)),
    )
    write_json(
        ctx.out / "training.json",
        {
            "steps": progress.step,
            "planned_steps": order.steps,
            "epochs": round(progress.samples / len(training.examples), 4),
            "samples": progress.samples,
            "tokens": progress.tokens,
            "precision": precision_of(training.accelerator),
            "best": progress.best,
            "stopped_early": progress.step < order.steps,
            "history": progress.history,
            "rows": pack_rows(seen),
            "seed": training.settings.seed,
            "method": config.train.method.model_dump(),
            "parameters": {"trainable": adapted.trainable, "total": adapted.total},
            "merge": None if merged is None else asdict(merged),
        }
        | guard.facts(progress),
    )
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_resident_bytes()
    write_json(
        ctx.out / LOGS / "speed.json",
        {
            "samples_per_second": progress.samples / max(progress.step_seconds, 1e-9),
            "seconds": progress.seconds,
            "adversarial_seconds": progress.adversarial_seconds,
            "peak_memory_bytes": peak,
        },
    )
