"""How much work a model is: operations, bytes moved, bytes held. Formulas only; nothing is measured here.

B texts in a batch, T tokens of the longest one (padding included), n = B T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from danlu.plan.shape import Shape
from danlu.plan.trained import Trained

#: Bytes that clipping and AdamW move per parameter in a step, float32: the gradient is written and read for the norm
#: and scaled (4 + 4 + 8), AdamW reads weight, gradient and two moments and writes three (16 + 12).
OPTIMIZER_BYTES_MOVED = 44
#: Bytes that a mixed-precision step moves per weight in a product: cast to 16 bits (4 + 2), its gradient cast back
#: (2 + 4).
CAST_BYTES_MOVED = 12


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The batches of some pass over the data: tokens with padding, and how they are spread.

    `tokens`: sum of B T; `pairs`: sum of B T T (attention); `count`: batches; `widest`: largest B T, and
    `widest_pairs` its B T T; `lengths`: how many different T there are.
    """

    tokens: float
    pairs: float
    count: int
    widest: int
    widest_pairs: int
    lengths: int

    @classmethod
    def of(cls, sizes: Sequence[int], longest: Sequence[int]) -> Batches:
        """From B and T of every batch."""
        size, length = np.asarray(sizes, dtype=np.int64), np.asarray(longest, dtype=np.int64)
        tokens, pairs = size * length, size * length * length
        place = int(tokens.argmax())
        return cls(
            tokens=float(tokens.sum()),
            pairs=float(pairs.sum()),
            count=len(size),
            widest=int(tokens[place]),
            widest_pairs=int(pairs[place]),
            lengths=len(np.unique(length)),
        )

    def times(self, factor: float) -> Batches:
        """As many batches of the same kind, `factor` times over."""
        return Batches(
            tokens=self.tokens * factor,
            pairs=self.pairs * factor,
            count=round(self.count * factor),
            widest=self.widest,
            widest_pairs=self.widest_pairs,
            lengths=self.lengths,
        )


@dataclass(frozen=True, kw_only=True)
class Work:
    """Work of some passes. `flops`: operations in matrix products. `elements`: activations written.

    `optimizer_bytes`: moved by updates and casts. `logits`: output values. `layers`: layer calls.
    """

    flops: float
    elements: float
    optimizer_bytes: float
    logits: float
    layers: float


def elements_per_token(shape: Shape) -> int:
    """Activations that a layer writes per token: about 8 of the width, and each inner value once per matrix."""
    return shape.layers * (8 * shape.width + shape.matrices * shape.inner)


def forward_flops(shape: Shape, batches: Batches, *, generates: bool) -> float:
    """Operations of a forward pass: 2 per weight and token, and 4 T width per layer and token for attention.

    Kaplan et al. 2020 (arXiv:2001.08361), section 2.1; Chowdhery et al. 2022 (arXiv:2204.02311), appendix B.
    The output layer counts for a language model, where every token is scored.
    """
    weights = shape.in_products + (shape.vocabulary * shape.width if generates else 0)
    attention = 4 * shape.layers * shape.heads * shape.head_width
    return 2.0 * weights * batches.tokens + attention * batches.pairs


def forward(shape: Shape, batches: Batches, *, generates: bool) -> Work:
    """Work of scoring the batches."""
    return Work(
        flops=forward_flops(shape, batches, generates=generates),
        elements=elements_per_token(shape) * batches.tokens,
        optimizer_bytes=0.0,
        logits=shape.vocabulary * batches.tokens if generates else 0.0,
        layers=float(shape.layers * batches.count),
    )


