"""A corpus made by rule, and the stage run on it in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from accelerate.state import AcceleratorState

from danlu.core.context import Context
from danlu.examples import tiny_rows
from danlu.train.config import TrainStage
from danlu.train.stage import run
from tests.support import as_artifact, make_context

MODEL = {"scratch": {"layers": 1, "width": 32, "heads": 2, "vocabulary": 400}, "max_length": 48}
SETTINGS: dict[str, Any] = {
    "epochs": 2.0,
    "batch_size": 8,
    "learning_rate": 0.003,
    "precision": "float32",
    "validations_per_epoch": 2,
}


def write_corpus(folder: Path, task: str, rows: int = 96, held_out: int = 24) -> Path:
    """A Corpus folder with `rows` in train and `held_out` in validation."""
    texts = tiny_rows(rows + held_out)
    for part, chosen in (("train", texts[:rows]), ("validation", texts[rows:])):
        (folder / part).mkdir(parents=True)
        parquet.write_table(pa.Table.from_pylist(chosen), folder / part / "part-0.parquet")
    labels = ["bad", "good"] if task == "classify" else None
    (folder / "card.json").write_text(json.dumps({"task": task, "labels": labels}))
    return folder


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A Corpus folder for each task."""
    root = tmp_path_factory.mktemp("corpora")
    return {task: write_corpus(root / task, task) for task in ("classify", "generate")}


@pytest.fixture(autouse=True)
def _one_precision_a_test() -> Iterator[None]:
    """Accelerate keeps the precision of a process; each test starts without one."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


Attempt = Callable[..., Context]


@pytest.fixture
def attempt(tmp_path: Path, corpora: dict[str, Path]) -> Attempt:
    """`attempt(name, task, stop_after=None, resources=None, **settings)` runs the stage; returns its context.

    `stop_after` is a number of steps after which Ctrl-C is pressed. A second attempt of the same name starts with
    an empty `out` and the `state` of the one before, as the runner does it.
    """

    def start(
        name: str,
        task: str,
        *,
        stop_after: int | None = None,
        model: dict[str, Any] | None = None,
        resources: dict[str, Path] | None = None,
        corpus: Path | None = None,
        deadline: float | None = None,
        **settings: Any,
    ) -> Context:
        shutil.rmtree(tmp_path / name / "out", ignore_errors=True)
        inputs = {"data": as_artifact(corpus or corpora[task], "data")}
        ctx = make_context(tmp_path / name, stage="train", inputs=inputs, resources=resources)
        ctx.limits.deadline = deadline
        if stop_after is not None:
            _press_ctrl_c_after(ctx, stop_after)
        AcceleratorState._reset_state(reset_partial_state=True)
        config = TrainStage.model_validate({"task": task, "model": model or MODEL, "train": SETTINGS | settings})
        run(ctx, config)
        return ctx

    return start


def _press_ctrl_c_after(ctx: Context, steps: int) -> None:
    """Press it when the stage asks for the `steps + 1`th time whether to stop: it asks before each step."""
    asked = 0
    plain = ctx.stop_reason

    def stop_reason() -> Any:
        nonlocal asked
        ctx.limits.asked = "interrupted" if asked >= steps else None
        asked += 1
        return plain()

    ctx.stop_reason = stop_reason  # type: ignore[method-assign]
    ctx.check = lambda: None  # type: ignore[method-assign]  # bars ask too, and are no steps
