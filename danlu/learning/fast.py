"""What makes a training step quicker without changing what is learned. Each piece was measured by itself;
`benchmarks/train_classify.py` measures them together.

keep_freed_memory   the allocator keeps what a step frees, instead of asking the kernel for zeroed pages each time
short_attention     plain products for short texts on a CPU, where the general kernel takes a slow way round
quick_dropout       16 random bits an element, where torch draws a whole random number
NarrowVocabulary    only the rows of the embedding that the texts use take part in gradient, clipping and update

Shapes: B texts, H heads, T tokens, D units of a head.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from danlu.learning.batching import Examples

SHORT_ATTENTION = "danlu_short"

#: From this many tokens on, the general kernel's smaller memory wins.
_SHORT_TOKENS = 192

#: mallopt's parameters (malloc.h of glibc) and how much is kept: 1 GiB.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30

#: A narrow vocabulary must be at least this much smaller to be worth the renumbering.
_WORTH_NARROWING = 0.9

#: Some families compute positions from the padding token's number, so numbers up to it stay as they are; where it
#: stands at the vocabulary's end nothing is narrowed.
_LARGEST_PAD_ID = 1_000


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks for the next step; False where there is no glibc.

    Training frees and takes the same blocks each step. By default large ones go back to the kernel, which zeroes
    them page by page on their return: 24,000 page faults a step for a 23M-parameter encoder, 1,500 with this.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)) and bool(libc.mallopt(_MMAP_THRESHOLD, _KEPT_BYTES))


def drop(x: torch.Tensor, probability: float) -> torch.Tensor:
    """Dropout (inverted) of `x`, of any shape; `probability` is kept to a multiple of 1/65536."""
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device).random_(-(2**63), None)
    bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
    kept = (bits >= round(probability * 65536) - 32768).to(x.dtype)
    return x * kept.mul_(1.0 / (1.0 - probability))


class QuickDropout(nn.Dropout):
    """`nn.Dropout` by `drop`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return drop(input, self.p) if self.training and 0.0 < self.p < 1.0 else super().forward(input)


def quick_dropout(model: nn.Module) -> None:
    """Make every plain dropout of `model` a quick one; it has no weights, so nothing else changes."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = QuickDropout


def short_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """softmax(Q K^T / sqrt(D)) V for query, key, value [B, H, T, D]; answers [B, T, H, D], as transformers asks.

    Only for short texts in training on a CPU; everything else goes to torch's general kernel.
    """
    simple = module.training and query.device.type == "cpu" and query.shape == key.shape
    if not simple or query.shape[2] > _SHORT_TOKENS:
        general: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **settings
        )
        return general
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query * scale, key.transpose(2, 3)).float()
    if attention_mask is not None:
        scores = scores.masked_fill(attention_mask.logical_not(), torch.finfo(scores.dtype).min)
    elif getattr(module, "is_causal", False):
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(ahead, torch.finfo(scores.dtype).min)
    shares = torch.softmax(scores, dim=-1)
    if dropout > 0.0:
        shares = drop(shares, dropout)
    return torch.matmul(shares.to(value.dtype), value).transpose(1, 2).contiguous(), None


AttentionInterface.register(SHORT_ATTENTION, short_attention)
AttentionMaskInterface.register(SHORT_ATTENTION, sdpa_mask)


@contextlib.contextmanager
def fast_attention(model: Any) -> Iterator[None]:
    """Let `model` use `short_attention` inside, where it uses torch's kernel by transformers' interface."""
    before = model.config._attn_implementation
    if before != "sdpa" or not getattr(model, "_supports_attention_backend", False):
        yield
        return
    model.set_attn_implementation(SHORT_ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


class NarrowVocabulary:
    """Trains only the rows of the input embedding that the texts use; the others stay as they were.

    The others would get no gradient in any case, so the weights learned are the same (but for weight decay, which
    leaves the unused rows alone). `numbers` [V] maps the tokenizer's numbers to those of the narrow model. `used()`
    says which numbers occur, sorted; it is only asked where the answer could matter.
    """

    def __init__(self, model: Any, used: Callable[[], np.ndarray], pad_id: int) -> None:
        self._model = model
        self._wide: nn.Embedding = model.get_input_embeddings()
        size = self._wide.num_embeddings
        tied = model.get_output_embeddings() is not None
        able = self._wide.weight.requires_grad and not tied and pad_id <= _LARGEST_PAD_ID
        rows = np.union1d(used(), np.arange(pad_id + 1)) if able else np.arange(size)
        self.worth = len(rows) < _WORTH_NARROWING * size
        self._rows = torch.from_numpy(rows)
        self.numbers = np.arange(size, dtype=np.int32)
        if self.worth:
            self.numbers = np.zeros(size, dtype=np.int32)
            self.numbers[rows] = np.arange(len(rows), dtype=np.int32)
            self._narrow = nn.Embedding(len(rows), self._wide.embedding_dim, padding_idx=self._wide.padding_idx)
            self._narrow.weight = nn.Parameter(self._wide.weight.detach()[self._rows].clone())
            model.set_input_embeddings(self._narrow)

    def renumbered(self, examples: Examples) -> Examples:
        """`examples` as the narrow model knows their tokens."""
        return examples.renumbered(self.numbers) if self.worth else examples

    def parameters(self) -> int:
        """Parameters of the whole model, unused rows included."""
        inside = sum(int(parameter.numel()) for parameter in self._model.parameters())
        return inside + (self._wide.weight.numel() - self._narrow.weight.numel() if self.worth else 0)

    @contextlib.contextmanager
    def widened(self) -> Iterator[None]:
        """The model with its whole vocabulary inside, for saving it."""
        if not self.worth:
            yield
            return
        with torch.no_grad():
            self._wide.weight[self._rows] = self._narrow.weight.detach().to(self._wide.weight.device)
        self._model.set_input_embeddings(self._wide)
        try:
            yield
        finally:
            self._model.set_input_embeddings(self._narrow)
