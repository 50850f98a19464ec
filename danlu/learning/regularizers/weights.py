"""Penalties on weights, and dropout."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from danlu.core.errors import UserError
from danlu.learning.regularizers.adversary import Adversary
from danlu.learning.regularizers.config import RegularizeConfig


@dataclass(frozen=True, kw_only=True)
class Regularizer:
    """What a step adds to the gradient of the plain loss."""

    l1: float = 0.0
    adversary: Adversary | None = None

    @classmethod
    def of(cls, config: RegularizeConfig) -> Regularizer:
        """What a section of the recipe asks for."""
        return cls(l1=config.l1, adversary=Adversary.of(config.adversarial))


@torch.no_grad()
def add_l1(model: nn.Module, strength: float) -> None:
    """Add the sub-gradient of `strength` times the sum of |w| to the gradients; it is 0 at 0.

    As with weight decay, what has one dimension (biases, gains of norms) is left out.
    """
    for parameter in model.parameters():
        if parameter.grad is not None and parameter.ndim > 1:
            parameter.grad.add_(parameter.sign(), alpha=strength)


#: What families call the dropout of attention, on the module that does it.
_ATTENTION_DROPOUT = ("attention_dropout", "dropout_prob")


def set_dropout(model: nn.Module, probability: float) -> int:
    """Let every dropout of `model` drop this share; how many there are. Raises `UserError` where it has none."""
    found = 0
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability
            found += 1
        for name in _ATTENTION_DROPOUT:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, probability)
                found += 1
    if not found:
        raise UserError(
            f"train.regularize.dropout is {probability:g}, but {type(model).__name__} has no dropout that could be "
            "set. Leave it out."
        )
    return found
