"""Training a model without a neural network, or over one that stays as it is. It takes seconds to minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from danlu.core.artifact import LOGS, write_json
from danlu.core.asked import Takes
from danlu.core.bases import told_base
from danlu.core.columns import Codes
from danlu.core.context import Context
from danlu.core.errors import DataError
from danlu.core.machine import peak_resident_bytes
from danlu.core.tasks import TASKS
from danlu.learning.asking import CATEGORIES, NUMBERS, cells_of
from danlu.learning.batching import pack_rows
from danlu.learning.classic.base import Fitting, Matrix, Rows
from danlu.learning.classic.beside import Cells
from danlu.learning.classic.config import Classic, WordsFeatures, encoder_of, smote_of
from danlu.learning.classic.features import Features, Vectors
from danlu.learning.classic.smote import with_new_rows
from danlu.learning.classic.text_model import TextModel, class_weights, fit_ngrams
from danlu.learning.corpus import read_part
from danlu.learning.scale import Scale
from danlu.metrics.baseline import options_for
from danlu.metrics.scores import count_features, macro_f1
from danlu.metrics.thresholds import indicators
from danlu.train.config import TrainStage
from danlu.train.frozen import RESOURCE, open_encoder, vectors
from danlu.train.lineage import licence_of, lineage

#: A logarithm of 0 would be no number; what is less probable than this counts as this.
_LEAST = 1e-15


@dataclass(kw_only=True)
class _Made:
    """What a training has come to so far. `parts`: rows by part, as the corpus has them; the new ones of SMOTE are in
    `learned` alone, and counted in `made_rows`."""

    labels: list[str]
    scale: Scale | None
    texts: dict[str, list[str]]
    targets: dict[str, np.ndarray]
    codes: Codes | None
    cells: dict[str, Cells]
    base: str | None = None
    max_length: int | None = None
    frozen: int = 0
    made_rows: dict[str, dict[str, int]] = field(default_factory=dict)


def run(ctx: Context, config: TrainStage) -> None:
    """Fit the model that `model.classic` asks for, and write it with what the later stages ask of a checkpoint."""
    classic = config.model.classic
    assert classic is not None
    made = _read(ctx, config)
    started = time.perf_counter()
    features, matrices = _features(ctx, config, classic, made)
    plain = {
        name: Rows(features=matrices[name], targets=made.targets[name], weights=_weights(config, made, name))
        for name in made.texts
    }
    learned = _with_new_rows(ctx, config, classic, made, plain["train"])
    parts = {name: _whole(rows, made.cells.get(name)) for name, rows in plain.items()}
    ctx.say(f"Fitting {classic.kind} on {learned.features.shape[0]:,} rows.")
    with ctx.progress("fitting", total=None, unit="texts"):
        model = TextModel.fit(
            learned,
            parts["validation"],
            task=config.task,
            labels=made.labels,
            features=features,
            config=classic,
            codes=made.codes,
            how=Fitting(seed=config.train.seed, threads=ctx.threads, check=ctx.check, warn=_once(ctx.warn)),
        )
    seconds = time.perf_counter() - started
    model.save(ctx.out)
    (loss, _), (validation_loss, score) = (_scored(model, parts[name], made) for name in ("train", "validation"))
    ctx.say(
        f"{model.name}: {model.features}, {model.parameters:,} numbers learned; train loss {loss:.3f}, "
        f"validation loss {validation_loss:.3f}, {TASKS[config.task].quality} {score:.4g}."
    )
    origin = {"lineage": lineage(ctx), "licence": config.model.licence or licence_of(ctx.resources.get(RESOURCE))}
    write_json(ctx.out / "danlu.json", _facts(config, model, made) | origin)
    course = {"train_loss": loss, "validation_loss": validation_loss, "validation_score": score}
    rows = len(made.texts["train"])
    write_json(ctx.out / "training.json", _training(config, model, rows, course, made))
    write_json(
        ctx.out / LOGS / "speed.json",
        {
            "samples_per_second": rows / max(seconds, 1e-9),
            "seconds": seconds,
            "adversarial_seconds": 0.0,
            "peak_memory_bytes": peak_resident_bytes(),
        },
    )


def _read(ctx: Context, config: TrainStage) -> _Made:
    """The texts of both parts, and what they are to be answered with."""
    corpus, task = ctx.inputs["data"], TASKS[config.task]
    target = task.target
    assert target is not None
    labels: list[str] = corpus.json("card.json").get("labels") or [] if task.named else []
    columns = ["text", target, NUMBERS, CATEGORIES]
    parts = {name: read_part(corpus.folder, name, columns) for name in ("train", "validation")}
    for name, rows in parts.items():
        told = rows[target] if task.named else []
        named = {label for one in told for label in ([one] if isinstance(one, str) else one)}
        unknown = sorted(named - set(labels))
        if unknown:
            raise DataError(f"The {name} part has the label {unknown[0]!r}, which the corpus's card does not list.")
    scale = Scale.of(parts["train"][target]) if config.task == "regress" else None
    told_columns = corpus.json("card.json").get("columns")
    codes = None
    if told_columns:
        codes = Codes.of(cells_of(parts["train"]), told_columns["numeric"], told_columns["categorical"])
    return _Made(
        labels=labels,
        scale=scale,
        texts={name: rows["text"] for name, rows in parts.items()},
        targets={name: _TARGETS[config.task](rows[target], labels, scale) for name, rows in parts.items()},
        codes=codes,
        cells={} if codes is None else {name: Cells.of(codes, cells_of(rows)) for name, rows in parts.items()},
    )


def _places(told: Sequence[Any], labels: Sequence[str], _scale: Scale | None) -> np.ndarray:
    places = {label: place for place, label in enumerate(labels)}
    return np.array([places[label] for label in told], dtype=np.int64)


def _numbers(told: Sequence[Any], _labels: Sequence[str], scale: Scale | None) -> np.ndarray:
    assert scale is not None
    return scale.standardised(told).astype(np.float64)


#: From a corpus's column to what is learned, by task; see `Rows`.
_TARGETS: dict[str, Callable[[Sequence[Any], Sequence[str], Scale | None], np.ndarray]] = {
    "classify": _places,
    "tag": lambda told, labels, _: indicators(told, labels),
    "regress": _numbers,
}


def _features(ctx: Context, config: TrainStage, classic: Classic, made: _Made) -> tuple[Features, dict[str, Matrix]]:
    """What the model reads, and that of both parts."""
    frozen = encoder_of(classic)
    if frozen is None:
        assert isinstance(classic.features, WordsFeatures)
        texts = made.texts["train"]
        ngrams = fit_ngrams(texts, options_for(texts), classic.features, classic.kind)
        return ngrams, {name: ngrams.of(part) for name, part in made.texts.items()}
    encoder, made.frozen = open_encoder(ctx, config, frozen, made.texts["train"])
    found: dict[str, Matrix] = {name: vectors(ctx, encoder, name, part) for name, part in made.texts.items()}
    made.base, made.max_length = told_base(frozen.base), encoder.form.max_length
    encoder.close()
    return Vectors(encoder.embed, encoder.form.dimensions or 0), found


def _weights(config: TrainStage, made: _Made, name: str) -> np.ndarray | None:
    if config.train.class_weights != "balanced":
        return None
    found: np.ndarray = class_weights(made.targets["train"], len(made.labels))[made.targets[name]]
    return found


def _whole(rows: Rows, cells: Cells | None) -> Rows:
    """The rows with the features of their cells behind those of their texts."""
    return rows if cells is None else replace(rows, features=cells.behind(rows.features))


def _with_new_rows(ctx: Context, config: TrainStage, classic: Classic, made: _Made, rows: Rows) -> Rows:
    """The training rows, with new ones for small classes where the recipe asks for them; no other part gets any."""
    smote, cells = smote_of(classic), made.cells.get("train")
    if smote is None:
        return _whole(rows, cells)
    found, cells, made.made_rows = with_new_rows(rows, made.labels, smote, config.train.seed, cells)
    told = ", ".join(f"{label} {of['rows']:,} + {of['new']:,}" for label, of in made.made_rows.items())
    ctx.say(f"SMOTE: new rows for small classes: {told}." if told else "SMOTE: no class is smaller than it should be.")
    return _whole(found, cells)


def _facts(config: TrainStage, model: TextModel, made: _Made) -> dict[str, Any]:
    """What the later stages ask of a checkpoint: `danlu.json`, without what it stands on."""
    assert config.model.classic is not None
    facts: dict[str, Any] = {
        "task": config.task,
        "labels": list(model.labels) or None,
        "max_length": made.max_length,
        "architecture": model.name,
        "parameters": model.parameters + made.frozen,
        "trainable_parameters": model.parameters,
        "method": config.model.classic.kind,
        "base": made.base,
    }
    if made.scale is not None:
        facts["scale"] = asdict(made.scale)
    if made.codes is not None:
        numeric, categorical = (
            [column.name for column in kind] for kind in (made.codes.numeric, made.codes.categorical)
        )
        facts["takes"] = Takes(numeric=tuple(numeric), categorical=tuple(categorical)).as_json()
    if smote_of(config.model.classic) is not None:
        facts["made_rows"] = made.made_rows
    return facts


def _training(config: TrainStage, model: TextModel, rows: int, course: dict[str, float], made: _Made) -> dict[str, Any]:
    """How it came about, as a training of one step over all `rows`: `training.json`."""
    assert config.model.classic is not None
    smote = smote_of(config.model.classic)
    told = {} if smote is None else {"smote": {**smote.model_dump(), "classes": made.made_rows}}
    return {
        "steps": 1,
        "planned_steps": 1,
        "epochs": 1.0,
        "samples": rows,
        "tokens": None,
        "precision": "float64",
        "best": {"step": 1, "metric": TASKS[config.task].quality, "value": course["validation_score"]},
        "stopped_early": False,
        "history": [{"step": 1, "epoch": 1.0, **course}],
        "rows": pack_rows(np.ones(rows, dtype=bool)),
        "seed": config.train.seed,
        "method": config.model.classic.model_dump(),
        "parameters": {"trainable": model.parameters, "total": model.parameters + made.frozen},
        "merge": None,
    } | told


def _of_classes(answers: np.ndarray, truth: np.ndarray, _made: _Made) -> tuple[float, float]:
    """Mean cross-entropy, macro F1."""
    loss = -np.log(np.maximum(answers[np.arange(len(truth)), truth], _LEAST)).mean()
    counts = count_features(answers.argmax(axis=1), truth, answers.shape[1]).sum(axis=0)
    return float(loss), float(macro_f1(np.asarray(counts, dtype=np.float64)).ravel()[0])


def _of_labels(answers: np.ndarray, truth: np.ndarray, _made: _Made) -> tuple[float, float]:
    """Mean binary cross-entropy, average precision."""
    from danlu.learning.objectives.labels import average_precision

    right = np.where(truth, answers, 1.0 - answers)
    return float(-np.log(np.maximum(right, _LEAST)).mean()), average_precision(truth, answers)


def _of_values(answers: np.ndarray, truth: np.ndarray, made: _Made) -> tuple[float, float]:
    """Mean squared error of standardised numbers, mean absolute error in the user's unit."""
    assert made.scale is not None
    error = answers[:, 0].astype(np.float64) - truth
    return float(np.square(error).mean()), made.scale.std * float(np.abs(error).mean())


_SCORES: dict[str, Callable[[np.ndarray, np.ndarray, _Made], tuple[float, float]]] = {
    "classify": _of_classes,
    "tag": _of_labels,
    "regress": _of_values,
}


def _scored(model: TextModel, rows: Rows, made: _Made) -> tuple[float, float]:
    """Mean loss over the rows of a part, and the score by which models of the task are chosen."""
    return _SCORES[model.aim.task](model.answers_to(rows.features), rows.targets, made)


def _once(warn: Callable[[str], None]) -> Callable[[str], None]:
    """Says each thing once, however many labels it is true of."""
    said: set[str] = set()

    def told(text: str) -> None:
        if text not in said:
            said.add(text)
            warn(text)

    return told
