"""A trace in a process of its own: `python -m danlu.plan.trace_worker FOLDER`.

Reads `request.json`, `tokenizer.json` and the batches from the folder, and writes `answer.json`. What libraries load
before the first step is measured on the way: nothing else of a training process is known as well.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from danlu.core.artifact import write_json
from danlu.core.errors import DanluError, first_line
from danlu.learning.batching import Batch
from danlu.plan.config import ScratchConfig, TrainConfig
from danlu.plan.trace import Request, trace
from danlu.plan.trace_variants import trace_variants

REQUEST, TOKENIZER, ANSWER = "request.json", "tokenizer.json", "answer.json"
#: A batch of one example: where it is there, other methods are traced instead (`danlu.plan.trace_variants`).
ALONE = "alone.npz"

#: What a training process loads beside what a trace loads.
_LOADED_BY_TRAINING = ("danlu.learning.corpus", "danlu.learning.adapters.merge", "safetensors.torch")


def save_batch(batch: Batch, path: Path) -> None:
    """Write `batch` as plain arrays."""
    arrays = {"ids": batch.ids, "mask": batch.mask, "targets": batch.targets, "size": np.array(batch.size)}
    if batch.positions is not None:
        arrays["positions"] = batch.positions
    np.savez(path, **arrays, **{f"column.{name}": values for name, values in batch.columns.items()})  # type: ignore[arg-type]


def load_batch(path: Path) -> Batch:
    """The reverse of `save_batch`."""
    with np.load(path, allow_pickle=False) as arrays:
        columns = {name.removeprefix("column."): arrays[name] for name in arrays.files if name.startswith("column.")}
        return Batch(
            ids=arrays["ids"],
            mask=arrays["mask"],
            targets=arrays["targets"],
            size=int(arrays["size"]),
            columns=columns,
            positions=arrays["positions"] if "positions" in arrays.files else None,
        )


def read_request(folder: Path) -> Request:
    """The request that `danlu.plan.traced` wrote into `folder`."""
    told: dict[str, Any] = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    validation = folder / "validation.npz"
    return Request(
        task=told["task"],
        train=TrainConfig.model_validate(told["train"]),
        base=None if told["base"] is None else Path(told["base"]),
        scratch=None if told["scratch"] is None else ScratchConfig.model_validate(told["scratch"]),
        tokenizer=folder / TOKENIZER,
        labels=told["labels"],
        targets=told["targets"],
        max_length=told["max_length"],
        vocabulary=told["vocabulary"],
        used=told["used"],
        precision=told["precision"],
        pieces=[load_batch(path) for path in sorted(folder.glob("piece-*.npz"))],
        validation=load_batch(validation) if validation.exists() else None,
        typical=[load_batch(path) for path in sorted(folder.glob("typical-*.npz"))],
    )


def main(folder: Path) -> int:
    """Trace what `folder` asks for; the answer says why where that could not be done."""
    torch.set_num_threads(1)
    for name in _LOADED_BY_TRAINING:
        importlib.import_module(name)
    answer: dict[str, Any]
    try:
        request, alone = read_request(folder), folder / ALONE
        if alone.exists():
            answer = {"variants": trace_variants(request, load_batch(alone))}
        else:
            answer = trace(request).as_json()
    except DanluError as error:
        answer = {"untraceable": str(error)}
    except Exception as error:  # whatever a model's code does that fake tensors cannot: the formula stands in
        answer = {"untraceable": f"{type(error).__name__}: {first_line(error)}"}
    write_json(folder / ANSWER, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
