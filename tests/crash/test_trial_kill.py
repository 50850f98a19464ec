"""kill -9 of one trial of a search: the search stops and says so; the next run goes on in the middle of that trial."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu.core.errors import StageCrashed
from danlu.core.runner import Caps, Runner
from danlu.core.store import Workspace
from danlu.examples import tiny_recipe
from danlu.recipe import Recipe
from danlu.stages import stages_of

BATCH = 8


def searched(folder: Path, events: list[dict[str, Any]]) -> Runner:
    """The road up to train, with a search of one trial that writes checkpoints all the time."""
    sections = tiny_recipe(folder, rows=400)
    sections["train"] |= {"epochs": 12.0, "batch_size": BATCH, "checkpoint_minutes": 0.002}
    sections["tune"] = {"trials": 1, "space": {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}}}
    recipe = Recipe.model_validate(sections)
    runner = Runner(
        stages=stages_of(recipe),
        workspace=Workspace(folder / "space").open(),
        base=folder,
        caps=Caps(threads=1),
        observer=events.append,
        interrupted=threading.Event(),
    )
    runner.walk(recipe, until="train")
    return runner


def descendants(pid: int) -> Iterator[int]:
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in listed.read_text(encoding="ascii").split():
                yield int(child)
                yield from descendants(int(child))


def trial_process() -> int | None:
    """The process of the trial that is under way: a grandchild of this one that runs the train stage."""
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"danlu.core.worker" in command and any(b"work/train-" in part for part in command):
                return pid
    return None


def step_reached(space: Path) -> int:
    """The step of the newest checkpoint of the trial; 0 where there is none."""
    for pointer in (space / "work").glob("train-*/state/latest.json"):
        with contextlib.suppress(OSError, ValueError):
            return int(json.loads(pointer.read_text(encoding="utf-8"))["folder"].removeprefix("step-"))
    return 0


def kill_when_saved(space: Path, killed: list[int]) -> None:
    """Kill -9 the trial once it has a checkpoint beyond its start; notes the step of the newest one."""
    until = time.monotonic() + 240
    while time.monotonic() < until:
        pid = trial_process()
        if pid is not None and step_reached(space) > 0:
            os.kill(pid, signal.SIGKILL)
            killed.append(step_reached(space))
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_trial_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = searched(tmp_path / "whole", [])
    killed: list[int] = []
    space = tmp_path / "killed" / "space"
    killer = threading.Thread(target=kill_when_saved, args=(space, killed))
    killer.start()
    with pytest.raises(StageCrashed, match="train was killed"):
        searched(tmp_path / "killed", [])
    killer.join()
    assert killed, "the search ended before the kill"
    events: list[dict[str, Any]] = []
    again = searched(tmp_path / "killed", events)
    seen = [event["done"] for event in events if event["type"] == "progress" and event["what"] == "trial 1"]
    assert min(done for done in seen if done) >= killed[0] * BATCH, "it did not begin anew"
    study = again.artifacts["tune"].json("study.json")
    assert study == whole.artifacts["tune"].json("study.json")
    assert len(study["trials"]) == 1, "the kill is no trial that failed"
    trained = again.artifacts["train"]
    assert trained.content == whole.artifacts["train"].content, "bit-equal, as if nothing had happened"
    assert trained.record.attempts == 2
    assert again.outcomes[-1].reused
    assert not list((space / "work").iterdir())
