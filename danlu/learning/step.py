"""One step of training: the real one, which the plan may trace too."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

from danlu.core.errors import UserError
from danlu.core.machine import Machine
from danlu.learning.batching import Batch
from danlu.learning.objectives.base import Objective
from danlu.learning.processes import over_all, sum_gradients
from danlu.learning.regularizers.adversary import watched
from danlu.learning.regularizers.weights import Regularizer, add_l1

#: Where bfloat16 products run in hardware they are used for matrix products; weights and sums stay float32.
MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}

#: A scale of the loss below this is no help any more: the gradient itself is not a number.
_SMALLEST_SCALE = 1.0


def make_accelerator(precision: str) -> Accelerator:
    """An Accelerator, for precision and wrapping only; `precision` is a key of `MIXED_PRECISION`."""
    return Accelerator(mixed_precision=MIXED_PRECISION[precision])


def prepared(accelerator: Accelerator, model: Any) -> Any:
    """`model`, on the accelerator's device and in its precision.

    Of several processes each has the model as it is: `train_step` adds up their gradients itself, once it is known
    that none of them lacked memory.
    """
    return accelerator.prepare_model(model, evaluation_mode=accelerator.num_processes > 1)


def precision_of(accelerator: Accelerator) -> str:
    """The reverse of `make_accelerator`."""
    return next(name for name, short in MIXED_PRECISION.items() if short == accelerator.mixed_precision)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One piece of a step by itself: its examples, and the squared length of the gradient of its mean loss."""

    samples: int
    squared: float


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """`loss`: the batch's mean; `weight`: targets it is the mean of; `norm`: the gradient's, before clipping; `rate`:
    the learning rate; `samples`: the batch's size; `tokens`: those without padding. With several processes all of these
    are of all of them together.

    `piece`: the first piece, where there were several and one process. `squared`: squared length of the loss's
    gradient, without penalties, where `piece` is given. `adversarial_seconds`: time that the adversary took, in this
    process. `overflow`: float16 could not hold the scaled gradient, so the scale was lowered and the weights stayed as
    they were.
    """

    loss: float
    weight: float
    norm: float
    rate: float
    samples: int
    tokens: int
    piece: Piece | None = None
    squared: float = 0.0
    adversarial_seconds: float = 0.0
    overflow: bool = False

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and (self.overflow or math.isfinite(self.norm))


def train_step(
    accelerator: Accelerator,
    model: Any,
    optimizer: Any,
    objective: Objective,
    batches: Sequence[Batch],
    *,
    rate: float,
    clip: float,
    regularizer: Regularizer | None = None,
) -> StepResult:
    """Forward and backward for each of `batches`, then clip and update once, as if they were one batch.

    Each batch counts by its targets, among those of all processes, so that 8 batches of one, or 2 processes with 4
    each, give the gradient of one batch of 8. Weights are left as they were when loss or gradient are not finite, and
    where there is no target at all.

    An error for lack of memory that leaves here left the weights as they were: the step may be taken again in
    smaller pieces. Where the update itself lacks memory, that would not help, and `UserError` is raised.
    """
    regularizer = regularizer or Regularizer()
    weights = [objective.weight(batch) for batch in batches]
    (total,) = over_all(accelerator, [sum(weights)])
    shares = [weight / total if total else 0.0 for weight in weights]
    learned = None
    try:
        learned = _learn(accelerator, model, objective, batches, shares, regularizer)
    except Exception as error:
        if accelerator.num_processes == 1 or not lacks_memory(error):
            raise
    loss, seconds, piece = learned or (0.0, 0.0, None)
    told = [loss, float(sum(len(batch) for batch in batches)), float(sum(int(batch.mask.sum()) for batch in batches))]
    if accelerator.num_processes > 1:
        found = sum_gradients(accelerator, model, failed=learned is None, told=told)
        if found is None:
            raise MemoryError("One of the processes ran out of memory.")
        told = found
    if accelerator.scaler is not None and total:
        accelerator.scaler.unscale_(optimizer)
    squared = _squared_gradient(model) if piece is not None and regularizer.l1 else 0.0
    if regularizer.l1:
        add_l1(model, regularizer.l1)
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), clip))
    result = StepResult(
        loss=told[0],
        weight=total,
        norm=norm,
        rate=rate,
        samples=int(told[1]),
        tokens=int(told[2]),
        piece=piece,
        squared=squared or norm**2,
        adversarial_seconds=seconds,
        overflow=_overflows(accelerator, norm),
    )
    if result.finite and total:
        _update(accelerator, optimizer, rate)
    optimizer.zero_grad(set_to_none=True)
    return result


