"""The real step on a model without weights: what it holds at its peak, and what it computes.

The model is made by the same code as in training, from its configuration alone, and so are objective, method,
optimizer and step. Only the numbers are missing. Run by `danlu.plan.trace_worker` in a process of its own.

Shapes: B examples in a batch, T tokens of the longest one.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from tokenizers import Tokenizer
from torch._subclasses.fake_tensor import FakeTensorMode

from danlu.core.errors import DanluError
from danlu.core.machine import resident_bytes
from danlu.learning import chunked, scratch
from danlu.learning.adapters.table import METHODS, adapt
from danlu.learning.assembly import ready_to_train
from danlu.learning.batching import Batch
from danlu.learning.fast import NarrowVocabulary, fast_attention
from danlu.learning.models import like_base
from danlu.learning.objectives.base import Facts, Objective
from danlu.learning.objectives.config import aim_of
from danlu.learning.objectives.table import KINDS, Kind, make_objective
from danlu.learning.regularizers.weights import Regularizer
from danlu.learning.step import MIXED_PRECISION, train_step
from danlu.plan.config import ScratchConfig, TrainConfig
from danlu.plan.trace_watch import GRADIENTS, OPTIMIZER, WEIGHTS, Tally, Watch, fake_from_meta


class Untraceable(DanluError):
    """The trace cannot say what this recipe needs; the formula has to."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be traced. `base`: the folder whose config.json says what the model is; None for one from scratch.

    `vocabulary`: tokens of a model from scratch. `used`: how many token numbers the texts have, which matters where
    only their rows of the embedding are trained. `pieces`: the batches of the step whose peak is wanted; `validation`:
    the largest that is scored; `typical`: further batches whose work is counted.
    """

    task: str
    train: TrainConfig
    base: Path | None
    scratch: ScratchConfig | None
    tokenizer: Path
    labels: Sequence[str]
    targets: Sequence[Any]
    max_length: int
    vocabulary: int
    used: int
    precision: str
    pieces: Sequence[Batch]
    validation: Batch | None = None
    typical: Sequence[Batch] = ()


@dataclass(frozen=True, kw_only=True)
class Peak:
    """Bytes at a peak, altogether and by part (see `trace_watch.PARTS`)."""

    total: int
    parts: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Pass:
    """The work of one forward and backward pass over a batch of `rows` B and `length` T."""

    rows: int
    length: int
    tally: Tally


@dataclass(kw_only=True)
class Traced:
    """What a trace says. `base_bytes`: resident in this process when all libraries were loaded and the model had no
    weights; `step` and `validation`: peaks; `passes`, `scored`: work of batches in training and without gradients;
    `update`: of clipping and update.
    """

    parameters: int
    trainable: int
    base_bytes: int
    step: Peak
    validation: Peak | None = None
    passes: list[Pass] = field(default_factory=list)
    scored: list[Pass] = field(default_factory=list)
    update: Tally = field(default_factory=Tally)

    def as_json(self) -> dict[str, Any]:
        """As plain values; `danlu.plan.traced` reads them."""
        return {
            "parameters": self.parameters,
            "trainable": self.trainable,
            "base_bytes": self.base_bytes,
            "step": vars(self.step),
            "validation": None if self.validation is None else vars(self.validation),
            "passes": [_pass(one) for one in self.passes],
            "scored": [_pass(one) for one in self.scored],
            "update": self.update.as_json(),
        }


def _pass(one: Pass) -> dict[str, Any]:
    return {"rows": one.rows, "length": one.length, **one.tally.as_json()}


def trace(request: Request) -> Traced:
    """Trace one step, one validation batch, and the work of further batches.

    Raises `Untraceable` where that is not possible, and the errors that training itself would raise.
    """
    objective, model, parameters = prepared(request)
    # Before the first fake tensor: what makes those is loaded by a trace alone.
    base_bytes = resident_bytes()
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    fake_from_meta(model, mode)
    watch = Watch()
    with _from_the_allocator(), mode, watch:
        return _steps(request, objective, model, watch, parameters, base_bytes)


def prepared(
    request: Request, *, change: Callable[[torch.nn.Module], None] = lambda _: None
) -> tuple[Objective, Any, int]:
    """The objective, the model on the device meta after `change` and its method, and its parameters before that."""
    aim = aim_of(request.task, request.train.objective)  # type: ignore[arg-type]
    kind = KINDS[aim.kind]
    method = METHODS[request.train.method.kind]
    if method.load is not None:
        raise Untraceable(f"weights of train.method {request.train.method.kind} are in a form that has no fake")
    if kind.tokenizer is not None or getattr(aim, "teacher", None) is not None:
        raise Untraceable("the objective asks a second model, whose weights it reads")
    tokenizer = Tokenizer.from_file(str(request.tokenizer))
    weights = torch.ones(len(request.labels)) if request.train.class_weights != "none" and request.labels else None
    objective = make_objective(
        aim, Facts(tokenizer=tokenizer, labels=request.labels, targets=request.targets, class_weights=weights)
    )
    return objective, *_model(request, kind, tokenizer, change)


def traced_step(
    request: Request, objective: Objective, model: Any, batches: Sequence[Batch], *, short: bool
) -> tuple[dict[str, Any], ...]:
    """For each of `batches` the peak and the work of a step on it alone, then the work of the update.

    `short`: attention takes the quick path of a CPU.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    fake_from_meta(model, mode)
    watch = Watch()
    with _from_the_allocator(), mode, watch:
        ready, optimizer, accelerator, _held = _ready(request, model, watch)
        found: list[dict[str, Any]] = []
        with fast_attention(model) if short else contextlib.nullcontext(), _gradients_marked(model, watch):
            for batch in batches:
                watch.reset()
                _step(request, accelerator, ready, optimizer, objective, [batch])
                found.append({"total": watch.peak, "parts": watch.parts, "tally": watch.tally.as_json()})
        update = _update(model, optimizer, request.train, watch).as_json()
    for one in found:  # the step's own update is told apart
        one["tally"]["bytes"] -= update["bytes"]
        one["tally"]["calls"] -= update["calls"]
    return (*found, update)


