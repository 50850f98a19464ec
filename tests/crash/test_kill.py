"""kill -9 at random moments: the next run ends as an undisturbed one, and nothing half is taken for whole.

The kill hits the parent process; its stage dies with it (see `_end_with_parent` in core/worker.py). Where in the
run it hits is drawn from a seeded generator over the duration of the undisturbed run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from danlu.core.artifact import RECORD, Artifact, Record
from danlu.core.resource import sha256_of
from danlu.core.store import Workspace
from danlu.examples import tiny_recipe

#: Their content is about a moment on a machine (a timing), so two undisturbed runs differ as well.
ABOUT_A_MOMENT = {"plan", "speed", "release"}


@dataclass(frozen=True)
class Road:
    """A folder with a recipe, the artifacts of an undisturbed run of it, and how long that took, in seconds."""

    folder: Path
    seconds: float
    contents: dict[str, str]
    weights: bytes


def command(folder: Path, *more: str) -> list[str]:
    space = str(folder / ".danlu")
    return [sys.executable, "-m", "danlu.cli.main", "run", "recipe.yaml", "--workspace", space, "--quiet", *more]


def write_recipe(folder: Path) -> None:
    sections = tiny_recipe(folder, rows=400)
    sections["train"] |= {"epochs": 6.0, "checkpoint_minutes": 0.002, "early_stopping": 0}
    (folder / "recipe.yaml").write_text(json.dumps(sections), encoding="utf-8")


def artifacts(folder: Path) -> dict[str, Artifact]:
    return {artifact.record.stage: artifact for artifact in Workspace(folder / ".danlu").artifacts()}


def finish(folder: Path) -> None:
    done = subprocess.run(command(folder), cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_recipe(folder)
    started = time.monotonic()
    finish(folder)
    seconds = time.monotonic() - started
    whole = artifacts(folder)
    return Road(
        folder=folder,
        seconds=seconds,
        contents={stage: artifact.content for stage, artifact in whole.items()},
        weights=(whole["train"] / "model.safetensors").read_bytes(),
    )


def kill_and_finish(road: Road, folder: Path, after: float) -> None:
    """Start a run, kill it `after` seconds, look at what it left, finish it and compare."""
    write_recipe(folder)
    process = subprocess.Popen(command(folder), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    for record in (folder / ".danlu" / "artifacts").glob(f"*/*/{RECORD}"):
        for entry in Record.model_validate_json(record.read_bytes()).files:
            assert sha256_of(record.parent / entry.path) == entry.sha256, "a half artifact was taken for whole"
    finish(folder)
    whole = artifacts(folder)
    assert (whole["train"] / "model.safetensors").read_bytes() == road.weights
    for stage, content in road.contents.items():
        if stage not in ABOUT_A_MOMENT:
            assert whole[stage].content == content, stage
    assert not list((folder / ".danlu" / "work").iterdir())


#: Five moments spread over the run: one drawn from each fifth of it.
@pytest.mark.parametrize("fifth", range(5))
def test_kill_9_and_run_again(road: Road, tmp_path: Path, fifth: int) -> None:
    draw = random.Random(f"quick {fifth}")
    kill_and_finish(road, tmp_path, road.seconds * (fifth + draw.random()) / 5)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_kill_9_at_twenty_random_moments(road: Road, tmp_path: Path, number: int) -> None:
    kill_and_finish(road, tmp_path, road.seconds * random.Random(f"slow {number}").random())


@pytest.mark.slow
def test_killed_again_and_again_during_training(road: Road, tmp_path: Path) -> None:
    """A run that is killed over and over, each time a little later, still arrives."""
    write_recipe(tmp_path)
    for attempt in range(6):
        process = subprocess.Popen(command(tmp_path, "--until", "train"), cwd=tmp_path)
        try:
            process.wait(timeout=road.seconds * (0.2 + 0.05 * attempt))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    finish(tmp_path)
    assert (artifacts(tmp_path)["train"] / "model.safetensors").read_bytes() == road.weights


def test_a_killed_parent_takes_its_stage_along(tmp_path: Path) -> None:
    """No orphan goes on writing, so that the next run has the workspace for itself."""
    write_recipe(tmp_path)
    process = subprocess.Popen(
        [*command(tmp_path), "--until", "data"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    workers: list[int] = []
    until = time.monotonic() + 60
    while not workers and time.monotonic() < until:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        time.sleep(0.01)
    assert workers, "no stage process was seen"
    process.send_signal(signal.SIGKILL)
    process.wait()
    for worker in workers:
        until = time.monotonic() + 20
        while Path(f"/proc/{worker}").exists() and "Z" not in state_of(worker) and time.monotonic() < until:
            time.sleep(0.01)
        assert not Path(f"/proc/{worker}").exists() or "Z" in state_of(worker)


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
