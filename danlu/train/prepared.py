"""The examples of a part before the first step, with what the objective must know of them; kept for a resume.

Language models read theirs from disk: what is kept in the state of a stage belongs to its fingerprint, so to the texts,
the tokenizer and the greatest length alike. A part that was only half written is written anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.numpy import load, save

from danlu.core.context import Context
from danlu.core.store import write_atomically
from danlu.learning import shards
from danlu.learning.batching import Examples
from danlu.learning.corpus import Part
from danlu.learning.objectives.base import Objective, Rows
from danlu.learning.processes import first_alone


def on_disk(ctx: Context, objective: Objective, name: str, part: Part, max_length: int, *, largest: int) -> Examples:
    """The examples of the part called `name`, at most `max_length` tokens each, in memory that does not grow with them.

    `largest` is the highest token number. For objectives with `token_rows`.
    """
    folder = ctx.state / f"tokens-{name}"
    assert objective.token_rows is not None
    with first_alone(ctx.rank):
        kept = shards.read(folder)
        if kept is not None:
            return kept
        return shards.write(objective.token_rows(_tracked(ctx, name, part), max_length), folder, largest=largest)


def _tracked(ctx: Context, name: str, part: Part) -> Iterator[Rows]:
    with ctx.progress(f"tokenize {name}", len(part), "rows") as bar:
        for block in part.blocks():
            yield block
            bar.advance(len(block["text"]))


def in_memory(
    ctx: Context,
    accelerator: Accelerator,
    objective: Objective,
    model: Any,
    name: str,
    part: Part,
    max_length: int,
) -> Examples:
    """The examples of the part called `name`, with the columns that `objective.prepare` finds for them.

    `model` holds the starting weights. The columns are kept in `ctx.state`, whole or not at all: a resumed run, whose
    weights are others by then, goes on with the same ones.
    """
    rows = part.rows()
    examples = objective.examples(rows, max_length)
    if objective.prepare is None:
        return examples
    kept = ctx.state / f"prepared-{name}.safetensors"

    def track(batches: Sequence[np.ndarray], what: str) -> Iterable[np.ndarray]:
        return ctx.track(batches, f"{what} ({name})", unit="batches")

    with first_alone(ctx.rank), torch.no_grad(), accelerator.autocast():
        if not kept.exists():
            write_atomically(kept, save(objective.prepare(model.eval(), rows, examples, track)))
    return examples.with_columns(**load(kept.read_bytes()))
