"""Adversarial training: the disturbance of the input embeddings that raises the loss most, and the loss under it.

Shapes: R rows in a batch, T tokens, D units of an embedding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from danlu.core.errors import UserError
from danlu.learning.regularizers.config import FGMConfig, PGDConfig


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """Searches a disturbance [R, T, D] no longer than `epsilon` a row in `steps` steps of length `step_size`.

    One step of length epsilon is the fast gradient method of Miyato et al. 2016 (arXiv:1605.07725, equation 5, there
    with normalised embeddings); more are projected gradient descent (Madry et al. 2017, arXiv:1706.06083, section
    2.1, with the L2 ball; it starts at no disturbance, so that a step needs no noise of its own).
    """

    epsilon: float
    steps: int
    step_size: float

    @classmethod
    def of(cls, config: FGMConfig | PGDConfig | None) -> Adversary | None:
        """What a section of the recipe asks for."""
        if config is None:
            return None
        if isinstance(config, FGMConfig):
            return cls(epsilon=config.epsilon, steps=1, step_size=config.epsilon)
        return cls(epsilon=config.epsilon, steps=config.steps, step_size=config.step_size)

    def disturbance(self, model: Any, loss: Callable[[], torch.Tensor], gradient: torch.Tensor) -> torch.Tensor:
        """The disturbance, from the `gradient` of the plain loss [R, T, D]; `loss()` is one forward pass."""
        found = self._towards(torch.zeros_like(gradient), gradient)
        for _ in range(self.steps - 1):
            with watched(model, found) as embeddings:
                value = loss()
            found = self._towards(found, torch.autograd.grad(value, embeddings[0])[0])
        return found

    def _towards(self, found: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        moved = found + gradient * (self.step_size / _length(gradient))
        inside: torch.Tensor = moved * (self.epsilon / _length(moved)).clamp(max=1.0)
        return inside


def _length(x: torch.Tensor) -> torch.Tensor:
    """L2 length of each row of `x` [R, T, D] as [R, 1, 1]; never 0."""
    lengths: torch.Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return lengths.clamp(min=torch.finfo(x.dtype).tiny)[:, None, None]


@contextlib.contextmanager
def watched(model: Any, disturbance: torch.Tensor | None = None) -> Iterator[list[torch.Tensor]]:
    """Inside, `disturbance` is added to what the model's input embedding answers, which the list then holds.

    Raises `UserError` where one loss calls the model more than once: which input was to be disturbed is not known.
    """
    answers: list[torch.Tensor] = []

    def hook(module: Any, given: Any, answer: torch.Tensor) -> torch.Tensor:
        del module, given
        # Frozen embeddings carry no gradient of their own.
        answer = answer if answer.requires_grad else answer.detach().requires_grad_()
        if disturbance is not None:
            answer = answer + disturbance.to(answer.dtype)
        answer.retain_grad()
        answers.append(answer)
        return answer

    handle = model.get_input_embeddings().register_forward_hook(hook)
    try:
        yield answers
    finally:
        handle.remove()
    if len(answers) != 1:
        raise UserError(
            f"train.regularize.adversarial needs an objective that calls the model once for a batch; this one calls it "
            f"{len(answers)} times. Leave it out."
        )
