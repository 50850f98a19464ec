"""The loop: one step after the other, validated, checkpointed, stopped early, resumed exactly."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

import numpy as np
import torch
from accelerate import Accelerator

from danlu.core.context import Context, StopReason
from danlu.core.context import Progress as Bar
from danlu.core.errors import DataError, UserError
from danlu.learning.batching import Batch, BatchSize, Examples, Order, by_length
from danlu.learning.objectives.base import Objective, Scored
from danlu.learning.optimizers.config import PlateauSchedule
from danlu.learning.optimizers.schedules import rate_at
from danlu.learning.processes import first_says
from danlu.learning.regularizers.weights import Regularizer
from danlu.learning.step import StepResult, lacks_memory, prepared, train_step
from danlu.train import guard
from danlu.train.board import Board, Clock
from danlu.train.config import TrainConfig
from danlu.train.state import Progress, TrainingState

#: Rows in the logs, whatever the number of steps.
_LOGGED_STEPS = 400


@dataclass(frozen=True, kw_only=True)
class Training:
    """All that a training run is made of. `optimizer` is torch's own.

    `packed`: the examples of a step stand end to end in one row.
    """

    settings: TrainConfig
    objective: Objective
    accelerator: Accelerator
    model: Any
    optimizer: torch.optim.Optimizer
    examples: Examples
    validation: Examples
    pad_id: int
    order: Order
    packed: bool = False
    regularizer: Regularizer = field(default_factory=Regularizer)


def make_order(examples: Examples, settings: TrainConfig, *, packed: bool = False) -> Order:
    """The order of all steps, by the settings."""
    samples = max(1, round(settings.epochs * len(examples)))
    if settings.max_samples is not None:
        samples = min(samples, settings.max_samples)
    return Order(
        examples.lengths, size=batch_size(examples, settings, packed=packed), samples=samples, seed=settings.seed
    )


def batch_size(examples: Examples, settings: TrainConfig, *, packed: bool = False) -> BatchSize:
    """What a step's size is by the settings; an example of several rows has that many times its tokens."""
    tokens = settings.batching.tokens
    return BatchSize(
        samples=settings.batch_size, tokens=None if tokens is None else tokens // examples.group, padded=not packed
    )


@dataclass(kw_only=True)
class _Run:
    """A training under way: what it is made of, how far it is, and where it tells of itself."""

    ctx: Context
    training: Training
    state: TrainingState
    model: Any
    progress: Progress
    board: Board
    bar: Bar
    clock: Clock

    def save(self) -> None:
        """Write a checkpoint."""
        self.clock.stop()
        scaler = self.training.accelerator.scaler
        self.progress.scaler = None if scaler is None else scaler.state_dict()
        self.state.save(self.training.model, self.training.optimizer, self.progress)


def train(ctx: Context, training: Training, state: TrainingState) -> Progress:
    """Run to the last step or to an early stop; the model then holds the last weights, `state` the best ones.

    Where losses leap or are no numbers too often, the model holds the best weights, and `guard.gave_up` says so.
    Raises `BudgetReached` or `Interrupted` after saving, and `UserError` when it had to give up before anything was
    validated, or memory lacks for a single sample.
    """
    settings, order = training.settings, training.order
    model = prepared(training.accelerator, training.model)
    progress = Progress()
    with Board(ctx, progress.metrics) as board, ctx.progress("train", order.samples, "samples") as bar:
        bar.checked = False
        run = _Run(
            ctx=ctx,
            training=training,
            state=state,
            model=model,
            progress=progress,
            board=board,
            bar=bar,
            clock=Clock(progress),
        )
        if _load(run):
            ctx.say(
                f"Going on from step {progress.step} of {order.steps}."
                if progress.step
                else "Starting at the first step: an attempt before this one ended before its first checkpoint."
            )
        elif settings.guard.max_skips:
            run.save()
        saved = time.monotonic()
        while progress.step < order.steps and not _is_over(progress, settings):
            reason = _stop_reason(run)
            if reason is not None:
                run.save()
                ctx.stop(reason)
            if not _advance(run):
                continue
            if _validation_is_due(progress.step, order, settings):
                _validate(run)
            if time.monotonic() - saved > 60 * settings.checkpoint_minutes and guard.calm(settings, progress):
                run.save()
                saved = time.monotonic()
        run.clock.stop()
    if progress.step < order.steps and guard.gave_up(progress.events) is None:
        ctx.say(
            f"Stopped early at step {progress.step} of {order.steps}: {progress.without_gain} validations without a "
            "better score (train.early_stopping)."
        )
    return progress


