"""kill -9 while a frozen encoder makes vectors: the next run takes what is whole, and ends with the same model."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from danlu.examples import tiny_rows
from danlu.learning import scratch

#: Runs the stage in portions of 16 texts. At the portion whose number is given the process kills itself, between
#: writing its file and naming it. It prints how many texts passed the encoder.
STAGE = """
import os, signal, sys
from pathlib import Path
from danlu.engines.torch_engine import TorchEngine
from danlu.train import frozen
from danlu.train.config import TrainStage
from danlu.train.stage import run
from tests.support import as_artifact, make_context

folder, name, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
frozen._TEXTS_AT_ONCE = 16
passed = portions = 0
plain, replace = TorchEngine.embed, Path.replace

def embed(self, texts):
    global passed
    passed += len(texts)
    return plain(self, texts)

def rename(self, target):
    global portions
    portions += str(target).endswith(".safetensors")
    if portions == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

TorchEngine.embed, Path.replace = embed, rename
features = {"kind": "embeddings", "base": "encoder"}
model = {"classic": {"kind": "logistic", "features": features, "smote": {"neighbours": 3}}}
config = TrainStage.model_validate({"task": "classify", "model": model, "train": {}})
inputs, resources = {"data": as_artifact(folder / "corpus", "data")}, {frozen.RESOURCE: folder / "encoder"}
run(make_context(folder / name, stage="train", inputs=inputs, resources=resources), config)
print(passed)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = tiny_rows(100)
    rare = [row for number, row in enumerate(rows) if row["label"] == "good" or number % 3 == 0]
    for part, chosen in (("train", rare[:-20]), ("validation", rare[-20:])):
        (tmp_path / "corpus" / part).mkdir(parents=True)
        parquet.write_table(pa.Table.from_pylist(chosen), tmp_path / "corpus" / part / "part-0.parquet")
    (tmp_path / "corpus" / "card.json").write_text(json.dumps({"task": "classify", "labels": ["bad", "good"]}))
    tokenizer = scratch.train_tokenizer((row["text"] for row in rows), scratch.VOCABULARIES["encoder"], 400)
    model = scratch.MAKERS["encoder"](scratch.Shape(layers=1, width=48, heads=2, positions=64), tokenizer, [])
    model.save_pretrained(tmp_path / "encoder")
    scratch.save_tokenizer(tokenizer, scratch.VOCABULARIES["encoder"], tmp_path / "encoder", 64)
    return tmp_path


def attempt(folder: Path, name: str, last: int = 0) -> subprocess.CompletedProcess[str]:
    shutil.rmtree(folder / name / "out", ignore_errors=True)  # as the runner does it
    command = [sys.executable, "-c", STAGE, str(folder), name, str(last)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_kill_9_between_two_portions(folder: Path) -> None:
    whole = attempt(folder, "whole")
    assert whole.returncode == 0, whole.stderr
    assert attempt(folder, "killed", last=3).returncode == -signal.SIGKILL
    kept = sorted(path.name for path in (folder / "killed" / "state" / "vectors-train").iterdir())
    assert [name for name in kept if not name.endswith(".tmp")] == ["0.safetensors", "16.safetensors"]
    assert len(kept) == 3, "what was being written when it was killed"
    again = attempt(folder, "killed")
    assert again.returncode == 0, again.stderr
    assert int(again.stdout) == int(whole.stdout) - 32  # two portions were there
    files = [
        path for path in sorted((folder / "whole" / "out").rglob("*")) if path.is_file() and "logs" not in path.parts
    ]
    assert {"linear.safetensors", "danlu.json", "training.json"} <= {path.name for path in files}
    for path in files:
        other = folder / "killed" / path.relative_to(folder / "whole")
        assert other.read_bytes() == path.read_bytes(), path.name
