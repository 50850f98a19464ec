"""A run that was stopped and resumed ends with the same bytes as one that was not."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from danlu.core.errors import Interrupted
from danlu.train.state import Progress, TrainingState
from tests.unit.train.conftest import Attempt

#: What must be the same: weights, facts, tokenizer; everything but logs.
CONTENT = (
    "model.safetensors",
    "last/model.safetensors",
    "training.json",
    "danlu.json",
    "config.json",
    "tokenizer.json",
)


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in CONTENT}


def steps_logged(folder: Path) -> list[int]:
    rows = (folder / "logs" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(row)["step"] for row in rows]


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_stopped_and_resumed_is_bit_equal(attempt: Attempt, task: str) -> None:
    whole = attempt("whole", task)
    # 24 steps in 2 epochs, validated after 6, 12, 18 and 24: stop at the start, in the first epoch, right after a
    # validation, between the epochs, in the second epoch, and before the last step.
    for name, stops in (("a", (0, 5, 1, 6)), ("b", (12, 7)), ("c", (17, 6))):
        for stop_after in stops:
            with pytest.raises(Interrupted):
                attempt(name, task, stop_after=stop_after)
        resumed = attempt(name, task)
        assert content(resumed.out) == content(whole.out), (name, task)
        assert steps_logged(resumed.out) == steps_logged(whole.out)


def test_a_crash_between_checkpoints_is_bit_equal(
    attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill leaves the state of the last checkpoint, later best weights and half-written files beside it."""
    whole = attempt("whole", "classify")
    with pytest.raises(Interrupted):
        attempt("killed", "classify", stop_after=8)
    saves = TrainingState.save

    def die(self: TrainingState, *_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingState, "save", die)
    with pytest.raises(KeyboardInterrupt):
        attempt("killed", "classify", stop_after=11)
    monkeypatch.setattr(TrainingState, "save", saves)
    state = tmp_path / "killed" / "state"
    (state / ".step-00000013.tmp").mkdir()
    (state / "step-00000014").mkdir()
    (state / ".best-00000018.tmp").write_bytes(b"half")
    resumed = attempt("killed", "classify")
    assert content(resumed.out) == content(whole.out)
    assert not (state / "step-00000014").exists()
    assert not (state / ".best-00000018.tmp").exists()


def test_checkpoints_every_step_change_nothing(attempt: Attempt) -> None:
    whole = attempt("whole", "classify")
    often = attempt("often", "classify", checkpoint_minutes=1e-9)
    assert content(often.out) == content(whole.out)
    assert len(list(often.state.glob("step-*"))) == 1
    assert len(list(often.state.glob("best-*"))) <= 2


def test_early_stopping_survives_a_resume(attempt: Attempt) -> None:
    settings = {"early_stopping": 2, "epochs": 8.0}
    whole = attempt("whole", "classify", **settings)
    facts = json.loads((whole.out / "training.json").read_text())
    assert facts["stopped_early"]
    assert facts["steps"] < facts["planned_steps"]
    with pytest.raises(Interrupted):
        attempt("resumed", "classify", stop_after=13, **settings)
    assert content(attempt("resumed", "classify", **settings).out) == content(whole.out)


