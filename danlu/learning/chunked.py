"""Cross-entropy over a large vocabulary without the logits of all places at once.

A few hundred tokens' logits are made, turned into losses and gradients, and forgotten; the memory for them is the same
however many tokens a batch has. As in Liger Kernel (Hsu et al. 2024, arXiv:2410.10989, section 3.2) the gradient of a
mean loss is found together with it, so that nothing is computed twice; where each token's gradient is only known later,
the logits are made again in the backward pass, as in Wijmans et al. 2024, arXiv:2411.09009.

Shapes: R rows, T tokens, H units of a hidden state, V tokens in the vocabulary, M targets, C targets of a chunk.
"""

from __future__ import annotations

import contextlib
import mmap
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from danlu.learning.batching import NO_TARGET, Batch
from danlu.learning.objectives.base import forward

#: From so many logits of a batch on (256 MiB of float32) they are made in chunks.
MANY_LOGITS = 1 << 26

#: A mean loss is better made in chunks from a sixteenth of that on: it is made once, with its gradient, and for the
#: targets alone, while the output layer would be applied to questions and padding as well.
_SOONER_ONCE = 16

#: How many logits a chunk has at most: 64 MiB of float32.
CHUNK_LOGITS = 1 << 24

#: A chunk takes at most this share of the memory of its output layer, so that a wide vocabulary over a narrow model
#: does not cost more for a moment than the model does all the time; but so few logits (16 MiB) are always worth it.
_SHARE_OF_HEAD, _FEW_LOGITS = 4, 1 << 22

#: Numbers of the output layer's gradient that are made at once where they are summed up in another kind of number.
_PRODUCT_NUMBERS = 1 << 21

#: From so many bytes on the gradient of an output layer has pages of its own.
_OWN_PAGES = 1 << 24