def training(
    shape: Shape, trained: Trained, batches: Batches, *, generates: bool, mixed: bool, checkpointing: bool = False
) -> Work:
    """Work of training on the batches.

    The backward pass is a forward one's work for the gradients of inputs, and as much for those of weights (same
    sources): frozen weights save the latter, layers below all that is trained save both. Checkpointing runs the
    forward pass once more (Chen et al. 2016, arXiv:1604.06174).
    """
    once = forward(shape, batches, generates=generates)
    weights = shape.in_products + (shape.vocabulary * shape.width if generates else 0)
    moved = float(OPTIMIZER_BYTES_MOVED * trained.trainable)
    if mixed:
        moved += CAST_BYTES_MOVED / 2 * weights * (1.0 + trained.learned)
    passes = 1.0 + trained.passed + trained.learned + (trained.passed if checkpointing else 0.0)
    return Work(
        flops=passes * once.flops + 6.0 * trained.added * batches.tokens,
        elements=once.elements * (1.0 + (trained.passed if checkpointing else 0.0)),
        optimizer_bytes=moved * batches.count,
        logits=once.logits,
        layers=once.layers,
    )


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Peak of a training step by part, in bytes."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    framework: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations + self.framework


#: Bytes that stay for the backward pass per activation that `elements_per_token` counts; fitted, see docs/plan.md.
#: float16 was not measured: it takes the room of bfloat16.
KEPT_PER_ELEMENT = {"float32": 7.3, "bfloat16": 5.3, "float16": 5.3}
#: Bytes kept per value of the attention matrix, where dropout keeps it (Korthikanti et al.: 5 with 16 bits).
KEPT_PER_PAIR = {"float32": 9.0, "bfloat16": 5.0, "float16": 5.0}
#: Bytes per output value: 16- and 32-bit logits, their softmax and their gradient; fitted.
KEPT_PER_LOGIT = {"float32": 18.0, "bfloat16": 14.0, "float16": 14.0}


def training_memory(
    shape: Shape,
    parameters: int,
    batches: Batches,
    *,
    trained: Trained,
    generates: bool,
    precision: str,
    framework: float,
    checkpointing: bool = False,
) -> Memory:
    """Peak memory of a training step.

    Model state: 16 bytes a trained parameter and 4 a frozen one, with Adam, float32 weights and 32-bit sums
    (Rajbhandari et al. 2020, arXiv:1910.02054, section 3.1; there 16-bit weights and gradients beside 32-bit ones,
    here 32-bit ones alone), and 2 more for the 16-bit copies that autocast keeps. Activations after Korthikanti et
    al. 2022 (arXiv:2205.05198), equation 2, with the constants fitted to what this loop keeps; layers below all that
    is trained keep none, and with checkpointing a layer keeps its input alone, but for the one computed anew.
    """
    mixed = precision != "float32"
    weights = shape.in_products + (shape.vocabulary * shape.width if generates else 0)
    activations = KEPT_PER_ELEMENT[precision] * elements_per_token(shape) * batches.widest
    if shape.attention_dropout:
        activations += KEPT_PER_PAIR[precision] * shape.layers * shape.heads * batches.widest_pairs
    activations = trained.passed * activations + trained.kept * batches.widest
    if checkpointing:
        inputs = 4.0 * shape.layers * shape.width * batches.widest
        activations = trained.passed * inputs + activations / shape.layers
    if generates:
        activations += KEPT_PER_LOGIT[precision] * shape.vocabulary * batches.widest
    return Memory(
        weights=_resident(shape, parameters, trained) + (2.0 * weights if mixed else 0.0),
        gradients=4.0 * trained.trainable,
        optimizer=8.0 * trained.trainable,
        activations=activations,
        framework=framework,
    )


def _resident(shape: Shape, parameters: int, trained: Trained) -> float:
    """Bytes of all weights, those of the layers in the size that the method keeps them in."""
    return 4.0 * (parameters + trained.added) - (4.0 - trained.weight_bytes) * shape.in_products


#: Bytes per output value while texts are scored: logits in 16 and 32 bits, the copy without padding, and softmax.
SCORED_PER_LOGIT = 16.0


def scoring_memory(
    shape: Shape, parameters: int, batches: Batches, *, trained: Trained, generates: bool, framework: float
) -> Memory:
    """Peak memory of a validation: nothing is kept for a backward pass, but twice as many texts are in a batch."""
    activations = 4.0 * (elements_per_token(shape) / shape.layers) * batches.widest
    if generates:
        activations += SCORED_PER_LOGIT * shape.vocabulary * batches.widest
    return Memory(
        weights=_resident(shape, parameters, trained),
        gradients=0.0,
        optimizer=8.0 * trained.trainable,
        activations=activations,
        framework=framework,
    )
