"""kill -9 at random moments: the next run ends as an undisturbed one, and nothing half is taken for whole.

The kill hits the parent process; its stage dies with it (see `_end_with_parent` in core/worker.py). Where in the
run it hits is drawn from a seeded generator over the duration of the undisturbed run.
"""

from __future__ import annotations

import json
import random
import shutil
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
    return [sys.executable, "-m", "danlu", "run", "recipe.yaml", "--workspace", space, "--quiet", *more]


def write_recipe(folder: Path) -> None:
    sections = tiny_recipe(folder, rows=400)
    sections["train"] |= {"checkpoint_minutes": 0.002, "early_stopping": 0}
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


def kill(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Kill -9, and look at what it left: every artifact with a record is whole."""
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before the kill"
    for record in (folder / ".danlu" / "artifacts").glob(f"*/*/{RECORD}"):
        for entry in Record.model_validate_json(record.read_bytes()).files:
            assert sha256_of(record.parent / entry.path) == entry.sha256, "a half artifact was taken for whole"


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    write_recipe(folder)
    return subprocess.Popen(command(folder, *more), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish_and_compare(road: Road, folder: Path) -> dict[str, Artifact]:
    """Run again to the end; the result must be that of the undisturbed run, bit for bit."""
    finish(folder)
    whole = artifacts(folder)
    assert (whole["train"] / "model.safetensors").read_bytes() == road.weights
    for stage, content in road.contents.items():
        if stage not in ABOUT_A_MOMENT:
            assert whole[stage].content == content, stage
    assert not list((folder / ".danlu" / "work").iterdir())
    return whole


def kill_at(road: Road, folder: Path, share: float) -> None:
    """Kill a run after this share of what the undisturbed run took; earlier where the machine is faster now."""
    after = road.seconds * share
    process = start(folder)
    while ended_within(process, after):
        shutil.rmtree(folder / ".danlu")
        after *= 0.7
        process = start(folder)
    kill(folder, process)
    finish_and_compare(road, folder)


def ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


#: Four moments spread over the run, one drawn from each quarter of its first nine tenths; training has its own test.
@pytest.mark.parametrize("quarter", range(4))
def test_kill_9_and_run_again(road: Road, tmp_path: Path, quarter: int) -> None:
    kill_at(road, tmp_path, 0.9 * (quarter + random.Random(f"quick {quarter}").random()) / 4)


def step_of(pointer: Path) -> int:
    """The step of the newest checkpoint; 0 is the one that is written before the first step."""
    return int(json.loads(pointer.read_text(encoding="utf-8"))["folder"].removeprefix("step-"))


def test_kill_9_in_training_goes_on_from_the_checkpoint(road: Road, tmp_path: Path) -> None:
    """Killed once a checkpoint is there; the next run takes it up, and does not begin anew."""
    process = start(tmp_path)
    pointer: list[Path] = []
    until = time.monotonic() + 120
    while not any(step_of(path) for path in pointer) and time.monotonic() < until:
        pointer = list((tmp_path / ".danlu" / "work").glob("train-*/state/latest.json"))
        time.sleep(0.005)
    assert pointer, "no checkpoint was seen"
    kill(tmp_path, process)
    step = step_of(pointer[0])
    assert step > 0
    again = subprocess.run(
        [*command(tmp_path)[:-1], "--until", "train"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert f"Going on from step {step} of" in again.stdout + again.stderr
    assert finish_and_compare(road, tmp_path)["train"].record.attempts == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_kill_9_at_twenty_random_moments(road: Road, tmp_path: Path, number: int) -> None:
    kill_at(road, tmp_path, 0.95 * random.Random(f"slow {number}").random())


@pytest.mark.slow
def test_killed_again_and_again(road: Road, tmp_path: Path) -> None:
    """A run that is killed over and over, each time a little later, still arrives."""
    for attempt in range(6):
        process = start(tmp_path)
        time.sleep(road.seconds * (0.3 + 0.05 * attempt))
        if process.poll() is None:
            kill(tmp_path, process)
    finish_and_compare(road, tmp_path)


def test_a_killed_parent_takes_its_stage_along(tmp_path: Path) -> None:
    """No orphan goes on writing, so that the next run has the workspace for itself."""
    process = start(tmp_path, "--until", "data")
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
