"""Two processes give the weights of one with twice the batch: a step weighs by the targets of all processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from danlu.core.context import Rank
from danlu.learning.batching import NO_TARGET, Batch, Examples
from danlu.learning.objectives.base import Objective, Outcome
from danlu.learning.optimizers.config import SGDOptimizer
from danlu.learning.optimizers.table import make_optimizer
from danlu.learning.processes import joined
from danlu.learning.regularizers.weights import Regularizer
from danlu.learning.step import make_accelerator, prepared, train_step

ROWS = [[1, 2, 3, 4, 5, 6, 7], [2, 4], [3, 1, 2], [7, 6, 5, 4], [1, 1], [2, 3, 5, 7, 1], [4, 4, 6], [5, 2]]
STEPS = 4


class Bigram(torch.nn.Module):
    """The next token from the token before: as little of a language model as there can be."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(8, 6)
        self.out = torch.nn.Linear(6, 8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.out(torch.tanh(self.table(ids)))
        return answer


def outcome(model: Any, batch: Batch) -> Outcome:
    loss = F.cross_entropy(
        model(torch.from_numpy(batch.ids)).flatten(0, 1),
        torch.from_numpy(batch.targets).flatten(),
        ignore_index=NO_TARGET,
    )
    return Outcome(loss=loss, weight=weight(batch), predicted=torch.empty(0))


def weight(batch: Batch) -> float:
    return float(np.count_nonzero(batch.targets != NO_TARGET))


OBJECTIVE = Objective(
    lengths=lambda _: [],
    examples=lambda *_: Examples.from_rows(ROWS),
    weight=weight,
    outcome=outcome,
    score=lambda loss, *_: loss,
    metric="loss",
    higher_is_better=False,
)


def learn(groups: list[list[int]]) -> dict[str, Any]:
    """Train on the rows of `groups`, one piece each, `STEPS` times."""
    torch.manual_seed(0)
    accelerator = make_accelerator("float32")
    model = Bigram()
    optimizer = make_optimizer(model, SGDOptimizer(momentum=0.9))
    wrapped = prepared(accelerator, model)
    examples = Examples.from_rows(ROWS)
    batches = [examples.batch(np.array(rows), 0) for rows in groups]
    results = [
        train_step(
            accelerator, wrapped, optimizer, OBJECTIVE, batches, rate=0.5, clip=0.4, regularizer=Regularizer(l1=1e-3)
        )
        for _ in range(STEPS)
    ]
    return {
        "processes": accelerator.num_processes,
        "weights": torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).tolist(),
        "losses": [result.loss for result in results],
        "norms": [result.norm for result in results],
        "targets": [result.weight for result in results],
    }


#: Which rows each process has, in pieces; rows have 1 to 6 targets, so the processes' shares differ.
SHARES = [[[0, 1], [2, 3]], [[4], [5, 6, 7]]]


def work(rank: int, folder: Path) -> None:
    """One of the processes. They meet in a folder that no address could name."""
    torch.set_num_threads(1)
    with joined(Rank(number=rank, count=2, meeting=folder)):
        told = learn(SHARES[rank])
    (folder / f"{rank}.json").write_text(json.dumps(told))


def start(folder: Path) -> None:
    """Both processes, forked so that the libraries are imported once; nothing was computed here before."""
    context = torch.multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(rank, folder)) for rank in range(len(SHARES))]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def test_two_processes_learn_what_one_learns_from_the_whole_batch(tmp_path: Path) -> None:
    folder = tmp_path / "C? or C#"
    folder.mkdir()
    subprocess.run([sys.executable, "-m", __name__, str(folder)], check=True, timeout=120)
    one = learn([[*range(len(ROWS))]])
    for rank in range(len(SHARES)):
        told = json.loads((folder / f"{rank}.json").read_text())
        assert (told["processes"], one["processes"]) == (2, 1)
        assert told["targets"] == one["targets"]
        assert told["losses"] == pytest.approx(one["losses"], abs=1e-5)
        assert told["norms"] == pytest.approx(one["norms"], abs=1e-5)
        assert told["weights"] == pytest.approx(one["weights"], abs=1e-5)


if __name__ == "__main__":
    start(Path(sys.argv[1]))