def _stop_reason(run: _Run) -> StopReason | None:
    """Why to stop now, or None; of several processes the first one says it for all."""
    reasons: list[StopReason | None] = [None, *get_args(StopReason)]
    return reasons[int(first_says(run.training.accelerator, reasons.index(run.ctx.stop_reason())))]


def _load(run: _Run) -> bool:
    """Bring the run to its newest checkpoint, if there is one; all processes to the same one."""
    training, progress = run.training, run.progress
    training.accelerator.wait_for_everyone()
    loaded = run.state.load(training.model, training.optimizer)
    training.accelerator.wait_for_everyone()
    if loaded is None:
        return False
    progress.go_back(loaded)
    if training.accelerator.scaler is not None and progress.scaler is not None:
        training.accelerator.scaler.load_state_dict(progress.scaler)
    run.board.go_back(progress.metrics)
    run.bar.done = progress.samples
    return True


def _advance(run: _Run) -> bool:
    """Take one step. False where it was not taken: memory lacked, or the run went back to a checkpoint."""
    settings, progress = run.training.settings, run.progress
    span = _span(run.training.order, settings, progress)
    places = sorted(set(span) - guard.left_out(progress.events))
    if not places:
        progress.step = span[-1] + 1
        return True
    chosen = [run.training.order.batch(place) for place in places]
    size = guard.micro_batch(settings, progress.events, progress.step)
    run.clock.start_step()
    result = _step(run, chosen, size)
    if result is None:
        own = math.ceil(max(map(len, chosen)) / run.training.accelerator.num_processes)
        _take_smaller_pieces(run, min(size or own, own))
        return False
    trouble = guard.watch(settings, progress, places, result)
    if trouble is not None:
        _go_back(run, trouble, places, result)
        return False
    _count(progress, result)
    progress.step = span[-1] + 1
    run.clock.end_step()
    _show(run, result)
    return True


def _span(order: Order, settings: TrainConfig, progress: Progress) -> range:
    """The batches of the order that make the next step: as many as it has grown to, up to the next validation."""
    first = progress.step
    end = min(first + guard.batch_factor(progress), order.steps)
    due = (place for place in range(first + 1, end) if _validation_is_due(place, order, settings))
    return range(first, next(due, end))


def _step(run: _Run, chosen: list[np.ndarray], size: int | None) -> StepResult | None:
    """One step on the examples `chosen`, in pieces of `size`; None where memory lacks for it."""
    training, progress = run.training, run.progress
    settings = training.settings
    seed_noise(settings.seed, progress.step, training.accelerator.process_index)
    rate = rate_at(
        progress.step,
        steps=training.order.steps,
        schedule=settings.schedule,
        peak=settings.learning_rate * progress.rate_factor,
    )
    if not run.model.training:
        run.model.train()
    try:
        return train_step(
            training.accelerator,
            run.model,
            training.optimizer,
            training.objective,
            pieces(training, chosen, size, first=progress.step),
            rate=rate,
            clip=settings.guard.clip,
            regularizer=training.regularizer,
        )
    except Exception as error:
        if not lacks_memory(error):
            raise
    # Only behind the handler, which holds the frames of the step, its tensors are free.
    training.optimizer.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def pieces(training: Training, chosen: list[np.ndarray], size: int | None, *, first: int) -> list[Batch]:
    """The examples of one step as the batches that are in memory one at a time, at most `size` examples each.

    Another one comes first in each step: the noise of the gradient is measured on it, and pieces of one batch
    differ in length. Of several processes each makes its part of every batch: every second example, or every third.
    """
    rank, count = training.accelerator.process_index, training.accelerator.num_processes
    chosen = [own for own in (part[rank::count] for part in chosen) if len(own)]
    if not chosen:
        return []
    if size is None and training.settings.batching.grow and len(chosen) == 1:
        size = math.ceil(len(chosen[0]) / 2)
    parts = [part[at : at + (size or len(part))] for part in chosen for at in range(0, len(part), size or len(part))]
    turn = first % len(parts)
    make = training.examples.packed if training.packed else partial(training.examples.batch, pad_id=training.pad_id)
    return [make(part) for part in parts[turn:] + parts[:turn]]


def _take_smaller_pieces(run: _Run, size: int) -> None:
    """From this step on, keep half as many of a step's samples in memory at once."""
    row = guard.halved(size, run.training.objective, run.progress.step)
    run.progress.events = [*run.progress.events, row]
    run.state.record(run.progress.events)
    run.ctx.warn(
        f"Memory ran out at step {run.progress.step + 1} with {size} samples in it at once; from here on it is at most "
        f"{row['micro_batch']}. The batches stay what they are. To begin with that: train.micro_batch: "
        f"{row['micro_batch']}."
    )


