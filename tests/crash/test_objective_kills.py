"""kill -9 of every way to train: the next run goes on from the last checkpoint and ends bit-equal.

Each is killed at five moments, drawn by a seeded generator: 60 kills. The first of each is for CI, the others are
marked slow. A new way to train is a row in `WAYS`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from danlu.core.artifact import LOGS
from danlu.examples import tiny_pairs, tiny_rated, tiny_rows, tiny_tagged
from tests.crash.forks import Run, Starter
from tests.unit.train.test_objectives import conversations, write

Rows = list[dict[str, Any]]

SCRATCH = {"scratch": {"layers": 1, "width": 32, "heads": 2, "vocabulary": 400}, "max_length": 48}
BASE = {"base": "hf://someone/tiny", "max_length": 48}
CLASSIC = {"classic": {"kind": "logistic"}}
#: 16 steps, validated after every fourth; a checkpoint after each.
SETTINGS: dict[str, Any] = {
    "epochs": 2.0,
    "batch_size": 8,
    "learning_rate": 0.003,
    "validations_per_epoch": 2,
    "checkpoint_minutes": 1e-9,
    "early_stopping": 0,
}
TRAIN_ROWS, HELD_OUT_ROWS, STEPS = 64, 24, 16


def _under(column: str, make: Callable[[int], Rows]) -> Callable[[int], Rows]:
    """Rows whose answer stands in `column`, as the data stage writes it."""
    return lambda count: [{"text": row["text"], column: row["label"]} for row in make(count)]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to train. `rows(count)` makes its corpus; `needs`: resources that are the models of other ways."""

    task: str
    rows: Callable[[int], Rows]
    labels: list[str] | None = None
    model: dict[str, Any] = field(default_factory=lambda: SCRATCH)
    train: dict[str, Any] = field(default_factory=dict)
    needs: dict[str, str] = field(default_factory=dict)


MOODS = ["bad", "good"]
WAYS: dict[str, Way] = {
    "classify": Way(task="classify", rows=tiny_rows, labels=MOODS),
    "tag": Way(task="tag", rows=_under("labels", tiny_tagged), labels=["early", "praise", "seat"]),
    "regress": Way(task="regress", rows=_under("value", tiny_rated)),
    "generate": Way(task="generate", rows=tiny_rows),
    "instruct": Way(task="generate", rows=conversations, train={"micro_batch": 4}),
    "prefer": Way(task="generate", rows=conversations, train={"objective": {"kind": "preference"}}),
    "distill_classes": Way(
        task="classify",
        rows=tiny_rows,
        labels=MOODS,
        train={"objective": {"kind": "distill_classes", "teacher": "teacher"}},
        needs={"train.objective.teacher": "classify"},
    ),
    "distill_causal": Way(
        task="generate",
        rows=tiny_rows,
        train={"objective": {"kind": "distill_causal", "teacher": "teacher"}},
        needs={"train.objective.teacher": "generate"},
    ),
    "contrastive": Way(task="embed", rows=tiny_pairs),
    "fill": Way(task="fill", rows=tiny_rows),
    "lora": Way(
        task="classify",
        rows=tiny_rows,
        labels=MOODS,
        model=BASE,
        train={"method": {"kind": "lora", "rank": 4}},
        needs={"model.base": "classify"},
    ),
    "classic": Way(task="classify", rows=tiny_rows, labels=MOODS, model=CLASSIC),
}


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody killed: the content of its `out`, and how long it took, in seconds."""

    run: Run
    content: dict[str, bytes]
    seconds: float


def content(folder: Path) -> dict[str, bytes]:
    """Every file of the artifact but its logs."""
    files = (path for path in (folder / "out").rglob("*") if path.is_file())
    named = {path.relative_to(folder / "out").as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in named.items() if not name.startswith(f"{LOGS}/")}


class Kills:
    """Undisturbed runs of all ways, each made once it is asked for, and who starts processes."""

    def __init__(self, root: Path) -> None:
        self.starter = Starter()
        self._root = root
        self._made: dict[str, Undisturbed] = {}

    def undisturbed(self, name: str) -> Undisturbed:
        if name not in self._made:
            run = self._described(name)
            started = time.monotonic()
            assert self.finish(run) == 0, (Path(run.folder) / "log.txt").read_text()
            self._made[name] = Undisturbed(run, content(Path(run.folder)), time.monotonic() - started)
        return self._made[name]

    def _described(self, name: str) -> Run:
        way = WAYS[name]
        rows = way.rows(TRAIN_ROWS + HELD_OUT_ROWS)
        corpus = write(self._root / f"corpus-{name}", rows[:TRAIN_ROWS], rows[TRAIN_ROWS:], way.labels)
        needed = {where: str(Path(self.undisturbed(other).run.folder) / "out") for where, other in way.needs.items()}
        config = {"task": way.task, "model": way.model, "train": SETTINGS | way.train}
        return Run(folder=str(self._root / name), corpus=str(corpus), config=config, resources=needed)

    def finish(self, run: Run) -> int:
        self.starter.start(run)
        return self.starter.end()


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kills]:
    made = Kills(tmp_path_factory.mktemp("ways"))
    yield made
    made.starter.close()


def step_of(folder: Path) -> int:
    """The step of the newest checkpoint, -1 where there is none."""
    try:
        pointer = json.loads((folder / "state" / "latest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return -1
    return int(pointer["folder"].removeprefix("step-"))


def killed(kills: Kills, run: Run, due: Callable[[], bool], late: float) -> bool:
    """Start the run and kill it so many seconds after it is `due`; False where it had ended before."""
    shutil.rmtree(run.folder, ignore_errors=True)
    pid = kills.starter.start(run)
    while not due() and not _has_ended(pid):
        time.sleep(0.001)
    time.sleep(late)
    os.kill(pid, signal.SIGKILL)
    code = kills.starter.end()
    assert code in {0, -signal.SIGKILL}, (Path(run.folder) / "log.txt").read_text()
    return code != 0


def _has_ended(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


MOMENTS = [
    pytest.param(name, number, id=f"{name}-{number}", marks=pytest.mark.slow if number else [])
    for name in WAYS
    for number in range(5)
]


@pytest.mark.parametrize(("name", "number"), MOMENTS)
def test_killed_and_run_again_is_bit_equal(kills: Kills, tmp_path: Path, name: str, number: int) -> None:
    """Killed within the step after a drawn checkpoint; a way without checkpoints, and each last time, anywhere."""
    whole = kills.undisturbed(name)
    draw = random.Random(f"{name} {number}")
    run = Run(**{**vars(whole.run), "folder": str(tmp_path / "run")})
    folder, steps = Path(run.folder), name != "classic" and number < 4
    share, step, late = draw.uniform(0.1, 0.9), draw.randrange(STEPS - 1), draw.uniform(0.0, 0.03)

    started = time.monotonic()

    def due() -> bool:
        return step_of(folder) >= step if steps else time.monotonic() - started >= share * whole.seconds

    while not killed(kills, run, due, late):
        share, step, late, started = share * 0.7, step // 2, 0.0, time.monotonic()
    left = step_of(folder)
    assert not steps or left >= step
    assert kills.finish(run) == 0, (folder / "log.txt").read_text()
    assert content(folder) == whole.content, f"killed with the checkpoint of step {left}"
