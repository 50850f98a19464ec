"""The optimizers by kind. A new one is a class in `config.py`, a function here, and a row in the table, which says
what it costs too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from danlu.core.errors import UserError
from danlu.core.lazy import need
from danlu.learning.optimizers.config import (
    AdafactorOptimizer,
    AdamOptimizer,
    AdamW8bitOptimizer,
    AdamWOptimizer,
    OptimizerConfig,
    RMSPropOptimizer,
    SGDOptimizer,
)

#: What torch takes as groups of parameters, each with settings of its own.
Groups = list[dict[str, Any]]


def _adamw(groups: Groups, config: AdamWOptimizer) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=0.0, betas=(config.beta1, config.beta2), eps=config.epsilon, fused=True)


def _adam(groups: Groups, config: AdamOptimizer) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, lr=0.0, betas=(config.beta1, config.beta2), eps=config.epsilon, fused=True)


def _rmsprop(groups: Groups, config: RMSPropOptimizer) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(groups, lr=0.0, alpha=config.alpha, momentum=config.momentum, eps=config.epsilon)


def _sgd(groups: Groups, config: SGDOptimizer) -> torch.optim.Optimizer:
    if config.nesterov and config.momentum == 0.0:
        raise UserError(
            "train.optimizer.nesterov is on, but train.optimizer.momentum is 0. Give a momentum, such as 0.9, or leave "
            "nesterov out."
        )
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum, nesterov=config.nesterov, fused=True)


def _adafactor(groups: Groups, config: AdafactorOptimizer) -> torch.optim.Optimizer:
    return torch.optim.Adafactor(groups, lr=0.0, beta2_decay=config.beta2_decay, d=config.clip)


def _adamw8bit(groups: Groups, config: AdamW8bitOptimizer) -> torch.optim.Optimizer:
    if not torch.cuda.is_available():
        raise UserError(
            "train.optimizer.kind is adamw8bit, which runs on an NVIDIA GPU alone, and none is here. Take adamw, or "
            "adafactor, which holds even less state."
        )
    library: Any = need("bitsandbytes")
    optimizer: torch.optim.Optimizer = library.optim.AdamW8bit(
        groups, lr=0.0, betas=(config.beta1, config.beta2), eps=config.epsilon
    )
    return optimizer


@dataclass(frozen=True, kw_only=True)
class Maker:
    """One optimizer. `make` builds it.

    `held(config)`: bytes of state that it keeps for each trained number; `held_a_line`: for each row and each column
    of a trained matrix. `moved(config)`: bytes that an update moves through memory for each trained number: what is
    read and written of weight, gradient, state and of what lies between, counted from torch's code for a CPU. The plan
    counts by them.
    """

    make: Callable[[Groups, Any], torch.optim.Optimizer]
    held: Callable[[Any], float]
    moved: Callable[[Any], float]
    held_a_line: float = 0.0


#: Two moments of a byte a number, each with a float32 scale for every 256 of them (as bitsandbytes lays them out).
_EIGHT_BITS = 2 * (1 + 4 / 256)

MAKERS: dict[str, Maker] = {
    # Fused: weight, gradient and both moments are read once, all but the gradient written once.
    "adamw": Maker(make=_adamw, held=lambda _: 8.0, moved=lambda _: 28.0),
    "adam": Maker(make=_adam, held=lambda _: 8.0, moved=lambda _: 28.0),
    # One operation after the other: the mean's two, its root, epsilon, and the quotient added to weight or momentum.
    "rmsprop": Maker(
        make=_rmsprop,
        held=lambda config: 8.0 if config.momentum else 4.0,
        moved=lambda config: 72.0 if config.momentum else 52.0,
    ),
    "sgd": Maker(
        make=_sgd,
        held=lambda config: 4.0 if config.momentum else 0.0,
        moved=lambda config: 20.0 if config.momentum else 12.0,
    ),
    # Norms of rows and columns (8), their product, its root and inverse (20), the gradient times it (12), its norm and
    # the weight's (8), and the weight (12).
    "adafactor": Maker(make=_adafactor, held=lambda _: 0.0, held_a_line=4.0, moved=lambda _: 60.0),
    "adamw8bit": Maker(make=_adamw8bit, held=lambda _: _EIGHT_BITS, moved=lambda _: 12.0 + 2 * _EIGHT_BITS),
}


def make_optimizer(model: torch.nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer that a section of the recipe asks for, over what of `model` is trained; its rate is still 0.

    Biases and the gains of norms, which have one dimension, do not decay. Raises `UserError` where the hardware
    cannot run it and `MissingDependency` where its library is not installed.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return MAKERS[config.kind].make([group for group in groups if group["params"]], config)