def test_state_is_safetensors_and_json_only(attempt: Attempt, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        attempt("stopped", "classify", stop_after=14)
    files = [path for path in (tmp_path / "stopped" / "state").rglob("*") if path.is_file()]
    endings = {path.suffix for path in files}
    assert endings == {".safetensors", ".json"}


class Killed(Exception):
    """Stands for the kill at one system call."""


def killing(patch: pytest.MonkeyPatch, survived: int) -> None:
    """Raise `Killed` in place of every sync, rename and removal after the first `survived` ones."""
    calls = itertools.count(1)

    def killed(plain: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **settings: object) -> object:
            if next(calls) > survived:
                raise Killed
            return plain(*args, **settings)

        return call

    for owner, name in ((os, "fsync"), (Path, "rename"), (Path, "replace"), (shutil, "rmtree")):
        patch.setattr(owner, name, killed(getattr(owner, name)))


def test_a_kill_at_any_write_leaves_a_whole_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded after a `save` that was stopped anywhere is the old checkpoint or the new one."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    weights = {}
    for step in (1, 2):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        weights[step] = model.weight.detach().clone()
        if step == 1:
            TrainingState(tmp_path / "first").save(model, optimizer, Progress(step=1))
    loaded = []
    for survived in range(30):
        folder = Path(shutil.copytree(tmp_path / "first", tmp_path / f"try-{survived}"))
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            killing(patch, survived)
            TrainingState(folder).save(model, optimizer, Progress(step=2))
        fresh = torch.nn.Linear(3, 2)
        progress = TrainingState(folder).load(fresh, torch.optim.AdamW(fresh.parameters(), fused=True))
        assert progress is not None
        assert torch.equal(fresh.weight, weights[progress.step])
        loaded.append(progress.step)
    assert loaded == sorted(loaded)
    assert loaded.count(1) > 5
    assert loaded[-1] == 2


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "sgd", "adafactor"])
def test_every_optimizer_resumes_bit_equal(attempt: Attempt, kind: str) -> None:
    settings = {"optimizer": {"kind": kind}, "schedule": {"kind": "linear"}, "learning_rate": 0.01}
    whole = attempt("whole", "classify", **settings)
    with pytest.raises(Interrupted):
        attempt("resumed", "classify", stop_after=13, **settings)
    assert content(attempt("resumed", "classify", **settings).out) == content(whole.out)


def test_a_plateau_reduces_the_rate_and_survives_a_resume(attempt: Attempt) -> None:
    schedule = {"kind": "plateau", "patience": 2, "factor": 0.1, "warmup": 0.0}
    settings = {"schedule": schedule, "learning_rate": 1e-9, "early_stopping": 0, "epochs": 4.0}
    whole = attempt("whole", "classify", **settings)
    rows = [json.loads(row) for row in (whole.out / "logs" / "metrics.jsonl").read_text().splitlines()]
    rates = [row["rate"] for row in rows if "rate" in row]
    # 48 steps, validated after every 6; the first score is the best. Two without gain are known after step 18.
    assert rates[:18] == [1e-9] * 18
    assert rates[18:30] == pytest.approx([1e-10] * 12)
    assert rates[-1] == pytest.approx(1e-12)
    with pytest.raises(Interrupted):
        attempt("resumed", "classify", stop_after=15, **settings)
    assert content(attempt("resumed", "classify", **settings).out) == content(whole.out)


def test_packed_steps_of_so_many_tokens_resume_bit_equal(attempt: Attempt) -> None:
    settings = {"batching": {"tokens": 128, "packing": True}, "optimizer": {"kind": "sgd"}, "learning_rate": 0.05}
    whole = attempt("whole", "generate", **settings)
    with pytest.raises(Interrupted):
        attempt("resumed", "generate", stop_after=9, **settings)
    assert content(attempt("resumed", "generate", **settings).out) == content(whole.out)
    facts = json.loads((whole.out / "training.json").read_text())
    assert facts["samples"] == 192
    assert facts["steps"] == facts["planned_steps"] != 24


@pytest.mark.parametrize("adversarial", [{"kind": "fgm"}, {"kind": "pgd", "steps": 2}], ids=["fgm", "pgd"])
def test_regularisers_resume_bit_equal_and_their_time_is_told(attempt: Attempt, adversarial: dict[str, object]) -> None:
    settings = {"regularize": {"l1": 1e-5, "dropout": 0.2, "adversarial": adversarial}, "max_samples": 80}
    whole = attempt("whole", "classify", **settings)
    with pytest.raises(Interrupted):
        attempt("resumed", "classify", stop_after=7, **settings)
    assert content(attempt("resumed", "classify", **settings).out) == content(whole.out)
    speed = json.loads((whole.out / "logs" / "speed.json").read_text())
    assert 0 < speed["adversarial_seconds"] < speed["seconds"]
