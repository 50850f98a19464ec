"""How much work a model is: operations, bytes moved, bytes held. Formulas only; nothing is measured here.

B texts in a batch, T tokens of the longest one (padding included), n = B T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from danlu.learning.chunked import chunk_logits, worth
from danlu.plan.shape import Shape
from danlu.plan.trained import Trained

#: Bytes that clipping moves per trained number in a step, float32: the gradient is written and read for the norm, and
#: read and written to be scaled. What the update moves stands beside each optimizer (`optimizers/table.py`).
CLIP_BYTES_MOVED = 16
#: Bytes that adding a further piece's gradient to the sum moves per trained number: two read, one written.
ADD_BYTES_MOVED = 12
#: What an update by AdamW moves per trained number, fused.
ADAMW_BYTES_MOVED = 28.0
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

    flops: float = 0.0
    elements: float = 0.0
    optimizer_bytes: float = 0.0
    logits: float = 0.0
    layers: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            flops=self.flops + other.flops,
            elements=self.elements + other.elements,
            optimizer_bytes=self.optimizer_bytes + other.optimizer_bytes,
            logits=self.logits + other.logits,
            layers=self.layers + other.layers,
        )

    def times(self, factor: float) -> Work:
        """So many times as much."""
        return Work(
            flops=self.flops * factor,
            elements=self.elements * factor,
            optimizer_bytes=self.optimizer_bytes * factor,
            logits=self.logits * factor,
            layers=self.layers * factor,
        )


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
        logits=shape.vocabulary * batches.tokens if generates else 0.0,
        layers=float(shape.layers * batches.count),
    )


def training(
    shape: Shape,
    trained: Trained,
    batches: Batches,
    *,
    generates: bool,
    mixed: bool,
    checkpointing: bool = False,
    steps: int | None = None,
    moved: float = ADAMW_BYTES_MOVED,
    adversary: int = 0,
) -> Work:
    """Work of training on the batches, which are pieces of `steps` steps (by default a step each).

    The backward pass is a forward one's work for the gradients of inputs, and as much for those of weights (same
    sources): frozen weights save the latter, layers below all that is trained save both. Checkpointing runs the
    forward pass once more (Chen et al. 2016, arXiv:1604.06174). `moved`: bytes an update moves a trained number.

    `adversary`: steps in which a disturbance of the input embeddings is searched. The first takes the gradient of the
    plain pass, each further one a forward pass and the gradients of inputs; then the disturbed batch is learned like
    the plain one. Gradients then go down to the embeddings whatever is frozen.
    """
    once = forward(shape, batches, generates=generates)
    weights = shape.in_products + (shape.vocabulary * shape.width if generates else 0)
    passed = 1.0 if adversary else trained.passed
    steps = batches.count if steps is None else steps
    rounds = 1 + adversary
    through = 1.0 + passed + (passed if checkpointing else 0.0)
    bytes_ = (CLIP_BYTES_MOVED + moved) * trained.trainable * steps
    bytes_ += ADD_BYTES_MOVED * trained.trainable * max(0, batches.count - steps)
    if mixed:
        bytes_ += CAST_BYTES_MOVED / 2 * weights * (1.0 + trained.learned) * batches.count * rounds
    learning = 2 if adversary else 1
    return Work(
        flops=(rounds * through + learning * trained.learned) * once.flops
        + 6.0 * trained.added * batches.tokens * rounds,
        elements=rounds * once.elements * (1.0 + (passed if checkpointing else 0.0)),
        optimizer_bytes=bytes_,
        logits=rounds * once.logits,
        layers=rounds * once.layers,
    )


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Peak of a training step by part, in bytes. `teacher`: another model that the objective asks, and its answers;
    `temporary`: what a backward pass or an update takes and gives back, where a trace tells it from activations.

    The texts and what is kept of each example are in `framework`.
    """

    weights: float
    gradients: float
    optimizer: float
    activations: float
    framework: float
    teacher: float = 0.0
    temporary: float = 0.0

    @property
    def total(self) -> float:
        model = self.weights + self.gradients + self.optimizer
        return model + self.activations + self.temporary + self.framework + self.teacher

    def times(self, processes: int) -> Memory:
        """Of so many processes that each hold as much."""
        return Memory(**{name: processes * value for name, value in asdict(self).items()})


#: Bytes that stay for the backward pass per activation that `elements_per_token` counts; fitted, see docs/plan.md.
#: float16 was not measured: it takes the room of bfloat16.
KEPT_PER_ELEMENT = {"float32": 7.3, "bfloat16": 5.3, "float16": 5.3}
#: Bytes kept per value of the attention matrix, where dropout keeps it (Korthikanti et al.: 5 with 16 bits).
KEPT_PER_PAIR = {"float32": 9.0, "bfloat16": 5.0, "float16": 5.0}
#: Bytes per output value: 16- and 32-bit logits, their softmax and their gradient; fitted.
KEPT_PER_LOGIT = {"float32": 18.0, "bfloat16": 14.0, "float16": 14.0}
#: Bytes per output value of a chunk in float32: logits, and the gradient made of them. Of three steps with 50,000 to
#: 262,144 tokens in the vocabulary, measured above the model's state, the plan says 1.3 to 1.4 times as much.
CHUNKED_PER_LOGIT = 8.0
#: Bytes per value of the input embeddings with an adversary, float32: the answer, its gradient, the disturbance, and
#: the next one while it is made. Counted from the code, not measured.
DISTURBED_BYTES = 16.0
#: Bytes per value that a teacher says of every token, float32: as it came, those of targets, their logarithms, the
#: student's again, and the divergence of each. Counted from the code, not measured.
TAUGHT_BYTES = 24.0