def chunk_logits(vocabulary: int, width: int) -> int:
    """How many logits a chunk has, for an output layer from `width` units to `vocabulary` tokens."""
    return min(CHUNK_LOGITS, max(_FEW_LOGITS, vocabulary * width // _SHARE_OF_HEAD))


@dataclass(frozen=True, kw_only=True)
class States:
    """What a model knows at each place [R, T, H], before its output layer `head`.

    `dtype`: the kind of number that the model's matrix products are in.
    """

    hidden: torch.Tensor
    head: nn.Linear
    dtype: torch.dtype

    @property
    def chunk(self) -> int:
        """How many targets C are taken at once."""
        head = self.head
        return max(1, chunk_logits(head.out_features, head.in_features) // head.out_features)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Of some places [C, H], as float32 [C, V]."""
        with torch.autocast(hidden.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            logits: torch.Tensor = self.head(hidden).float()
        return logits


def worth(places: int, vocabulary: int, *, once: bool = False) -> bool:
    """Whether so many places have logits that are better made in chunks; `once`: for `mean_loss`."""
    return places * vocabulary >= (MANY_LOGITS // _SOONER_ONCE if once else MANY_LOGITS)


def applies(model: Any, batch: Batch, *, once: bool = False) -> bool:
    """Whether the loss of `batch` is better taken in chunks, and may be; `once`: by `mean_loss`.

    It may not where the output layer is more than one product, or the model changes what comes out of it.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or not worth(batch.ids.size, head.out_features, once=once):
        return False
    if model not in _STAND_INS:
        _STAND_INS[model] = _Through() if _ends_with(model, head) else None
    return _STAND_INS[model] is not None


def states(model: Any, batch: Batch) -> States:
    """One forward pass up to the output layer, where `applies` says yes."""
    head, through = model.get_output_embeddings(), _STAND_INS[model]
    assert through is not None
    with _in_place_of(model, head, through), _few_rows(model, head):
        hidden = forward(model, batch, causal=True, use_cache=False).logits
    return States(hidden=hidden, head=head, dtype=through.dtype)


class _Through(nn.Module):
    """Stands where the output layer does, and hands on what it is given."""

    dtype = torch.float32

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        kind = hidden.device.type
        self.dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        return hidden


class _Says(nn.Module):
    """Stands where the output layer does, and answers the same to everything."""

    answer = torch.tensor([-1000.0, -3.0, 0.5, 100.0])

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.answer.to(hidden.device).expand(*hidden.shape[:-1], -1)


#: What stands in for the output layer of each model, always the same; None where nothing may.
_STAND_INS: weakref.WeakKeyDictionary[Any, _Through | None] = weakref.WeakKeyDictionary()


@torch.no_grad()
def _ends_with(model: Any, head: nn.Linear) -> bool:
    """Whether `model` hands on unchanged what its output layer answers: no cap, no scale, nothing added."""
    says, was_training = _Says(), model.training
    # Neither the embedding, which others may watch, nor what is compiled takes part.
    nothing = torch.zeros((1, 1, model.get_input_embeddings().embedding_dim), device=head.weight.device)
    model.eval()
    try:
        with _in_place_of(model, head, says):
            answer = model.forward(inputs_embeds=nothing, use_cache=False).logits
    except (TypeError, ValueError, RuntimeError, IndexError):  # a model that wants other inputs, or looks at the logits
        return False
    finally:
        model.train(was_training)
    return torch.equal(answer.flatten().cpu(), says.answer)


@contextlib.contextmanager
def _in_place_of(model: Any, head: nn.Module, other: nn.Module) -> Iterator[None]:
    """Inside, `model` has `other` where it has `head`."""
    name = next(name for name, module in model.named_modules() if module is head)
    parent = model.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], other)
    try:
        yield
    finally:
        setattr(parent, name.rpartition(".")[2], head)


@contextlib.contextmanager
def _few_rows(model: Any, head: nn.Linear) -> Iterator[None]:
    """Inside, a table of embeddings that is the output layer's too is read so that only rows come back of it.

    Autograd would make a gradient of the whole table for the few rows that a batch reads, beside that of the output
    layer. Here the rows wait until the latter has arrived at the weights, and are added to it in place.
    """
    table = model.get_input_embeddings()
    weight: Any = head.weight
    alone: Any = _RowsAlone
    shared = isinstance(table, nn.Embedding) and table.weight is weight and weight.requires_grad
    if not shared or table.sparse or not torch.is_grad_enabled() or model._compiled_call_impl is not None:
        yield
        return
    if model not in _ROWS:
        rows = _ROWS[model] = []
        weight.register_post_accumulate_grad_hook(lambda to: _add_rows(to, rows))
    _ROWS[model].clear()  # of a backward pass that was broken off
    del table.weight
    table.weight, table.sparse = alone.apply(weight, _ROWS[model]), True
    try:
        yield
    finally:
        del table.weight
        table.weight, table.sparse = weight, False


#: Gradients of rows that wait for that of the whole table, by model.
_ROWS: weakref.WeakKeyDictionary[Any, list[torch.Tensor]] = weakref.WeakKeyDictionary()


class _RowsAlone(torch.autograd.Function):
    """A table [V, H] as it is; its gradient, which must be sparse, is put into a list."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, rows: list[torch.Tensor]) -> torch.Tensor:
        ctx.rows = rows
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> Any:
        ctx.rows.append(outer[0])
        return None, None


@torch.no_grad()
def _add_rows(weight: torch.Tensor, rows: list[torch.Tensor]) -> None:
    while rows:
        some = rows.pop()
        assert weight.grad is not None
        weight.grad.index_add_(0, some._indices()[0], some._values().to(weight.grad.dtype))


def mean_loss(found: States, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the targets among `targets` [R, T]; float32, no number where there are none."""
    return _applied(_MeanLoss, found, targets, targets != NO_TARGET)


def token_losses(found: States, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each of `targets` [R, T], 0 where it is none; float32."""
    wanted = targets != NO_TARGET
    some = _applied(_TokenLosses, found, targets, wanted)
    return torch.zeros(targets.shape, device=some.device).masked_scatter(wanted, some)


def _applied(function: Any, found: States, targets: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    # Inside `forward` gradients are always off, and what needs one is asked of the tensors alone: a validation, where
    # nobody wants any, has to be told of.
    learning = torch.is_grad_enabled()
    loss: torch.Tensor = function.apply(
        found.hidden[wanted], found.head.weight, found.head.bias, targets[wanted], found, learning
    )
    return loss


def sum_of(found: States, wanted: torch.Tensor, loss: Callable[[torch.Tensor, slice], torch.Tensor]) -> torch.Tensor:
    """Sum of `loss(logits, part)` over chunks of the places `wanted` [R, T] of bool.

    `logits` are [C, V] and `part` says which of the wanted places, in order, they are of. Nothing of a chunk is kept
    for the backward pass, which makes its logits anew.
    """
    hidden = found.hidden[wanted]
    total = hidden.new_zeros((), dtype=torch.float32)
    for begin in range(0, len(hidden), found.chunk):
        part = slice(begin, begin + found.chunk)

        def one(chunk: torch.Tensor, part: slice = part) -> torch.Tensor:
            return loss(found.logits(chunk), part)

        total = total + checkpoint(one, hidden[part], use_reentrant=False, preserve_rng_state=False)
    return total


class _MeanLoss(torch.autograd.Function):
    """Of `hidden` [M, H], `weight` [V, H], `bias` [V] or None and `targets` [M]: a scalar."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        found: States,
        learning: bool,
    ) -> torch.Tensor:
        ctx.targets = len(targets)
        needed = ctx.needs_input_grad[:3] if learning else (False, False, False)
        losses, ctx.gradients = _in_chunks(found, hidden, weight, bias, targets, needed)
        return losses.mean()

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> Any:
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("The gradient of a loss in chunks can be asked for once.")
        factor = outer[0] / ctx.targets
        return *(None if gradient is None else gradient.mul_(factor) for gradient in gradients), None, None, None


class _TokenLosses(torch.autograd.Function):
    """As `_MeanLoss`, but the loss of each target [M]."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        found: States,
        _learning: bool,
    ) -> torch.Tensor:
        ctx.save_for_backward(hidden, weight, bias, targets)
        ctx.found = found
        return _in_chunks(found, hidden, weight, bias, targets, (False, False, False))[0]

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> Any:
        hidden, weight, bias, targets = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        return *_in_chunks(ctx.found, hidden, weight, bias, targets, needed, outer[0])[1], None, None, None, None


_Gradients = tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]


@torch.no_grad()
def _in_chunks(
    found: States,
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    needed: tuple[bool, bool, bool],
    outer: torch.Tensor | None = None,
) -> tuple[torch.Tensor, _Gradients]:
    """Losses [M], and where `needed` the gradient of their sum with respect to hidden states, weight and bias.

    With `outer` [M] the sum is weighted by it. Gradients are summed up in float32.
    """
    dtype = found.dtype
    losses = torch.empty(len(targets), device=hidden.device)
    for_hidden = torch.empty_like(hidden) if needed[0] else None
    for_weight = _zeros_like(weight) if needed[1] else None
    for_bias = torch.zeros_like(bias) if needed[2] and bias is not None else None
    weight = weight.to(dtype)
    bias = None if bias is None else bias.to(dtype)
    for begin in range(0, len(targets), found.chunk):
        part = slice(begin, begin + found.chunk)
        states, wanted = hidden[part].to(dtype), targets[part, None]
        logits = F.linear(states, weight, bias).float()
        losses[part], sums = _losses(logits, wanted)
        if not any(needed):
            continue
        # Softmax minus the target: the gradient of each loss with respect to its logits.
        logits.div_(sums)
        logits.scatter_add_(1, wanted, -torch.ones_like(wanted, dtype=logits.dtype))
        scale = None if outer is None else outer[part, None]
        slopes = logits.to(dtype)
        if for_hidden is not None:
            product = slopes @ weight
            for_hidden[part] = product if scale is None else product * scale
        if scale is not None:
            slopes = slopes.mul_(scale)
        if for_weight is not None:
            _add_product(for_weight, slopes.t(), states)
        if for_bias is not None:
            for_bias += slopes.sum(dim=0, dtype=torch.float32)
    return losses, (for_hidden, for_weight, for_bias)


def _zeros_like(weight: torch.Tensor) -> torch.Tensor:
    """Zeros for the gradient of `weight`; large ones on a CPU in pages of their own, which the kernel takes back whole.

    In the allocator's heap, smaller blocks would take its place once it is freed, and the next one would need another.
    """
    size = weight.numel() * weight.element_size()
    if weight.device.type != "cpu" or size < _OWN_PAGES or not hasattr(mmap, "MAP_ANONYMOUS"):
        return torch.zeros_like(weight)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=weight.dtype).view(weight.shape)


def _losses(logits: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy [C] of `logits` [C, V] for the targets `wanted` [C, 1]; `logits` become exp(logits - largest).

    Also their sums [C, 1], which make a softmax of them. In place, since this is most of the memory that is needed.
    """
    logits.sub_(logits.amax(dim=1, keepdim=True))
    of_target = logits.gather(1, wanted)
    sums = logits.exp_().sum(dim=1, keepdim=True)
    return (sums.log() - of_target).squeeze(1), sums


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add `left @ right` to `total` [V, H], with no copy of its size."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
        return
    rows = max(1, _PRODUCT_NUMBERS // total.shape[1]) if total.device.type == "cpu" else len(total)
    for begin in range(0, len(total), rows):
        part = slice(begin, begin + rows)
        total[part] += left[part] @ right