def _learn(
    accelerator: Accelerator,
    model: Any,
    objective: Objective,
    batches: Sequence[Batch],
    shares: Sequence[float],
    regularizer: Regularizer,
) -> tuple[float, float, Piece | None]:
    """Add the gradients of all batches by their shares: loss, seconds of the adversary, and what the first one told."""
    loss = seconds = 0.0
    piece = None
    for place, (batch, share) in enumerate(zip(batches, shares, strict=True)):
        if not share:  # the mean over no targets is no number, and counts for nothing
            continue
        value, extra = _backward(accelerator, model, objective, batch, share, regularizer)
        loss += value * share
        seconds += extra
        if place == 0 and len(batches) > 1 and share and accelerator.num_processes == 1:
            piece = Piece(samples=len(batch), squared=_squared(accelerator, model) / share**2)
    return loss, seconds, piece


def _backward(
    accelerator: Accelerator, model: Any, objective: Objective, batch: Batch, factor: float, regularizer: Regularizer
) -> tuple[float, float]:
    """Add the gradient of `factor` times the batch's loss; the plain loss, and seconds that the adversary took.

    With an adversary it is the mean of the plain loss and that under its disturbance.
    """
    adversary = regularizer.adversary
    if adversary is None:
        loss = objective.outcome(model, batch).loss
        _differentiate(accelerator, loss if factor == 1.0 else loss * factor)
        return loss.item(), 0.0
    inner = accelerator.unwrap_model(model)
    with watched(inner) as embeddings:
        loss = objective.outcome(model, batch).loss
    _differentiate(accelerator, loss * (0.5 * factor))
    plain = loss.item()
    begun = time.perf_counter()
    found = adversary.disturbance(inner, lambda: objective.outcome(model, batch).loss, _gradient_of(embeddings[0]))
    with watched(inner, found):
        disturbed = objective.outcome(model, batch).loss
    _differentiate(accelerator, disturbed * (0.5 * factor))
    disturbed.item()
    return plain, time.perf_counter() - begun


def _differentiate(accelerator: Accelerator, loss: torch.Tensor) -> None:
    """Add the gradient of `loss`, scaled where the precision asks for it."""
    scaler = accelerator.scaler
    torch.autograd.backward(loss if scaler is None else scaler.scale(loss))


def _gradient_of(embeddings: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(embeddings) if embeddings.grad is None else embeddings.grad


def _update(accelerator: Accelerator, optimizer: Any, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    try:
        if accelerator.scaler is None:
            optimizer.step()
        else:
            accelerator.scaler.step(optimizer)
            accelerator.scaler.update()
    except Exception as error:
        if not lacks_memory(error):
            raise
        raise UserError(
            "There is not enough memory for the optimizer's state. Take train.optimizer.kind: adafactor, which holds "
            "next to none, train fewer of the weights, or take a smaller model."
        ) from error


def _squared(accelerator: Accelerator, model: Any) -> float:
    """Squared length of the gradient so far, its scale taken off."""
    scale = 1.0 if accelerator.scaler is None else accelerator.scaler.get_scale()
    return _squared_gradient(model) / scale**2


def _squared_gradient(model: Any) -> float:
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients)) ** 2


def _overflows(accelerator: Accelerator, norm: float) -> bool:
    scaler = accelerator.scaler
    return scaler is not None and not math.isfinite(norm) and scaler.get_scale() > _SMALLEST_SCALE


#: How torch's allocators say that there is no memory, beside `torch.OutOfMemoryError`.
_NO_MEMORY = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory")


def lacks_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on a GPU or not."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _NO_MEMORY)


def choose_precision(wanted: str, machine: Machine) -> str:
    """`train.precision` as a value: auto takes bfloat16 where products in it run in hardware, else float32.

    Raises `UserError` for float16 without a GPU.
    """
    if wanted == "float16" and not torch.cuda.is_available():
        raise UserError(
            "train.precision is float16, but there is no GPU here: on a CPU products in float16 are slower than in "
            "float32, and its range needs a scaled loss that torch has for GPUs alone. Take auto, bfloat16 or float32."
        )
    if wanted != "auto":
        return wanted
    hardware = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else machine.has_bf16
    return "bfloat16" if hardware else "float32"
