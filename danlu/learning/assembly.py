"""What is done to a model between its making and the first step. The plan does the same to one without weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from danlu.learning.fast import NarrowVocabulary, quick_dropout
from danlu.learning.models import compile_forward, recompute_activations
from danlu.learning.optimizers.config import OptimizerConfig
from danlu.learning.optimizers.table import make_optimizer
from danlu.learning.regularizers.config import RegularizeConfig
from danlu.learning.regularizers.weights import set_dropout


def ready_to_train(
    model: Any,
    *,
    used: Callable[[], np.ndarray],
    pad_id: int,
    regularize: RegularizeConfig,
    optimizer: OptimizerConfig,
    checkpointing: bool,
    compiled: bool,
) -> tuple[torch.optim.Optimizer, NarrowVocabulary]:
    """Change an adapted `model` in place as the settings of `train` ask; its optimizer, and its numbers of tokens.

    `used()` says which token numbers the texts have, sorted. Raises `ModelError`, `UserError` and `MissingDependency`
    for what model, hardware or machine cannot do.
    """
    vocabulary = NarrowVocabulary(model, used, pad_id)
    if regularize.dropout is not None:
        set_dropout(model, regularize.dropout)
    quick_dropout(model)
    if checkpointing:
        recompute_activations(model)
    if compiled:
        compile_forward(model)
    return make_optimizer(model, optimizer), vocabulary
