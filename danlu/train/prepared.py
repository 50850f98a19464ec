"""What an objective must know of its examples before the first step; found once, kept for a resume."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.numpy import load, save

from danlu.core.context import Context
from danlu.learning.batching import Examples
from danlu.learning.objectives.base import Objective, Rows


def prepared(
    ctx: Context,
    accelerator: Accelerator,
    objective: Objective,
    model: Any,
    part: str,
    rows: Rows,
    examples: Examples,
) -> Examples:
    """`examples` of the part named `part`, with the columns that `objective.prepare` finds for them.

    `model` holds the starting weights. The columns are kept in `ctx.state`, whole or not at all: a resumed run, whose
    weights are others by then, goes on with the same ones.
    """
    if objective.prepare is None:
        return examples
    kept = ctx.state / f"prepared-{part}.safetensors"

    def track(batches: Sequence[np.ndarray], what: str) -> Iterable[np.ndarray]:
        return ctx.track(batches, f"{what} ({part})", unit="batches")

    if not kept.exists():
        with torch.no_grad(), accelerator.autocast():
            _write(kept, save(objective.prepare(model.eval(), rows, examples, track)))
    return examples.with_columns(**load(kept.read_bytes()))


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
