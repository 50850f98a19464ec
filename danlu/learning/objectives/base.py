"""What an objective is: a plain value that the loop is given. The loop knows none by name.

Shapes: B examples in a batch, T tokens of the longest one, K classes, V tokens in the vocabulary.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from danlu.core.columns import Codes
from danlu.core.heads import Head
from danlu.learning.asking import CATEGORIES, NUMBERS, SECOND, token_types
from danlu.learning.batching import Batch, Examples, TokenRow
from danlu.learning.chat import Chat
from danlu.learning.scale import Scale

#: Columns of a corpus part by name, each a list with one value a row.
Rows = Mapping[str, Sequence[Any]]

#: Shows progress over batches of indices: `track(batches, what)` yields each.
Track = Callable[[Sequence[np.ndarray], str], Iterable[np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known before the first example is made. `labels`: class names in order, none for generate.

    `targets`: what the training rows are to be answered with, in their order; empty for generate.
    `two_segments`: the model has vectors of its own for the tokens of a second text.
    `codes`: how the cells beside a text are coded, None where there are none.
    `class_weights` [K] multiply the loss of each class's examples, or None. `chat`: how conversations are written, or
    None where there are none. `heads`: the targets of a multitask model, in the order of its outputs; `class_weights`
    then are those of all outputs. `folders`: the model folders that the objective's section names, by field. `warn`
    tells people what they should know of their rows.
    """

    tokenizer: Tokenizer
    labels: Sequence[str] = ()
    targets: Sequence[Any] = ()
    two_segments: bool = False
    codes: Codes | None = None
    class_weights: torch.Tensor | None = None
    chat: Chat | None = None
    heads: Sequence[Head] = ()
    folders: Mapping[str, Path] = field(default_factory=dict)
    warn: Callable[[str], None] = warnings.warn


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a model made of one batch. `loss`: mean over `weight` targets, a float32 scalar that carries gradients.

    `predicted`: class numbers [B] for classify, probabilities [B, K] for tag, standardised numbers [B] for regress,
    all of these side by side for multitask, vectors [B, 2, D] for embed, empty for generate.
    """

    loss: torch.Tensor
    weight: float
    predicted: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class HeadLoss:
    """What a linear head learns from texts that have an answer: alone, or beside other heads over the same encoder.

    `truth(answers)`: the answers of N rows as numbers, [N] or [N, K]. `loss(logits, truth)`: of the outputs [B, K] and
    the truth of B rows, the mean over the rows. `predicted(logits)`: what the outputs say, as `Outcome.predicted`.
    `quality(truth, predicted)`: how good that is over a whole part, 1 at best. `scale`: the unit of numbers.
    """

    truth: Callable[[Sequence[Any]], np.ndarray]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    predicted: Callable[[torch.Tensor], torch.Tensor]
    quality: Callable[[np.ndarray, np.ndarray], float]
    scale: Scale | None = None

    def outcome(self, logits: torch.Tensor, truth: torch.Tensor) -> Outcome:
        """What a model with this head alone made of a batch."""
        return Outcome(loss=self.loss(logits, truth), weight=float(len(truth)), predicted=self.predicted(logits))


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a model made of a whole part: mean loss, and the score that picks the best checkpoint."""

    loss: float
    score: float


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One aim of training.

    `lengths(rows)`: tokens of each row, uncut; what `model.max_length: auto` goes by.
    `examples(rows, max_length)`: rows as examples of at most `max_length` tokens.
    `token_rows(blocks, max_length)`: the same of rows that come block by block, for texts too large for memory.
    None where an example is more than a row of tokens.
    `weight(batch)`: how many targets its loss is the mean of, known before any model has seen it.
    `outcome(model, batch)`: one forward pass.
    `score(loss, truth, predicted)`: quality over a whole part of N rows, from what `outcome` predicted and from the
    examples' column `labels`; both are empty for generate.
    `metric` names it; `higher_is_better` says which way it goes.
    `separable`: the loss of a batch is the mean of its examples' losses by their weights, so a batch may be taken in
    pieces. Where each example is compared with the others of its batch, it may not.
    `prepare(model, rows, examples, track)`: columns for `examples` that take the starting weights or another model to
    find, computed once before the first step; `model` is in eval mode, and `track(batches, what)` yields the batches
    and shows how far it is. None where there are none.
    `publish(folder, model, max_length)`: writes beside the weights what else is needed to use them, and returns what
    `danlu.json` says of it. None where that is nothing.
    """

    lengths: Callable[[Rows], Sequence[int]]
    examples: Callable[[Rows, int], Examples]
    weight: Callable[[Batch], float]
    outcome: Callable[[Any, Batch], Outcome]
    score: Callable[[float, np.ndarray, np.ndarray], float]
    metric: str
    higher_is_better: bool
    separable: bool = True
    token_rows: Callable[[Iterable[Rows], int], Iterator[TokenRow]] | None = None
    prepare: Callable[[Any, Rows, Examples, Track], dict[str, np.ndarray]] | None = None
    publish: Callable[[Path, Any, int], Mapping[str, Any]] | None = None

    def better(self, score: float, than: float | None) -> bool:
        """Whether `score` beats `than`; anything beats None."""
        return than is None or (score > than if self.higher_is_better else score < than)


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """`array` as a tensor there."""
    return torch.from_numpy(array).to(device, non_blocking=True)


def device_of(model: Any) -> torch.device:
    """Where the model's weights lie."""
    device: torch.device = next(model.parameters()).device
    return device


def forward(model: Any, batch: Batch, *, causal: bool = False, **settings: Any) -> Any:
    """What `model` answers to `batch`. A packed one comes with positions that start anew at each document.

    `causal`: no token looks at later ones. Padding stands behind the text, so it needs no mask: attention kernels
    leave out what is ahead by themselves, quicker than with a mask. What comes out at padding itself means nothing.
    """
    device = device_of(model)
    ids = to_device(batch.ids, device)
    if batch.positions is not None:
        return model(input_ids=ids, position_ids=to_device(batch.positions, device), **settings)
    if causal:
        return model(input_ids=ids, **settings)
    return model(input_ids=ids, attention_mask=to_device(batch.mask, device), **_beside(batch, device), **settings)


def _beside(batch: Batch, device: torch.device) -> dict[str, torch.Tensor]:
    """What a model is given beside the tokens: `token_type_ids` [B, T] where there are two texts, and coded cells."""
    found = {name: batch.columns[name] for name in (NUMBERS, CATEGORIES) if name in batch.columns}
    if SECOND in batch.columns:
        found["token_type_ids"] = token_types(batch.columns[SECOND], batch.mask)
    return {name: to_device(values, device) for name, values in found.items()}
