"""kill -9 while a model of pairs, or one that is told columns, is trained: the next run ends with the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.train.test_beside import content, write_corpora

#: Runs the stage. At the checkpoint whose number is given the process kills itself, with the checkpoint half written.
STAGE = """
import os, signal, sys
from pathlib import Path
from danlu.train import state
from danlu.train.config import TrainStage
from danlu.train.stage import run
from tests.support import as_artifact, make_context
from tests.unit.train.conftest import MODEL, SETTINGS

folder, name, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
saves = 0
plain = state.TrainingState.save
optimizer_tensors = state._optimizer_tensors

def save(self, *arguments):
    global saves
    saves += 1
    return plain(self, *arguments)

def tensors(*arguments):
    if saves == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return optimizer_tensors(*arguments)

state.TrainingState.save, state._optimizer_tensors = save, tensors
settings = SETTINGS | {"checkpoint_minutes": 1e-9}
config = TrainStage.model_validate({"task": "classify", "model": MODEL, "train": settings})
inputs = {"data": as_artifact(folder, "data")}
run(make_context(folder.parent / name, stage="train", inputs=inputs), config)
"""


def attempt(corpus: Path, name: str, last: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", STAGE, str(corpus), name, str(last)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("kind", ["pairs", "columns"])
def test_a_kill_in_training_changes_nothing(tmp_path: Path, kind: str) -> None:
    corpus = write_corpora(tmp_path)[kind]
    whole = attempt(corpus, "whole", 0)
    assert whole.returncode == 0, whole.stderr
    assert attempt(corpus, "killed", 9).returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "out" / "danlu.json").exists()
    assert (tmp_path / "killed" / "state" / "latest.json").is_file()  # of the checkpoint before
    again = attempt(corpus, "killed", 0)
    assert again.returncode == 0, again.stderr
    assert content(tmp_path / "killed" / "out") == content(tmp_path / "whole" / "out")
