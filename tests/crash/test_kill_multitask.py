"""kill -9 in the training of a model with several targets: the next run ends with the weights of an undisturbed one."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from danlu.examples import tiny_recipe
from tests.crash.test_kill import artifacts, command, step_of


def write_recipe(folder: Path) -> None:
    sections = tiny_recipe(folder, task="multitask", rows=240)
    sections["train"] |= {"checkpoint_minutes": 0.002}
    (folder / "recipe.yaml").write_text(json.dumps(sections), encoding="utf-8")


def train(folder: Path) -> bytes:
    done = subprocess.run(
        [*command(folder), "--until", "train"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return (artifacts(folder)["train"] / "model.safetensors").read_bytes()


def test_killed_in_training_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        write_recipe(folder)
    process = subprocess.Popen(
        [*command(killed), "--until", "train"], cwd=killed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until, pointer = time.monotonic() + 240, list[Path]()
    while not any(step_of(path) for path in pointer) and time.monotonic() < until and process.poll() is None:
        pointer = list((killed / ".danlu" / "work").glob("train-*/state/latest.json"))
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before the kill"
    assert "train" not in artifacts(killed)
    assert train(killed) == train(whole)
    assert artifacts(killed)["train"].record.attempts == 2
