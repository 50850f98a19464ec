"""The folds stage: how much the score depends on which rows happened to be held out.

For each fold the model is trained, exported and evaluated by the very stages of the road, on a corpus in which the
fold's rows are the test part: they are seen neither in training nor when the best checkpoint is chosen. The corpus's
own test rows take no part. What is kept is the scores; the models are removed, unless they are to be released together.
"""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from danlu.compress.config import CompressConfig, CompressStage, FormName
from danlu.core.artifact import LOGS, MEMBERS, RECORD, Artifact, link_tree, write_json
from danlu.core.children import Child, forget, lend, watched
from danlu.core.context import Context
from danlu.core.descent import held_out_seen
from danlu.core.store import write_json_atomically
from danlu.evaluate.config import EvaluateStage
from danlu.folds.config import FoldsStage
from danlu.folds.corpus import count_folds, write_fold
from danlu.train.config import TrainStage


def run(ctx: Context, config: FoldsStage) -> None:
    """Write `folds.json`: the scores of each fold, and of each score the mean and the spread; and maybe `members/`."""
    corpus = ctx.inputs["data"]
    total = count_folds(corpus)
    runs = config.folds.runs or total
    results = []
    with ctx.progress("folds", runs, "folds") as bar:
        bar.checked = False
        for fold in range(runs):
            kept = ctx.state / f"fold-{fold}.json"
            if not kept.exists():
                write_json_atomically(kept, _held_out(ctx, config, corpus, fold))
            found = json.loads(kept.read_text(encoding="utf-8"))
            # Only now, and again after a kill in between: the scores are safe. Nothing else reads a corpus like it.
            for name, fingerprint in found.pop("made").items():
                forget(ctx, name, fingerprint)
            results.append(found)
            primary = results[-1]["primary"]
            bar.advance(1, **{primary: results[-1]["scores"].get(primary) or 0.0})
    if config.folds.release == "ensemble":
        link_tree(ctx.state / MEMBERS, ctx.out / MEMBERS)
        link_tree(ctx.state / LOGS, ctx.out / LOGS / MEMBERS)
    spread = spread_of([result["scores"] for result in results])
    primary = results[0]["primary"]
    write_json(ctx.out / "folds.json", {"count": total, "primary": primary, "folds": results, "scores": spread})
    if primary in spread:
        seen = spread[primary]
        ctx.say(
            f"{primary} over {runs} folds: {seen['mean']:.4g} on average, {seen['low']:.4g} to {seen['high']:.4g}, "
            f"standard deviation {seen['deviation']:.2g}"
        )


def spread_of(scores: list[dict[str, float | None]]) -> dict[str, dict[str, float]]:
    """Mean, sample standard deviation, lowest and highest of each score that every fold has.

    The deviation is between folds. It is no standard error of the mean: the trainings share most of their rows, and no
    unbiased estimate of that error exists (Bengio and Grandvalet 2004, JMLR 5:1089).
    """
    found = {}
    for name in scores[0]:
        values = [value for value in (each.get(name) for each in scores) if value is not None]
        if len(values) == len(scores):
            found[name] = {
                "mean": statistics.fmean(values),
                "deviation": statistics.stdev(values),
                "low": min(values),
                "high": max(values),
            }
    return found


def _held_out(ctx: Context, config: FoldsStage, corpus: Artifact, fold: int) -> dict[str, Any]:
    """The scores of a model that has not seen the rows of `fold`."""
    folder = ctx.state / f"corpus-{fold}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    rows = write_fold(corpus, fold, folder)
    inputs = {"data": lend(ctx, "data", folder, of=corpus, what={"fold": fold})}
    for name, section in _road(config).items():
        child = Child(ctx, name, section, observe=_observer(ctx, fold), inputs=inputs)
        inputs[name] = watched(ctx, child)
    if config.folds.release == "ensemble":
        _keep(inputs["train"].folder, ctx.state / MEMBERS / str(fold))
        link_tree(inputs["train"] / LOGS, ctx.state / LOGS / str(fold))
    evidence = inputs["evaluate"].json("evidence.json")
    return {
        "fold": fold,
        "rows": rows,
        "primary": evidence["primary"],
        "scores": {name: score["value"] for name, score in evidence["scores"].items()},
        "leaked_rows": evidence["leaked_rows"] + (held_out_seen(inputs["train"].json("danlu.json")) or 0),
        "made": {name: artifact.fingerprint for name, artifact in inputs.items()},
    }


def _keep(checkpoint: Path, folder: Path) -> None:
    """The checkpoint's best model and what it says of itself: whole or, after a kill, not there."""
    beside = folder.with_name(f".{folder.name}.tmp")
    for old in (beside, folder):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(checkpoint, beside, ignore=shutil.ignore_patterns(RECORD, LOGS, "last", "adapter"))
    beside.rename(folder)


def _road(config: FoldsStage) -> dict[str, BaseModel]:
    """The stages that a fold walks, and what each is told: nothing that costs time and does not bear on the scores."""
    form: FormName = "torch" if config.model.classic is None else "classic"
    spared = {"baseline": False, "worst_rows": 0, "worst_slices": 0, "slices": [], "costs": None}
    evaluate = config.evaluate.model_copy(update=spared)
    return {
        "train": TrainStage(task=config.task, model=config.model, train=config.train),
        "compress": CompressStage(
            task=config.task,
            compress=CompressConfig(forms=[form], ship=form, parity_rows=1, calibrate=config.compress.calibrate),
        ),
        "evaluate": EvaluateStage(task=config.task, evaluate=evaluate),
    }


def _observer(ctx: Context, fold: int) -> Any:
    """Shows a child's bars under the fold's name, and keeps its warnings."""

    def observe(event: dict[str, Any]) -> None:
        if event["type"] == "progress":
            ctx.emit({**event, "what": f"fold {fold + 1}: {event['what']}"})
        elif event["type"] == "warn":
            ctx.warn(f"fold {fold + 1}: {event['text']}")

    return observe
