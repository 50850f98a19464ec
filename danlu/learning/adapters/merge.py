"""An adapter is added to its base, and the two models are shown to answer alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from danlu.core.errors import ModelError
from danlu.learning.adapters.base import Adapter, linear_layers, parts_of
from danlu.learning.batching import Batch
from danlu.learning.objectives.base import forward

#: Outputs of a language model that are compared for each text, from its end.
_POSITIONS = 16
#: How far beyond the expected rounding a difference may go; a wrong merge goes thousands of times further.
_SLACK = 8


@dataclass(frozen=True, kw_only=True)
class Merged:
    """`largest_difference` between outputs (logits) before and after, on `examples` texts; refused above `tolerance`.

    `largest_output`: the largest of them by size, which the tolerance is relative to.
    """

    largest_difference: float
    largest_output: float
    tolerance: float
    examples: int


def merge_checked(model: Any, adapter: Adapter, batches: Sequence[Batch]) -> Merged:
    """Merge, and compare on `batches`, each of one text without padding. Raises `ModelError` beyond the tolerance."""
    adapter.restore()
    before = _outputs(model, batches)
    adapter.merge()
    after = _outputs(model, batches)
    largest = max(float(output.abs().max()) for output in before)
    merged = Merged(
        largest_difference=max(float((one - two).abs().max()) for one, two in zip(before, after, strict=True)),
        largest_output=largest,
        tolerance=_relative_tolerance(model) * largest,
        examples=len(batches),
    )
    if not merged.largest_difference <= merged.tolerance:
        raise ModelError(
            f"The merged model differs from the trained one by {merged.largest_difference:.3g} in an output (at most "
            f"{merged.tolerance:.3g} is rounding), so it would not be the model that was validated. Nothing is lost: "
            "the training state stands. Please report this with the base model's name."
        )
    return merged


def _relative_tolerance(model: Any) -> float:
    """What rounding may do to an output, relative to the largest one.

    A sum of k terms in another order differs by about sqrt(k) units of rounding (Higham and Mary 2019, SIAM J. Sci.
    Comput. 41(5), A2815-A2835), and each layer adds its own.
    """
    parts = parts_of(model)
    widest = max(max(layer.weight.shape) for _, layer in linear_layers(model, parts.blocks))
    return _SLACK * torch.finfo(torch.float32).eps * math.sqrt(widest) * len(parts.blocks)


@torch.inference_mode()
def _outputs(model: Any, batches: Sequence[Batch]) -> list[torch.Tensor]:
    """The first output of each text [positions or 1, width], in float32 and without dropout."""
    model.eval()
    outputs = (forward(model, batch)[0] for batch in batches)
    return [output.float().flatten(0, -2)[-_POSITIONS:].cpu() for output in outputs]