def training_memory(
    shape: Shape,
    parameters: int,
    batches: Batches,
    *,
    trained: Trained,
    generates: bool,
    precision: str,
    framework: float,
    optimizer: float,
    checkpointing: bool = False,
    adversary: bool = False,
    teacher: float = 0.0,
    summed: bool = False,
) -> Memory:
    """Peak memory of a training step; `batches` are the pieces that are in memory one at a time.

    Model state: 8 bytes a trained parameter and 4 a frozen one, with float32 weights and 32-bit sums, and the bytes of
    the `optimizer`, 8 a trained parameter more with Adam (Rajbhandari et al. 2020, arXiv:1910.02054, section 3.1; there
    16-bit weights and gradients beside 32-bit ones, here 32-bit ones alone), and 2 more for the 16-bit copies that
    autocast keeps. Activations after Korthikanti et al. 2022 (arXiv:2205.05198), equation 2, with the constants fitted
    to what this loop keeps; layers below all that is trained keep none (but with an adversary, which asks for the
    gradient of the embeddings), and with checkpointing a layer keeps its input alone, but for the one computed anew.
    `summed`: a step adds up gradients of the output layer, so that a further one is there beside the sum.
    """
    passed = 1.0 if adversary else trained.passed
    mixed = precision != "float32"
    weights = shape.in_products + (shape.vocabulary * shape.width if generates else 0)
    activations = KEPT_PER_ELEMENT[precision] * elements_per_token(shape) * batches.widest
    if shape.attention_dropout:
        activations += KEPT_PER_PAIR[precision] * shape.layers * shape.heads * batches.widest_pairs
    activations = passed * activations + trained.kept * batches.widest
    if checkpointing:
        inputs = 4.0 * shape.layers * shape.width * batches.widest
        activations = passed * inputs + activations / shape.layers
    if generates:
        activations += _output_bytes(
            shape, batches, KEPT_PER_LOGIT[precision], gradient=summed and trained.learned == 1.0
        )
    if adversary:
        activations += DISTURBED_BYTES * shape.width * batches.widest
    return Memory(
        weights=_resident(shape, parameters, trained) + (2.0 * weights if mixed else 0.0),
        gradients=4.0 * trained.trainable,
        optimizer=optimizer,
        activations=activations,
        framework=framework,
        teacher=teacher,
    )


def _output_bytes(shape: Shape, batches: Batches, per_logit: float, *, gradient: bool) -> float:
    """Bytes for the output values of the largest piece: of a chunk where they are made in chunks, else of all.

    `gradient`: one of the output layer beside the one that the state of the model counts. A single mean loss in chunks
    makes its gradient once, and that becomes the weight's own, also where the embedding is the same table
    (`danlu.learning.chunked`).
    """
    logits = shape.vocabulary * batches.widest
    if not worth(batches.widest, shape.vocabulary):
        return per_logit * logits
    return CHUNKED_PER_LOGIT * chunk_logits(shape.vocabulary, shape.width) + (
        4.0 * shape.vocabulary * shape.width if gradient else 0.0
    )


def _resident(shape: Shape, parameters: int, trained: Trained) -> float:
    """Bytes of all weights, those of the layers in the size that the method keeps them in."""
    return 4.0 * (parameters + trained.added) - (4.0 - trained.weight_bytes) * shape.in_products


#: Bytes per output value while texts are scored: logits in 16 and 32 bits, the copy without padding, and softmax.
SCORED_PER_LOGIT = 16.0


def scoring_memory(
    shape: Shape,
    parameters: int,
    batches: Batches,
    *,
    trained: Trained,
    generates: bool,
    framework: float,
    optimizer: float,
    teacher: float = 0.0,
) -> Memory:
    """Peak memory of a validation: nothing is kept for a backward pass, but twice as many texts are in a batch."""
    activations = 4.0 * (elements_per_token(shape) / shape.layers) * batches.widest
    if generates:
        activations += _output_bytes(shape, batches, SCORED_PER_LOGIT, gradient=False)
    return Memory(
        weights=_resident(shape, parameters, trained),
        gradients=0.0,
        optimizer=optimizer,
        activations=activations,
        framework=framework,
        teacher=teacher,
    )


def asked_memory(shape: Shape, parameters: int, batches: Batches, *, generates: bool) -> float:
    """Bytes of a model in float32 that is only asked, with what it computes in one batch."""
    activations = 4.0 * (elements_per_token(shape) / shape.layers) * batches.widest
    if generates:
        activations += TAUGHT_BYTES * shape.vocabulary * batches.widest
    return 4.0 * parameters + activations
