"""The evaluate and speed stages: what the shipped form is worth, and how fast it is on this machine.

Both go through the engine that will serve, on the exported files that will be served.
"""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as parquet

from danlu.core.artifact import write_json
from danlu.core.context import Context
from danlu.core.lazy import load_attribute
from danlu.core.tasks import TASKS
from danlu.evaluate.config import EvaluateStage, SpeedStage
from danlu.evaluate.rows import leaked_rows, read_part, rows_seen, test_part
from danlu.evaluate.speed import measure
from danlu.learning.chat import read_chat

#: Who gathers the evidence of a task; of the baselines only that of the task at hand is loaded.
_EVIDENCE = {
    "classify": "danlu.evaluate.classify:ClassifyEvidence",
    "tag": "danlu.evaluate.tag:TagEvidence",
    "regress": "danlu.evaluate.regress:RegressEvidence",
    "multitask": "danlu.evaluate.multitask:MultitaskEvidence",
    "generate": "danlu.evaluate.generate:GenerateEvidence",
    "embed": "danlu.evaluate.embed:EmbedEvidence",
    "fill": "danlu.evaluate.fill:FillEvidence",
}

#: Forms are compared on the same rows, the first so many: enough to see that one is no worse than another.
_ROWS_TO_COMPARE_FORMS = 1_000


def run(ctx: Context, config: EvaluateStage) -> None:
    """Write `evidence.json` and the `predictions.parquet` it was computed from."""
    corpus, export = ctx.inputs["data"], ctx.inputs["compress"]
    card, made = corpus.json("card.json"), export.json("export.json")
    settings, ship = config.evaluate, str(made["ship"])
    chat = read_chat(export / "forms" / ship)
    test = test_part(corpus, settings.max_rows).written(chat)
    # Typed loosely: what a task's answers are is between its own methods.
    task: Any = load_attribute(_EVIDENCE[config.task])(ctx, settings, test, card.get("labels") or [])
    answers = task.answers(export / "forms" / ship)
    evidence = task.evidence(answers) | {
        "task": config.task,
        "rows": len(test),
        "form": ship,
        "primary": TASKS[config.task].quality,
        "naive": card.get("naive"),
        "leaked_rows": leaked_rows(ctx, corpus, (card.get("duplicates") or {}).get("threshold")),
        "baseline": None,
    }
    parquet.write_table(task.table(answers), ctx.out / "predictions.parquet")
    if settings.baseline:
        train = read_part(corpus, "train").written(chat)
        seen, rule = rows_seen(export.json("training.json"), len(train), settings.seed)
        evidence["baseline"] = task.baseline(answers, train, seen, rule)
    evidence["forms"] = {
        form: task.brief(
            answers[:_ROWS_TO_COMPARE_FORMS]
            if form == ship
            else task.answers(export / "forms" / form, _ROWS_TO_COMPARE_FORMS)
        )
        for form in made["forms"]
    }
    write_json(ctx.out / "evidence.json", evidence)
    _tell(ctx, evidence)


def run_speed(ctx: Context, config: SpeedStage) -> None:
    """Write `speed.json`: latency, throughput, load time and size of every form, on this machine."""
    export = ctx.inputs["compress"]
    made = export.json("export.json")
    chat = read_chat(export / "forms" / str(made["ship"]))
    test = test_part(ctx.inputs["data"], config.speed.requests).written(chat)
    texts = test.asked if TASKS[config.task].target is not None else test.texts
    forms = {form: measure(ctx, export / "forms" / form, texts, config.speed) for form in made["forms"]}
    ship = forms[made["ship"]]
    speed: dict[str, Any] = {
        "machine": ctx.machine.as_dict(),
        "threads": ctx.threads,
        "form": made["ship"],
        "forms": forms,
    }
    write_json(ctx.out / "speed.json", ship | speed)
    ctx.say(
        f"{made['ship']}: {ship['p50_ms']:.1f} ms a request (p95 {ship['p95_ms']:.1f} ms), "
        f"{ship['throughput_per_second']:,.1f} texts a second"
    )


def _tell(ctx: Context, evidence: dict[str, Any]) -> None:
    primary = evidence["primary"]
    ctx.say(f"{primary} {_spoken(evidence['scores'][primary])} on {evidence['rows']:,} test texts")
    baseline = evidence["baseline"]
    if baseline is not None:
        by_target = baseline["comparison"].get("targets") or {"": baseline["comparison"]}
        for target, comparison in by_target.items():
            metric = ".".join(filter(None, (target, comparison["metric"])))
            clearly = "clearly different" if comparison["significant"] else "may be chance"
            ctx.say(
                f"{comparison.get('name', baseline['name'])} from {comparison.get('trained_rows', baseline['rows']):,} "
                f"rows: {metric} {_spoken(baseline['scores'][metric])}; "
                f"model less baseline {_spoken(comparison['difference'])}, {clearly}"
            )
    if evidence["leaked_rows"]:
        ctx.warn(
            f"{evidence['leaked_rows']:,} validation or test rows are also in training: the scores say too much. "
            "A corpus that Danlu has split has none; was this one changed by hand?"
        )


def _spoken(score: dict[str, float | None]) -> str:
    value, low, high = score["value"], score["low"], score["high"]
    if value is None:
        return "cannot be computed"
    return f"{value:.4g}" + (f" ({low:.4g} to {high:.4g})" if low is not None and high is not None else "")
