"""The plan stage: what a run needs and costs, before it starts, and a value for every `auto`.

It reads the sources and the base model themselves, looks at a sample of the texts, and measures this machine for
about three seconds. Formulas and their errors: docs/plan.md.
"""

from __future__ import annotations

from typing import Any

from danlu.core.artifact import write_json
from danlu.core.context import Context
from danlu.core.tasks import TASKS
from danlu.learning.models import check_base
from danlu.learning.step import choose_precision
from danlu.plan import calibrate
from danlu.plan.catalogue import read_catalogue
from danlu.plan.config import PlanStage
from danlu.plan.cost import Total, elsewhere, total_here, watts_here
from danlu.plan.predict import Job, StageCost, Training, plan_training, predict_stages
from danlu.plan.reading import look
from danlu.plan.shape import from_scratch, of_base, parameters
from danlu.plan.tokens import count

#: Classes that a plan assumes: their number hardly changes the cost of anything, and the data stage counts them.
_ASSUMED_LABELS = 4

_METHOD = (
    "First formula: tokens from a sample; 6 operations per weight and token and the attention term over the measured "
    "rate of matrix products, other operations and updates over measured rates; memory from 16 bytes a parameter and "
    "the activations of the largest batch. Intervals come from the errors seen when it was fitted (docs/plan.md)."
)


def run(ctx: Context, config: PlanStage) -> None:
    """Write `plan.json` and `resolved.json`.

    Raises `DataError` and `ModelError` for a source or a base model that cannot be used.
    """
    job = _job(ctx, config)
    plan = plan_training(job)
    ctx.say("Measuring this machine for three seconds")
    rates = calibrate.measure(
        precision=job.precision,
        tokens=round(plan.batches.tokens / max(1, plan.batches.count)),
        width=job.shape.width,
        inner=job.shape.inner,
        threads=ctx.threads,
        check=ctx.check,
    )
    costs = predict_stages(job, plan, rates)
    total = total_here(costs, threads=ctx.threads, memory_bytes=ctx.machine.memory_bytes, budget=config.budget)
    write_json(ctx.out / "resolved.json", resolve(ctx, job))
    write_json(ctx.out / "plan.json", _content(ctx, job, plan, rates, costs, total))
    minutes = total.seconds.times(1 / 60)
    ctx.say(
        f"{plan.samples:,} training samples in {plan.steps:,} steps; about {minutes.value:.1f} minutes here "
        f"({minutes.low:.1f} to {minutes.high:.1f}), {total.memory.value / 1e9:.1f} GB of memory at the peak"
    )


def resolve(ctx: Context, job: Job) -> dict[str, Any]:
    """A value for every `auto` of the recipe."""
    threads = job.config.budget.threads
    return {
        "budget.threads": ctx.machine.cores if threads == "auto" else threads,
        "model.max_length": job.tokens.max_length,
        "train.precision": job.precision,
    }


def _job(ctx: Context, config: PlanStage) -> Job:
    base = ctx.resources.get("model.base")
    if base is not None:
        check_base(base)
    paths = [
        ctx.resources[f"data.sources[{position}].{source.place}"] for position, source in enumerate(config.data.sources)
    ]
    seen = look(config.data, paths, generates=config.task == "generate")
    tokens = count(config, seen.texts, base)
    labels = _ASSUMED_LABELS if TASKS[config.task].target is not None else None
    if base is not None:
        shape, weights = of_base(base, labels)
    else:
        assert config.model.scratch is not None
        shape = from_scratch(config.model.scratch, config.task)
        weights = parameters(shape, labels)
    return Job(
        config=config,
        look=seen,
        tokens=tokens,
        shape=shape,
        parameters=weights,
        labels=labels,
        precision=choose_precision(config.train.precision, ctx.machine),
        threads=ctx.threads,
    )


def _content(
    ctx: Context, job: Job, plan: Training, rates: calibrate.Rates, costs: dict[str, StageCost], total: Total
) -> dict[str, Any]:
    memory = plan.memory
    watts = watts_here(ctx.threads, ctx.machine.memory_bytes)
    return {
        "rows": job.look.rows,
        "distinct_rows": job.look.distinct,
        "train_rows": job.train_rows,
        "tokens_per_row": round(job.tokens.per_row, 2),
        "tokens": round(plan.samples / job.tokens.examples_per_row * job.tokens.per_row),
        "steps": plan.steps,
        "samples": plan.samples,
        "validations": plan.validations,
        "parameters": job.parameters,
        "trainable_parameters": job.trained.trainable,
        "max_length": job.tokens.max_length,
        "precision": job.precision,
        "notes": _notes(ctx, job, rates),
        "machine": ctx.machine.as_dict()
        | {
            "threads": ctx.threads,
            "gemm_tflops": round(rates.gemm / 1e12, 4),
            "gemm_float32_tflops": round(rates.gemm32 / 1e12, 4),
            "stream_gb_per_second": round(rates.stream / 1e9, 2),
            "share_free": round(rates.share, 3),
            "elementwise_million_per_second": round(rates.elementwise / 1e6, 1),
        },
        "training_memory_bytes": {
            "weights": round(memory.weights),
            "gradients": round(memory.gradients),
            "optimizer": round(memory.optimizer),
            "activations": round(memory.activations),
            "framework": round(memory.framework),
        },
        "stages": {
            stage: {"seconds": cost.seconds.as_json(), "memory_bytes": cost.memory.as_json()}
            for stage, cost in costs.items()
        },
        "total": total.as_json(),
        "elsewhere": [elsewhere(job, plan, costs, gpu, watts=watts) for gpu in read_catalogue()],
        "method": _METHOD,
    }


def _notes(ctx: Context, job: Job, rates: calibrate.Rates) -> list[str]:
    """What a reader has to know to read the numbers right."""
    config, seen = job.config, job.look
    notes = []
    if not seen.whole:
        notes.append("Large files were read in part; rows are counted by proportion.")
    dropped = 1 - seen.distinct / max(1, seen.rows)
    if dropped >= 0.01:
        notes.append(
            f"{dropped:.0%} of the rows repeat another text or are too short or too long; they are not trained on."
        )
    if config.model.scratch is not None:
        notes.append(
            "The tokenizer does not exist yet: tokens are counted with one learned from a sample of the texts, on "
            "others of them. The real one has seen all texts and makes fewer tokens."
        )
    if job.tokens.share_cut > 0:
        what = "go on in a further example" if job.generates else "are cut"
        notes.append(f"{job.tokens.share_cut:.1%} of the texts are longer than {job.tokens.max_length} tokens: {what}.")
    if config.train.early_stopping:
        notes.append("Early stopping may end the training sooner; the plan counts every step.")
    if config.model.base is not None and config.model.licence is None:
        notes.append("model.licence is empty: look up the base model's licence before you ship what comes of it.")
    unknown = [source.place for source in config.data.sources if source.licence == "unknown"]
    if unknown:
        notes.append(f"The licence of {len(unknown)} of {len(config.data.sources)} data sources is unknown.")
    if rates.share < calibrate.FREE:
        notes.append(
            f"The machine was busy while it was measured: this process got {rates.share:.0%} of its cores. Predictions "
            f"are for a free machine; if it stays busy, a run takes about {1 / max(rates.share, 0.05):.1f} times as "
            "long. The upper bounds allow for that."
        )
    if ctx.machine.gpus:
        notes.append("This machine has a GPU; the plan for this machine was measured on its CPU and is too long.")
    notes.append(
        "Electricity counts the cores in use and the memory, not cooling; the price of the machine is left out."
    )
    return notes
