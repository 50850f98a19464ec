"""The plan stage: what a run needs and costs, before it starts, and a value for every `auto`.

It reads the sources and the base model themselves, looks at a sample of the texts, and measures this machine for
one or two seconds. Formulas and their errors: docs/plan.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from danlu.core.artifact import write_json
from danlu.core.context import Context
from danlu.core.errors import UserError
from danlu.learning.models import check_base
from danlu.learning.objectives.config import aim_of, check_pieces
from danlu.learning.objectives.table import KINDS
from danlu.learning.step import choose_precision
from danlu.plan import calibrate, classic, options, traced
from danlu.plan.beyond import beyond
from danlu.plan.catalogue import read_catalogue
from danlu.plan.config import PlanStage
from danlu.plan.corpus import expected, read_sides
from danlu.plan.cost import Total, elsewhere, total_here, watts_here
from danlu.plan.interval import add
from danlu.plan.learned import corrected, kinds_of, sentences
from danlu.plan.notes import notes
from danlu.plan.predict import StageCost, predict_stages, seconds_of_training
from danlu.plan.reading import Look, look, rows_of
from danlu.plan.shape import HEADS, Head, from_scratch, of_base, parameters
from danlu.plan.tokens import count
from danlu.plan.training import Asked, Job, Training, plan_training

#: Classes that a plan assumes where the look found none, or nearly as many labels as rows.
_ASSUMED_LABELS = 4

#: Where the model folders that an objective names are among the stage's resources.
_OBJECTIVE = "train.objective."

_METHOD = (
    "First formula: tokens from a sample; {operations} over the measured rate of matrix products, "
    "other operations and updates over measured rates; {memory}. Intervals come from the errors seen when it "
    "was fitted (docs/plan.md)."
)
_BY_FORMULA = {
    "operations": "6 operations per weight and token and the attention term",
    "memory": "memory from 8 bytes a parameter, the optimizer's, and the activations of the largest piece of a batch",
}
_BY_TRACE = {
    "operations": "operations as a trace of the step counts them",
    "memory": "memory of training from a trace of the real step on its widest batch, without weights",
}


def run(ctx: Context, config: PlanStage) -> None:
    """Write `plan.json` and `resolved.json`.

    Raises `DataError` and `ModelError` for a source or a base model that cannot be used, `UserError` for settings that
    training would refuse.
    """
    if config.model.classic is not None:
        classic.run(ctx, config)
        return
    job = _job(ctx, config)
    plan = plan_training(job)
    ctx.say("Measuring what this machine does")
    rates = calibrate.measure(
        precision=job.precision,
        tokens=round(plan.pieces.tokens / max(1, plan.pieces.count)),
        width=job.shape.width,
        inner=job.shape.inner,
        threads=ctx.threads,
        check=ctx.check,
    )
    plan, answer = _traced(ctx, job, plan, rates)
    costs = predict_stages(job, plan, rates)
    costs, known = corrected(
        costs,
        kinds_of(
            costs, task=config.task, model=aim_of(config.task, config.train.objective).kind, trained=answer["method"]
        ),
        workspace=None if ctx.origin is None else ctx.origin.workspace,
        machine={"cpu": ctx.machine.cpu, "threads": ctx.threads},
    )
    total = total_here(costs, threads=ctx.threads, memory_bytes=ctx.machine.memory_bytes, budget=config.budget)
    content = _content(ctx, job, plan, rates, costs, total) | {"trace": answer} | known
    content["notes"] += [_how_memory(answer), *sentences(known["learned"])]
    if config.plan.options:
        content["options"] = _options(ctx, job, plan, costs)
    write_json(ctx.out / "resolved.json", resolve(ctx, job, plan))
    write_json(ctx.out / "plan.json", content)
    for sentence in content["beyond"]:
        ctx.warn(sentence)
    minutes = total.seconds.times(1 / 60)
    ctx.say(
        f"{plan.samples:,} training samples in {plan.steps:,} steps; about {minutes.value:.1f} minutes here "
        f"({minutes.low:.1f} to {minutes.high:.1f}), {total.memory.value / 1e9:.1f} GB of memory at the peak"
    )


def _traced(ctx: Context, job: Job, plan: Training, rates: calibrate.Rates) -> tuple[Training, dict[str, Any]]:
    """`plan` with what a trace of the real step says, and how its memory and work came about."""
    settings = job.config.plan
    if not traced.worth(settings, plan, seconds_of_training(plan.work, rates)):
        why = "plan.trace is never" if settings.trace == "never" else "a small run"
        return plan, {"method": "formula", "why": why}
    ctx.say("Tracing a training step without weights")
    answer = _asked_of_trace(ctx, job, plan)
    if answer.found is None:
        ctx.warn(f"The training step could not be traced: {answer.why}. The plan's memory is from a formula.")
        return plan, {"method": "formula", "why": answer.why}
    known = traced.with_trace(job, plan, answer.found)
    # Against the formula's: what is learned at targets alone is scored there alone.
    return known, {"method": "traced", "operations": round(known.work.flops / plan.work.flops, 4)}


def _how_memory(answer: dict[str, Any]) -> str:
    if answer["method"] == "traced":
        return "The memory of training is from a trace of its real step; the other stages' is from a formula."
    return f"All memory is from a formula: the step was not traced ({answer['why']})."


def _asked_of_trace(ctx: Context, job: Job, plan: Training, *, variants: bool = False) -> traced.Answer:
    return traced.ask(
        job,
        plan,
        base=ctx.resources.get("model.base"),
        cache=None if ctx.origin is None else ctx.origin.workspace / "cache" / "traces",
        state=ctx.state,
        limit=job.config.plan.trace_seconds,
        check=ctx.check,
        variants=variants,
    )


def _options(ctx: Context, job: Job, plan: Training, costs: dict[str, StageCost]) -> list[dict[str, Any]]:
    """The table of what else would do; empty where the step cannot be traced."""
    ctx.say("Tracing the step by other methods, for the table of options")
    answer = _asked_of_trace(ctx, job, plan, variants=True)
    if answer.found is None:
        ctx.warn(f"There is no table of options: the step could not be traced, since {answer.why}.")
        return []
    settings, step = job.config.train, plan.places.step
    widest = len(step) * int(job.tokens.lengths[step].max()) * job.tokens.group
    return options.rows(
        options.variants_of(answer.found["variants"]),
        read_catalogue(own=ctx.resources.get("plan.prices")),
        batch=len(step),
        steps=plan.steps,
        share=min(1.0, plan.pieces.tokens / max(1, plan.steps) / widest),
        others=add(cost.seconds for stage, cost in costs.items() if stage != "train"),
        cny_per_usd=job.config.plan.cny_per_usd,
        chosen=(settings.method.kind, settings.checkpointing, settings.micro_batch or len(step)),
    )


def resolve(ctx: Context, job: Job, plan: Training) -> dict[str, Any]:
    """A value for every `auto` of the recipe."""
    threads = job.config.budget.threads
    return {
        "budget.threads": ctx.machine.cores if threads == "auto" else threads,
        "model.max_length": job.tokens.max_length,
        "train.batching.packing": plan.packed,
        "train.precision": job.precision,
    }


def _job(ctx: Context, config: PlanStage) -> Job:
    aim, train = aim_of(config.task, config.train.objective), config.train
    try:
        check_pieces(aim, micro_batch=train.micro_batch, grow=train.batching.grow)
    except ValueError as error:
        raise UserError(f"{error}.") from None
    kind = KINDS[aim.kind]
    head = HEADS[kind.head]
    base = ctx.resources.get("model.base")
    folders = {name.removeprefix(_OBJECTIVE): path for name, path in ctx.resources.items() if _OBJECTIVE in name}
    for folder in [*([] if base is None else [base]), *folders.values()]:
        check_base(folder)
    paths = [
        ctx.resources[f"data.sources[{position}].{source.place}"] for position, source in enumerate(config.data.sources)
    ]
    sides = ctx.resources.get("data.extends")
    seen = look(config.data, paths, columns=kind.columns, sides=None if sides is None else read_sides(sides))
    corpus = expected(config.data, seen, classify=config.task == "classify")
    tokens = count(config, seen, corpus, base=base, folders=folders)
    labels = _outputs(head, seen)
    if base is not None:
        shape, weights = of_base(base, labels)
    else:
        assert config.model.scratch is not None
        shape = from_scratch(config.model.scratch, head, vocabulary=tokens.vocabulary, positions=tokens.max_length)
        weights = parameters(shape, head, labels)
    return Job(
        config=config,
        look=seen,
        corpus=corpus,
        tokens=tokens,
        shape=shape,
        parameters=weights,
        labels=labels,
        models={name: _asked(folder) for name, folder in folders.items()},
        precision=choose_precision(config.train.precision, ctx.machine),
        threads=ctx.threads,
        questions=0 if config.questions is None else rows_of(ctx.resources["questions.path"], config.questions.format),
    )


def _outputs(head: Head, seen: Look) -> int:
    """Outputs of the model beside tokens: one for each label seen, unless there are none or so many that they are none.

    A model that answers with a number has one.
    """
    if not head.classes:
        return int(head.value)
    return seen.names if 1 <= seen.names <= seen.distinct / 2 else _ASSUMED_LABELS


def _asked(folder: Path) -> Asked:
    shape, count = of_base(folder)
    return Asked(shape=shape, parameters=count)


def _content(
    ctx: Context, job: Job, plan: Training, rates: calibrate.Rates, costs: dict[str, StageCost], total: Total
) -> dict[str, Any]:
    memory = plan.memory
    watts = watts_here(ctx.threads, ctx.machine.memory_bytes, job.config.budget.watts_per_core)
    rented = [
        elsewhere(job, plan, costs, gpu, gpu.shown_price, watts=watts)
        for gpu in read_catalogue(own=ctx.resources.get("plan.prices"))
        if gpu.shown_price is not None and gpu.watts is not None
    ]
    return {
        "beyond": beyond(ctx.machine, total, rented),
        "rows": job.look.rows,
        "distinct_rows": job.look.distinct,
        "train_rows": job.train_rows,
        "tokens_per_row": round(job.tokens.per_example * job.tokens.examples / job.train_rows, 2),
        "tokens": plan.tokens,
        "steps": plan.steps,
        "samples": plan.samples,
        "validations": plan.validations,
        "parameters": job.parameters,
        "trainable_parameters": job.trained.trainable,
        "max_length": job.tokens.max_length,
        "precision": job.precision,
        "notes": notes(ctx.machine, job, plan, rates),
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
            "temporary": round(memory.temporary),
            "teacher": round(memory.teacher),
        },
        "stages": {
            stage: {"seconds": cost.seconds.as_json(), "memory_bytes": cost.memory.as_json()}
            for stage, cost in costs.items()
        },
        "total": total.as_json(),
        "elsewhere": rented,
        "method": _METHOD.format(**(_BY_TRACE if plan.traced else _BY_FORMULA)),
    }