def _model(
    request: Request, kind: Kind, tokenizer: Tokenizer, change: Callable[[torch.nn.Module], None]
) -> tuple[Any, int]:
    with torch.device("meta"):
        if request.base is not None:
            model = like_base(request.base, kind.head, request.labels)
        else:
            size = request.scratch
            assert size is not None
            shape = scratch.Shape(
                layers=size.layers,
                width=size.width,
                heads=size.heads,
                positions=max(scratch.POSITIONS, request.max_length),
            )
            sized: Any = _Sized(tokenizer, request.vocabulary)
            model = scratch.MAKERS[kind.head](shape, sized, request.labels)
        change(model)
        adapted = adapt(model, request.train.method)
    return model, adapted.total


class _Sized:
    """A tokenizer that has as many tokens as the one that training will learn."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary

    def get_vocab_size(self) -> int:
        return self._vocabulary

    def token_to_id(self, token: str) -> int | None:
        number: int | None = self._tokenizer.token_to_id(token)
        return number


def _steps(
    request: Request, objective: Objective, model: Any, watch: Watch, parameters: int, base_bytes: int
) -> Traced:
    train = request.train
    ready, optimizer, accelerator, _held = _ready(request, model, watch)
    with fast_attention(model), _gradients_marked(model, watch):
        watch.reset()
        _step(request, accelerator, ready, optimizer, objective, request.pieces)
        found = Traced(
            parameters=parameters,
            trainable=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
            base_bytes=base_bytes,
            step=Peak(total=watch.peak, parts=watch.parts),
        )
        optimizer.zero_grad(set_to_none=True)
        for batch in request.typical:
            watch.reset()
            loss = objective.outcome(ready, batch).loss
            torch.autograd.backward(loss)
            del loss
            optimizer.zero_grad(set_to_none=True)
            found.passes.append(Pass(rows=batch.ids.shape[0], length=batch.ids.shape[1], tally=watch.tally))
        found.update = _update(model, optimizer, train, watch)
        if request.validation is not None:
            _validate(request, objective, ready, watch, found)
    return found


def _ready(
    request: Request, model: Any, watch: Watch
) -> tuple[Any, torch.optim.Optimizer, Accelerator, NarrowVocabulary]:
    """The model as the loop has it before its second step, its optimizer, what wraps it, and what holds the embedding
    of which it trains a part: that must live as long.
    """
    train = request.train
    watch.mark(_weights(model), WEIGHTS)
    optimizer, vocabulary = ready_to_train(
        model,
        used=lambda: np.arange(request.used),
        pad_id=0,
        regularize=train.regularize,
        optimizer=train.optimizer,
        checkpointing=train.checkpointing,
        compiled=False,
    )
    watch.mark(_weights(model), WEIGHTS)
    accelerator = Accelerator(mixed_precision=MIXED_PRECISION[request.precision], cpu=True, device_placement=False)
    ready = accelerator.prepare(model)
    ready.train()
    _hold_state(model, optimizer, watch)
    return ready, optimizer, accelerator, vocabulary


def _step(
    request: Request,
    accelerator: Accelerator,
    model: Any,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    batches: Sequence[Batch],
) -> None:
    train = request.train
    train_step(
        accelerator,
        model,
        optimizer,
        objective,
        batches,
        rate=train.learning_rate,
        clip=train.guard.clip,
        regularizer=Regularizer.of(train.regularize),
    )


def _weights(model: Any) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    yield from model.buffers()


@contextlib.contextmanager
def _from_the_allocator() -> Iterator[None]:
    """Inside, no gradient takes pages of its own from the kernel, which would be real: as many bytes are seen."""
    before, chunked._OWN_PAGES = chunked._OWN_PAGES, sys.maxsize
    try:
        yield
    finally:
        chunked._OWN_PAGES = before


def _gradients(model: Any) -> None:
    for weight in model.parameters():
        if weight.requires_grad:
            weight.grad = torch.zeros_like(weight)


def _hold_state(model: Any, optimizer: torch.optim.Optimizer, watch: Watch) -> None:
    """Let the optimizer make what it holds from the second step on."""
    _gradients(model)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for state in optimizer.state.values():
        watch.mark((value for value in state.values() if isinstance(value, torch.Tensor)), OPTIMIZER)


def _update(model: Any, optimizer: torch.optim.Optimizer, train: TrainConfig, watch: Watch) -> Tally:
    """The work of clipping and of an update."""
    _gradients(model)
    watch.reset()
    torch.nn.utils.clip_grad_norm_(model.parameters(), train.guard.clip)
    optimizer.step()
    tally = watch.tally
    optimizer.zero_grad(set_to_none=True)
    return tally


def _validate(request: Request, objective: Objective, model: Any, watch: Watch, found: Traced) -> None:
    assert request.validation is not None
    model.eval()
    for batch in (request.validation, *request.typical):
        watch.reset()
        with torch.no_grad():
            objective.outcome(model, batch)
        if batch is request.validation:
            found.validation = Peak(total=watch.peak, parts=watch.parts)
        found.scored.append(Pass(rows=batch.ids.shape[0], length=batch.ids.shape[1], tally=watch.tally))


@contextlib.contextmanager
def _gradients_marked(model: Any, watch: Watch) -> Iterator[None]:
    """Inside, whatever becomes a weight's gradient is counted as one."""

    def note(weight: torch.Tensor) -> None:
        if weight.grad is not None:
            watch.mark([weight.grad], GRADIENTS)

    hooks = [weight.register_post_accumulate_grad_hook(note) for weight in model.parameters() if weight.requires_grad]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
