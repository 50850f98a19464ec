"""How much of a model a method trains, and what that changes in the cost of a step. Formulas only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from danlu.plan.shape import Shape

#: Bits a weight takes as 4-bit NormalFloat with quantised scales (Dettmers et al. 2023, arXiv:2305.14314, section 3).
NF4_BITS = 4.127
#: Bytes that stay for the backward pass per output of an adapted layer, beside what the plain layer keeps; fitted to
#: one run each of a 23M-parameter encoder in bfloat16 (peaks of 1.48 and 2.15 GB), good to a tenth of the peak.
KEPT_PER_OUTPUT = {"lora": 1.0, "dora": 15.0}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What of a model is trained.

    `trainable`: parameters with a gradient and an optimizer's state; `added`: those of them that are no part of the
    plain model, all in matrix products. `lines`: rows and columns of all trained matrices. `passed` and `learned`:
    shares of the layers that gradients pass through, and whose weights get one. `kept`: further bytes kept per token.
    `weight_bytes`: of one weight of the layers.
    """

    trainable: int
    added: int = 0
    lines: int = 0
    passed: float = 1.0
    learned: float = 1.0
    kept: float = 0.0
    weight_bytes: float = 4.0


def trained_by(method: Any, shape: Shape, parameters: int, *, generates: bool) -> Trained:
    """What `method` (a section of `train.method`) trains of a model with so many parameters."""
    head = 0 if generates else max(0, parameters - _embeddings(shape) - shape.layers * _whole_layer(shape))
    return _BY_KIND[method.kind](method, shape, parameters, head)


def _full(method: Any, shape: Shape, parameters: int, head: int) -> Trained:
    del method, head
    tables = [shape.vocabulary, shape.positions if shape.learned_positions else 0, shape.types]
    tables += [] if shape.tied else [shape.vocabulary]
    lines = sum(rows + shape.width for rows in tables if rows) + shape.layers * sum(_inputs_and_outputs(shape))
    return Trained(trainable=parameters, lines=lines)


def _freeze(method: Any, shape: Shape, parameters: int, head: int) -> Trained:
    del head
    layers = shape.layers if method.layers == "all" else min(method.layers, shape.layers)
    share = 1.0 - layers / shape.layers
    frozen = _embeddings(shape) + layers * _whole_layer(shape)
    return Trained(
        trainable=max(0, parameters - frozen),
        lines=(shape.layers - layers) * sum(_inputs_and_outputs(shape)),
        passed=share,
        learned=share,
    )


def _low_rank(
    method: Any, shape: Shape, parameters: int, head: int, *, kept: float, lengths: bool, weight_bytes: float = 4.0
) -> Trained:
    """`rank (in + out)` parameters a layer (Hu et al. 2021, section 4.1), for DoRA one more an output; and the `head`.

    Layers named in `targets` are counted as an average share of a block's layers.
    """
    del parameters
    count = 4 + shape.matrices
    share = 1.0 if method.targets == "auto" else min(1.0, len(method.targets) / count)
    inputs, outputs = _inputs_and_outputs(shape)
    added = round(share * shape.layers * (method.rank * (inputs + outputs) + (outputs if lengths else 0)))
    return Trained(
        trainable=added + head,
        added=added,
        lines=round(share * shape.layers * (inputs + outputs + 2 * count * method.rank)),
        learned=0.0,
        kept=share * kept * shape.layers * outputs,
        weight_bytes=weight_bytes,
    )


_BY_KIND: dict[str, Callable[[Any, Shape, int, int], Trained]] = {
    "full": _full,
    "freeze": _freeze,
    "lora": lambda *of: _low_rank(*of, kept=KEPT_PER_OUTPUT["lora"], lengths=False),
    "dora": lambda *of: _low_rank(*of, kept=KEPT_PER_OUTPUT["dora"], lengths=True),
    "qlora": lambda *of: _low_rank(*of, kept=KEPT_PER_OUTPUT["lora"], lengths=False, weight_bytes=NF4_BITS / 8),
}


def _inputs_and_outputs(shape: Shape) -> tuple[int, int]:
    """Sums of the inputs and of the outputs of a block's linear layers: queries, keys, values, output, feed-forward."""
    attention, keys = shape.heads * shape.head_width, shape.key_heads * shape.head_width
    inputs = 3 * shape.width + attention + (shape.matrices - 1) * shape.width + shape.inner
    outputs = attention + 2 * keys + shape.width + (shape.matrices - 1) * shape.inner + shape.width
    return inputs, outputs


def _embeddings(shape: Shape) -> int:
    positions = shape.positions if shape.learned_positions else 0
    return (shape.vocabulary + positions + shape.types) * shape.width + (2 * shape.width if shape.biases else 0)


def _whole_layer(shape: Shape) -> int:
    """Parameters of a block, biases and norms included."""
    if not shape.biases:
        return shape.in_layer + 2 * shape.width
    return shape.in_layer + _inputs_and_outputs(shape)[1] + 4 * shape.width
