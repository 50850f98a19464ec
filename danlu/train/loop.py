"""The loop: one step after the other, validated, checkpointed, stopped early, resumed exactly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from danlu.core.context import Context
from danlu.core.context import Progress as Bar
from danlu.core.errors import UserError
from danlu.learning.batching import Batch, BatchSize, Examples, Order, by_length
from danlu.learning.objectives.base import Objective, Scored
from danlu.learning.optimizers.config import PlateauSchedule
from danlu.learning.optimizers.schedules import rate_at
from danlu.learning.step import StepResult, train_step
from danlu.train.board import Board
from danlu.train.config import TrainConfig
from danlu.train.state import Progress, TrainingState

#: Rows in the logs, whatever the number of steps.
_LOGGED_STEPS = 400


@dataclass(frozen=True, kw_only=True)
class Training:
    """All that a training run is made of. `optimizer` is torch's own; accelerate wraps it inside the loop.

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


def train(ctx: Context, training: Training, state: TrainingState) -> Progress:
    """Run to the last step or to an early stop; the model then holds the last weights, `state` the best ones.

    Raises `BudgetReached` or `Interrupted` after saving, and `UserError` when the loss is no number.
    """
    settings, order = training.settings, training.order
    progress = state.load(training.model, training.optimizer) or Progress()
    if progress.step:
        ctx.say(f"Going on from step {progress.step} of {order.steps}.")
    model, optimizer = training.accelerator.prepare(training.model, training.optimizer)
    board = Board(ctx, progress.metrics)
    log_every = max(1, order.steps // _LOGGED_STEPS)
    clock = _Clock(progress)
    saved = time.monotonic()
    with board, ctx.progress("train", order.samples, "samples") as bar:
        bar.checked = False
        bar.done = progress.samples
        while progress.step < order.steps and not _is_over(progress, settings):
            reason = ctx.stop_reason()
            if reason is not None:
                clock.stop()
                state.save(training.model, training.optimizer, progress)
                ctx.stop(reason)
            clock.start_step()
            result = _one_step(training, model, optimizer, order, progress)
            _show(bar, board, progress, result, clock, log=progress.step % log_every == 0)
            clock.end_step()
            if _validation_is_due(progress.step, order, settings):
                _validate(ctx, training, model, order, progress, board, state)
            if time.monotonic() - saved > 60 * settings.checkpoint_minutes:
                clock.stop()
                state.save(training.model, training.optimizer, progress)
                saved = time.monotonic()
    clock.stop()
    if progress.step < order.steps:
        ctx.say(
            f"Stopped early at step {progress.step} of {order.steps}: {progress.without_gain} validations without a "
            "better score (train.early_stopping)."
        )
    return progress


def _one_step(training: Training, model: Any, optimizer: Any, order: Order, progress: Progress) -> StepResult:
    settings = training.settings
    indices = order.batch(progress.step)
    batches = pieces(training, indices)
    seed_noise(settings.seed, progress.step)
    rate = rate_at(
        progress.step,
        steps=order.steps,
        schedule=settings.schedule,
        peak=settings.learning_rate,
        reductions=progress.reductions,
    )
    model.train()
    result = train_step(
        training.accelerator,
        model,
        optimizer,
        training.objective,
        batches,
        rate=rate,
        clip=settings.clip,
    )
    if not result.finite:
        raise UserError(
            f"The loss or its gradient is not a number at step {progress.step + 1} of {order.steps} (loss "
            f"{result.loss}, gradient norm {result.norm}, learning rate {rate:.2g}). Nothing is lost: the last "
            f"checkpoint stands. Lower train.learning_rate (now {settings.learning_rate:g}), raise train.schedule.warmup, "
            "or set train.precision: float32."
        )
    progress.step += 1
    progress.samples += result.samples
    progress.tokens += sum(int(batch.mask.sum()) for batch in batches)
    progress.loss_sum += result.loss * result.weight
    progress.loss_weight += result.weight
    return result


def pieces(training: Training, indices: np.ndarray) -> list[Batch]:
    """The examples of one step as the batches that are in memory one at a time."""
    size = training.settings.micro_batch or len(indices)
    cuts = range(0, len(indices), size)
    chosen = [indices[start : start + size] for start in cuts]
    if training.packed:
        return [training.examples.packed(part) for part in chosen]
    return [training.examples.batch(part, training.pad_id) for part in chosen]


def seed_noise(seed: int, step: int) -> None:
    """Make the noise of a step (dropout) a function of seed and step, so that a resume needs no generator state."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1)))


def _is_over(progress: Progress, settings: TrainConfig) -> bool:
    return settings.early_stopping > 0 and progress.without_gain >= settings.early_stopping


def _validation_is_due(step: int, order: Order, settings: TrainConfig) -> bool:
    """At equal distances, and after the last step; not shortly before that."""
    if step == order.steps:
        return True
    every = max(1, round(order.steps_per_epoch / settings.validations_per_epoch))
    return step % every == 0 and 2 * (order.steps - step) >= every


def score(training: Training, model: Any, batches: Iterator[np.ndarray]) -> Scored:
    """Loss and quality of `model` over batches of the validation examples; in eval mode, without gradients."""
    losses, weights, truth, predicted = [], [], [], []
    model.eval()
    with torch.inference_mode():
        for indices in batches:
            batch = training.validation.batch(indices, training.pad_id)
            outcome = training.objective.outcome(model, batch)
            losses.append(outcome.loss.item())
            weights.append(outcome.weight)
            predicted.append(outcome.predicted.cpu().numpy())
            truth.append(batch.columns.get("labels", np.empty(0, dtype=np.int64)))
    loss = float(np.average(losses, weights=weights))
    quality = training.objective.score(loss, np.concatenate(truth), np.concatenate(predicted))
    return Scored(loss=loss, score=quality)


def _validate(
    ctx: Context,
    training: Training,
    model: Any,
    order: Order,
    progress: Progress,
    board: Board,
    state: TrainingState,
) -> None:
    objective = training.objective
    size = batch_size(training.validation, training.settings)
    batches = list(by_length(training.validation.lengths, size.times(2)))
    scored = score(training, model, _watched(ctx, batches))
    if not np.isfinite([scored.loss, scored.score]).all():
        raise UserError(
            f"The validation loss is {scored.loss} after step {progress.step}: the model has diverged. Nothing is "
            f"lost: the last checkpoint stands. Lower train.learning_rate (now {training.settings.learning_rate:g})."
        )
    epoch = round(progress.samples / len(training.examples), 4)
    row = {
        "step": progress.step,
        "epoch": epoch,
        "train_loss": progress.loss_sum / progress.loss_weight,
        "validation_loss": scored.loss,
        "validation_score": scored.score,
    }
    progress.history.append(row)
    progress.loss_sum = progress.loss_weight = 0.0
    if objective.better(scored.score, progress.best["value"] if progress.best else None):
        progress.best = {"step": progress.step, "metric": objective.metric, "value": scored.score}
        progress.without_gain = progress.waited = 0
        state.save_best(training.model, progress.step)
    else:
        progress.without_gain += 1
        _wait(ctx, training, progress)
    board.row(row)
    best = " (best so far)" if progress.without_gain == 0 else ""
    ctx.say(
        f"Step {progress.step} of {order.steps}: train loss {row['train_loss']:.3f}, validation loss "
        f"{scored.loss:.3f}, {objective.metric} {scored.score:.4g}{best}."
    )


def _wait(ctx: Context, training: Training, progress: Progress) -> None:
    """Let a plateau schedule reduce the rate once enough validations have brought nothing."""
    schedule = training.settings.schedule
    progress.waited += 1
    if isinstance(schedule, PlateauSchedule) and progress.waited >= schedule.patience:
        progress.waited = 0
        progress.reductions += 1
        ctx.say(
            f"No better score in {schedule.patience} validations: the learning rate is multiplied by {schedule.factor:g}."
        )


def _watched(ctx: Context, batches: list[np.ndarray]) -> Iterator[np.ndarray]:
    """`batches` with a bar that does not stop the run: a step is either done with its validation or not done."""
    with ctx.progress("validate", sum(len(batch) for batch in batches), "samples") as bar:
        bar.checked = False
        for batch in batches:
            yield batch
            bar.advance(len(batch))


class _Clock:
    """Adds up the time of all attempts: of steps alone, and of everything."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._since = time.perf_counter()
        self._step_since = 0.0
        self.step_seconds = 0.0

    def start_step(self) -> None:
        self._step_since = time.perf_counter()

    def end_step(self) -> None:
        self.step_seconds = time.perf_counter() - self._step_since
        self._progress.step_seconds += self.step_seconds

    def stop(self) -> None:
        now = time.perf_counter()
        self._progress.seconds += now - self._since
        self._since = now


def _show(bar: Bar, board: Board, progress: Progress, result: StepResult, clock: _Clock, *, log: bool) -> None:
    speed = progress.samples / max(progress.step_seconds, 1e-9)
    bar.advance(result.samples, loss=round(result.loss, 4), samples_per_second=round(speed, 1))
    if log:
        board.row(
            {
                "step": progress.step,
                "loss": result.loss,
                "gradient_norm": result.norm,
                "rate": result.rate,
                "samples_per_second": result.samples / max(clock.step_seconds, 1e-9),
            }
        )
