"""Training a model without a neural network: n-grams, and what is learned over them. It takes seconds to minutes."""

from __future__ import annotations

import time

import numpy as np

from danlu.core.artifact import LOGS, write_json
from danlu.core.context import Context
from danlu.core.errors import DataError
from danlu.core.machine import peak_resident_bytes
from danlu.learning.batching import pack_rows
from danlu.learning.classic.text_model import TextModel
from danlu.learning.corpus import read_part
from danlu.metrics.baseline import options_for
from danlu.metrics.scores import count_features, macro_f1
from danlu.train.config import TrainStage

#: A logarithm of 0 would be no number; what is less probable than this counts as this.
_LEAST = 1e-15


def run(ctx: Context, config: TrainStage) -> None:
    """Fit the model that `model.classic` asks for, and write it with what the later stages ask of a checkpoint."""
    assert config.model.classic is not None
    corpus = ctx.inputs["data"]
    labels: list[str] = corpus.json("card.json").get("labels") or []
    parts = {name: read_part(corpus.folder, name, ["text", "label"]) for name in ("train", "validation")}
    for name, rows in parts.items():
        unknown = sorted({str(label) for label in rows["label"]} - set(labels))
        if unknown:
            raise DataError(f"The {name} part has the label {unknown[0]!r}, which the corpus's card does not list.")
    train, validation = ((rows["text"], rows["label"]) for rows in parts.values())
    ctx.say(f"Fitting {config.model.classic.kind} on {len(train[0]):,} texts.")
    started = time.perf_counter()
    with ctx.progress("fitting", total=None, unit="texts"):
        model = TextModel.fit(
            train,
            validation,
            labels=labels,
            ngrams=options_for(train[0]),
            config=config.model.classic,
            balanced=config.train.class_weights == "balanced",
            seed=config.train.seed,
            threads=ctx.threads,
        )
    seconds = time.perf_counter() - started
    model.save(ctx.out)
    losses = {name: _scored(model, part) for name, part in (("train", train), ("validation", validation))}
    score = losses["validation"][1]
    ctx.say(
        f"{model.name}: {model.features:,} n-grams, {model.parameters:,} numbers learned; train loss "
        f"{losses['train'][0]:.3f}, validation loss {losses['validation'][0]:.3f}, macro_f1 {score:.4g}."
    )
    write_json(
        ctx.out / "danlu.json",
        {
            "task": config.task,
            "labels": labels,
            "max_length": None,
            "architecture": model.name,
            "parameters": model.parameters,
            "trainable_parameters": model.parameters,
            "method": config.model.classic.kind,
            "base": None,
            "licence": config.model.licence,
        },
    )
    known = len(train[0])
    write_json(
        ctx.out / "training.json",
        {
            "steps": 1,
            "planned_steps": 1,
            "epochs": 1.0,
            "samples": known,
            "tokens": None,
            "precision": "float64",
            "best": {"step": 1, "metric": "macro_f1", "value": score},
            "stopped_early": False,
            "history": [
                {
                    "step": 1,
                    "epoch": 1.0,
                    "train_loss": losses["train"][0],
                    "validation_loss": losses["validation"][0],
                    "validation_score": score,
                }
            ],
            "rows": pack_rows(np.ones(known, dtype=bool)),
            "seed": config.train.seed,
            "method": config.model.classic.model_dump(),
            "parameters": {"trainable": model.parameters, "total": model.parameters},
            "merge": None,
        },
    )
    write_json(
        ctx.out / LOGS / "speed.json",
        {
            "samples_per_second": known / max(seconds, 1e-9),
            "seconds": seconds,
            "adversarial_seconds": 0.0,
            "peak_memory_bytes": peak_resident_bytes(),
        },
    )


def _scored(model: TextModel, part: tuple[list[str], list[str]]) -> tuple[float, float]:
    """Mean cross-entropy and macro F1 over the texts of a part."""
    truth = np.array([model.labels.index(label) for label in part[1]], dtype=np.int64)
    answers = model.probabilities(part[0])
    loss = -np.log(np.maximum(answers[np.arange(len(truth)), truth], _LEAST)).mean()
    counts = count_features(answers.argmax(axis=1), truth, len(model.labels)).sum(axis=0)
    return float(loss), float(macro_f1(np.asarray(counts, dtype=np.float64)).ravel()[0])
