"""What a reader of a plan has to know to read its numbers right, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from danlu.core.bases import base_of
from danlu.core.machine import Machine
from danlu.learning.objectives.config import START
from danlu.plan.calibrate import FREE, Rates
from danlu.plan.training import Job, Training


def notes(machine: Machine, job: Job, plan: Training, rates: Rates) -> list[str]:
    """All of them, in the order in which the numbers come about."""
    return [
        *_of_data(job),
        *_of_tokens(job),
        *_of_training(job, plan),
        *_of_licences(job),
        *_of_machine(machine, rates),
    ]


def _of_data(job: Job) -> Iterator[str]:
    seen, corpus = job.look, job.corpus
    if not seen.whole:
        yield "Large files were read in part; rows are counted by proportion."
    dropped = 1 - seen.distinct / max(1, seen.rows)
    if dropped >= 0.01:
        yield f"{dropped:.0%} of the rows repeat another text or are too short or too long; they are not trained on."
    if job.config.data.teacher is not None:
        yield of_teacher(job.config.data.teacher.max_usd)
    yield from corpus.notes
    plain = job.usable - corpus.validation - corpus.test
    if abs(corpus.train - plain) > 0.01 * max(1, plain):
        yield (
            f"Mixing, balancing and augmentation make {corpus.train:,} training rows of about {max(0, plain):,} "
            "(data.mix, data.balance, data.augment, data.outliers)."
        )


def of_teacher(max_usd: float | None) -> str:
    """What of a teacher no plan can know, and what caps its cost: `data.teacher.max_usd`."""
    capped = (
        "nothing caps it: give data.teacher.price and max_usd."
        if max_usd is None
        else f"data.teacher.max_usd stops it at ${max_usd:g}, beside what budget.usd counts."
    )
    return (
        "A teacher answers the rows that have no answer (data.teacher): how many tokens its answers have, how long "
        f"that takes and what it costs cannot be foreseen and is in none of the sums; {capped}"
    )


def _of_tokens(job: Job) -> Iterator[str]:
    config, tokens = job.config, job.tokens
    if config.model.scratch is not None and not job.models:
        if job.look.everything:
            yield (
                "The tokenizer does not exist yet: tokens are counted with one learned from a random part of the rows, "
                "as large as the training part."
            )
        else:
            yield (
                "The tokenizer does not exist yet: tokens are counted with one learned from a sample of the texts, on "
                "others of them. The real one has seen all texts and makes fewer tokens."
            )
    if tokens.share_cut > 0 and not tokens.conversations:
        what = "they go on in a further example" if job.generates else "their ends are cut off"
        yield f"{tokens.share_cut:.1%} of the texts are longer than {tokens.max_length} tokens; {what}."
    for sentence in tokens.told:
        yield f"In the sample of {len(job.look.sample):,} rows: {sentence[0].lower()}{sentence[1:]}"


def _of_training(job: Job, plan: Training) -> Iterator[str]:
    train, cost, tokens = job.config.train, job.cost, job.tokens
    if tokens.group > 1:
        yield f"A sample has {tokens.group} rows: a step holds {tokens.group} times train.batch_size texts."
    if cost.before == START:
        yield "Before the first step the starting weights read every sample once; that is counted."
    elif cost.before is not None:
        yield (
            f"Before the first step the {cost.before} ({_millions(job, cost.before)}) reads every text once; its time "
            "and memory are counted, with as many tokens as the model's own tokenizer makes."
        )
    if cost.beside is not None:
        yield (
            f"The {cost.beside} ({_millions(job, cost.beside)}) stays in memory and reads every training batch in "
            "float32; both are counted. What it answers is counted from the code, not measured."
        )
    if job.adversary:
        yield (
            f"Adversarial training takes {1 + job.adversary} forward and backward passes a step in place of one; they "
            "are counted."
        )
    if train.micro_batch is not None:
        yield (
            f"A step is taken in pieces of {train.micro_batch}: {plan.pieces.count:,} pieces in {plan.steps:,} steps; "
            "memory is that of the largest piece."
        )
    if train.processes > 1:
        yield (
            f"{train.processes} processes train together with {max(1, job.threads // train.processes)} of "
            f"{job.threads} threads each; memory is that of all of them. Time is counted as for one process with all "
            "threads: neither gain nor loss is."
        )
    if train.batching.grow:
        yield (
            "The batch may grow with the gradient's noise, which cannot be foreseen: every step is counted with the "
            "batch it begins with, so a run that grows has fewer updates and holds whole batches in memory."
        )
    if train.compile:
        yield "Compiling takes minutes before the first step, and steps may be quicker; neither is counted."
    if 0 < train.early_stopping < plan.validations - 2:  # patience begins behind a second one that beats the first
        yield "Early stopping may end the training sooner; the plan counts every step."


def _millions(job: Job, field: str) -> str:
    return f"{job.models[field].parameters / 1e6:,.1f}M parameters"


def _of_licences(job: Job) -> Iterator[str]:
    config = job.config
    if config.model.base is not None and config.model.licence is None:
        yield "model.licence is empty: look up the base model's licence before you ship what comes of it."
    known = base_of(config.model.base or "")
    if known is not None:
        yield f"The base is under the licence {known.licence} ({known.terms}). {known.restricted}".rstrip()
    unknown = [source.place for source in config.data.sources if source.licence == "unknown"]
    if unknown:
        yield f"The licence of {len(unknown)} of {len(config.data.sources)} data sources is unknown."


def _of_machine(machine: Machine, rates: Rates) -> Iterator[str]:
    if rates.share < FREE:
        yield (
            f"The machine was busy while it was measured: this process got {rates.share:.0%} of its cores. Predictions "
            f"are for a free machine; if it stays busy, a run takes about {1 / max(rates.share, 0.05):.1f} times as "
            "long. The upper bounds allow for that."
        )
    if machine.gpus:
        yield "This machine has a GPU; the plan for this machine was measured on its CPU and is too long."
    yield "Electricity counts the cores in use and the memory, not cooling; the price of the machine is left out."