def _go_back(run: _Run, trouble: str, places: list[int], result: StepResult) -> None:
    """Go on from the last checkpoint without the batches that led here; give up when that was often enough."""
    settings, progress, order = run.training.settings, run.progress, run.training.order
    allowed = settings.guard.max_skips
    if guard.skips(progress.events) >= allowed:
        _give_up(
            run,
            places[0],
            f"{trouble} at step {places[0] + 1} of {order.steps} (loss {result.loss}, gradient norm {result.norm}, "
            f"learning rate {result.rate:.2g}), after {allowed} times of going back (train.guard.max_skips)",
        )
        return
    batches = guard.culprits(progress, places, result)
    row = {"kind": "skipped", "step": places[0], "batches": batches, "why": trouble}
    progress.events = [*progress.events, row]
    run.state.record(progress.events)
    _load(run)
    run.ctx.warn(
        f"{trouble} at step {places[0] + 1}: going back to step {progress.step}, and leaving out "
        f"{'batch' if len(batches) == 1 else 'batches'} {', '.join(str(batch + 1) for batch in batches)}."
    )


def _give_up(run: _Run, step: int, why: str) -> None:
    """End the run with its best weights, and say so. Raises `UserError` where nothing was validated yet.

    Nothing is written: a run that is killed here finds the same trouble again, and gives up again.
    """
    settings, progress = run.training.settings, run.progress
    remedy = (
        f"Lower train.learning_rate (now {settings.learning_rate:g}), raise train.schedule.warmup, or set "
        "train.precision: float32."
    )
    if progress.best is None:
        raise UserError(f"{why}, before the first validation: there is no model worth keeping. {remedy}")
    row = {"kind": "gave_up", "step": step, "why": why, "kept": progress.best["step"]}
    progress.events = [*progress.events, row]
    run.state.load_best(run.training.model, progress.best["step"])
    run.ctx.warn(
        f"Training gave up: {why}. The model is the best one until then, of step {progress.best['step']} "
        f"({progress.best['metric']} {progress.best['value']:.4g}); it has not seen what the plan had for it. {remedy}"
    )


def _count(progress: Progress, result: StepResult) -> None:
    progress.updates += not result.overflow
    progress.overflows += result.overflow
    progress.samples += result.samples
    progress.tokens += result.tokens
    progress.loss_sum += result.loss * result.weight
    progress.loss_weight += result.weight
    progress.adversarial_seconds += result.adversarial_seconds
    if result.piece is not None and not result.overflow:
        guard.note_noise(progress, result.piece, result.samples, result.squared)


def seed_noise(seed: int, step: int, process: int = 0) -> None:
    """Make the noise of a step (dropout) a function of seed, step and process, so that a resume needs no generator
    state.
    """
    number = int(
        np.random.SeedSequence([seed, step, *([process] if process else [])]).generate_state(1, np.uint64)[0]
        >> np.uint64(1)
    )
    # What `torch.manual_seed` does, without its 0.7 ms for devices that are not there.
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(number)


def _is_over(progress: Progress, settings: TrainConfig) -> bool:
    if guard.gave_up(progress.events) is not None:
        return True
    return settings.early_stopping > 0 and progress.without_gain >= settings.early_stopping


def _validation_is_due(step: int, order: Order, settings: TrainConfig) -> bool:
    """At equal distances, and after the last step; not shortly before that."""
    if step == order.steps:
        return True
    every = max(1, round(order.steps_per_epoch / settings.validations_per_epoch))
    return step % every == 0 and 2 * (order.steps - step) >= every


def score(training: Training, model: Any, batches: Iterator[np.ndarray]) -> Scored:
    """Loss and quality of `model` over batches of the validation examples; in eval mode, without gradients.

    Raises `DataError` where none of them has a target.
    """
    losses, weights, truth, predicted = [], [], [], []
    model.eval()
    with torch.inference_mode():
        for indices in batches:
            batch = training.validation.batch(indices, training.pad_id)
            outcome = training.objective.outcome(model, batch)
            if outcome.weight:  # the mean over no targets is no number
                losses.append(outcome.loss.item())
                weights.append(outcome.weight)
            predicted.append(outcome.predicted.cpu().numpy())
            truth.append(batch.columns.get("labels", np.empty(0, dtype=np.int64)))
    if not weights:
        raise DataError(
            f"None of the {len(training.validation):,} validation examples has anything to be foreseen, such as texts "
            "of signs alone that the tokenizer does not know. Add rows with words, or take another seed of data.split."
        )
    loss = float(np.average(losses, weights=weights))
    quality = training.objective.score(loss, np.concatenate(truth), np.concatenate(predicted))
    return Scored(loss=loss, score=quality)


