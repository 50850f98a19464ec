"""The optimizers by kind. A new one is a class in `config.py`, a function here, and a row in the table."""

from __future__ import annotations

from collections.abc import Callable
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


MAKERS: dict[str, Callable[[Groups, Any], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "rmsprop": _rmsprop,
    "sgd": _sgd,
    "adafactor": _adafactor,
    "adamw8bit": _adamw8bit,
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
    return MAKERS[config.kind]([group for group in groups if group["params"]], config)