def _validate(run: _Run) -> None:
    ctx, training, progress = run.ctx, run.training, run.progress
    objective, settings = training.objective, training.settings
    if not progress.loss_weight:
        raise DataError(
            f"None of the {len(training.examples):,} training examples since the last validation has anything to be "
            "foreseen, such as texts of signs alone that the tokenizer does not know. Add rows with words."
        )
    size = batch_size(training.validation, settings)
    batches = list(by_length(training.validation.lengths, size.times(2)))
    accelerator, scored = training.accelerator, Scored(loss=0.0, score=0.0)
    if ctx.rank.first:
        scored = score(training, run.model, _watched(ctx, batches))
    scored = Scored(loss=first_says(accelerator, scored.loss), score=first_says(accelerator, scored.score))
    if not np.isfinite([scored.loss, scored.score]).all():
        _give_up(
            run,
            progress.step,
            f"The validation loss is {scored.loss} after step {progress.step}: the model has diverged",
        )
        return
    row = {
        "step": progress.step,
        "epoch": round(progress.samples / len(training.examples), 4),
        "train_loss": progress.loss_sum / progress.loss_weight,
        "validation_loss": scored.loss,
        "validation_score": scored.score,
    }
    scale = guard.noise_scale(progress)
    if scale is not None:
        row["noise_scale"] = scale
    progress.history.append(row)
    progress.loss_sum = progress.loss_weight = 0.0
    better = objective.better(scored.score, progress.best["value"] if progress.best else None)
    if better:
        progress.best = {"step": progress.step, "metric": objective.metric, "value": scored.score}
        progress.without_gain = progress.waited = 0
        run.state.save_best(training.model, progress.step)
    else:
        # A model from nothing may find nothing for a while: patience begins once a score has beaten the first one.
        progress.without_gain += progress.best is not None and progress.best["step"] > progress.history[0]["step"]
        _wait(ctx, training, progress)
    run.board.row(row)
    best = " (best so far)" if better else ""
    ctx.say(
        f"Step {progress.step} of {training.order.steps}: train loss {row['train_loss']:.3f}, validation loss "
        f"{scored.loss:.3f}, {objective.metric} {scored.score:.4g}{best}."
    )
    if settings.batching.grow and progress.step < training.order.steps:
        _grow(run)
    if better:
        _secure(run)


def _secure(run: _Run) -> None:
    """Write a checkpoint after the best validation so far: going back must not lose what the run would end with."""
    settings, progress = run.training.settings, run.progress
    if settings.guard.max_skips and guard.calm(settings, progress):
        run.save()


def _grow(run: _Run) -> None:
    order = run.training.order
    factor = guard.grow(run.progress, order.samples / order.steps)
    if factor is not None:
        scale = guard.noise_scale(run.progress)
        run.ctx.say(f"The noise scale is {scale:.0f} samples: {factor} batches make a step from here on.")


def _wait(ctx: Context, training: Training, progress: Progress) -> None:
    """Let a plateau schedule reduce the rate once enough validations have brought nothing."""
    schedule = training.settings.schedule
    progress.waited += 1
    if isinstance(schedule, PlateauSchedule) and progress.waited >= schedule.patience:
        progress.waited = 0
        progress.rate_factor *= schedule.factor
        ctx.say(
            f"No better score in {schedule.patience} validations: the learning rate is taken times {schedule.factor:g}."
        )


def _watched(ctx: Context, batches: list[np.ndarray]) -> Iterator[np.ndarray]:
    """`batches` with a bar that does not stop the run: a step is either done with its validation or not done."""
    with ctx.progress("validate", sum(len(batch) for batch in batches), "samples") as bar:
        bar.checked = False
        for batch in batches:
            yield batch
            bar.advance(len(batch))


def _show(run: _Run, result: StepResult) -> None:
    progress, seconds = run.progress, run.clock.step_seconds
    speed = progress.samples / max(progress.step_seconds, 1e-9)
    run.bar.advance(result.samples, loss=round(result.loss, 4), samples_per_second=round(speed, 1))
    if progress.updates % max(1, run.training.order.steps // _LOGGED_STEPS):
        return
    row = {
        "step": progress.step,
        "loss": result.loss,
        "gradient_norm": result.norm,
        "rate": result.rate,
        "samples_per_second": result.samples / max(seconds, 1e-9),
    }
    # What cannot be written as JSON: a gradient that float16 could not hold.
    run.board.row({name: value for name, value in row.items() if math.isfinite(value)})
