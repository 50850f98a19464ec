"""The noise scale of the gradient, and a batch that grows by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import danlu.train.loop as loop
from danlu.core.errors import Interrupted
from danlu.learning.step import Piece
from danlu.train import guard
from danlu.train.state import Progress
from tests.unit.train.conftest import Attempt
from tests.unit.train.test_guard import Injected, without_trouble
from tests.unit.train.test_resume import content

GROW: dict[str, Any] = {"batching": {"grow": True}, "batch_size": 2, "early_stopping": 0, "learning_rate": 1e-4}


def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


@pytest.mark.parametrize(("small", "large"), [(4, 8), (8, 64), (3, 24)])
def test_the_noise_scale_of_known_gradients_is_found(small: int, large: int) -> None:
    """Gradients of single samples are drawn around a mean: the noise scale is trace(covariance) / |mean|^2."""
    draw = np.random.default_rng(1)
    mean, deviation = draw.normal(0, 1, 50), draw.uniform(0.5, 3.0, 50)
    progress = Progress()
    assert guard.noise_scale(progress) is None
    for _ in range(400):
        gradients = mean + deviation * draw.normal(0, 1, (large, 50))
        piece = Piece(samples=small, squared=float(np.sum(gradients[:small].mean(axis=0) ** 2)))
        guard.note_noise(progress, piece, large, float(np.sum(gradients.mean(axis=0) ** 2)))
    expected = np.sum(deviation**2) / np.sum(mean**2)
    assert guard.noise_scale(progress) == pytest.approx(expected, rel=0.25)


def test_one_piece_alone_tells_nothing() -> None:
    progress = Progress()
    guard.note_noise(progress, Piece(samples=8, squared=1.0), 8, 1.0)
    assert progress.noise is None


def test_a_batch_doubles_only_below_the_noise_scale() -> None:
    progress = Progress(step=10, noise=[40.0, 1.0, 100.0])
    assert guard.grow(progress, 60.0) is None
    assert guard.grow(progress, 20.0) == 2
    assert guard.grow(progress, 20.0) == 4
    assert guard.grow(progress, 20.0) is None
    assert progress.growth == [{"step": 10, "batches": 2}, {"step": 10, "batches": 4}]
    assert guard.grow(Progress(noise=[40.0, -1.0, 5.0]), 1.0) is None


def test_a_run_tells_its_noise_scale_where_it_takes_pieces(attempt: Attempt) -> None:
    assert facts(attempt("whole", "classify").out)["noise_scale"] is None
    told = facts(attempt("pieces", "classify", micro_batch=2).out)
    assert told["noise_scale"] is None or told["noise_scale"] > 0
    assert any("noise_scale" in row for row in told["history"])


def test_a_grown_batch_sees_the_same_samples_in_fewer_updates_and_resumes_bit_equal(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {}
    for name, settings in (("plain", GROW | {"batching": {}}), ("grown", GROW)):
        runs[name] = Injected(without_trouble)
        monkeypatch.setattr(loop, "train_step", runs[name])
        whole = attempt(name, "classify", **settings)
    assert sorted(runs["grown"].seen) == sorted(runs["plain"].seen)
    told = facts(whole.out)
    assert told["growth"] == [{"batches": 2, "step": 48}]
    assert told["steps"] == 96
    assert told["samples"] == 192
    assert [row["step"] for row in told["history"]] == [24, 48, 72, 96]
    assert told["updates"] == len(runs["grown"].losses) == 48 + 48 // 2
    # Stopped before it first grows, and after; the loop asks once a step, and steps have become larger.
    for stops in ((20,), (50, 11)):
        name = f"resumed-{stops}"
        for stop_after in stops:
            with pytest.raises(Interrupted):
                attempt(name, "classify", stop_after=stop_after, **GROW)
        assert content(attempt(name, "classify", **GROW).out) == content(whole.out)


def test_a_grown_batch_goes_back_too(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    """No number in a grown step leaves out all batches of it, and the batch grows again where it did."""
    told = facts(attempt("whole", "classify", **GROW).out)
    at = told["growth"][0]["step"]
    plain, calls = loop.train_step, []

    def broken(*given: Any, **settings: Any) -> Any:
        calls.append(given)
        result = plain(*given, **settings)
        return type(result)(**{**vars(result), "loss": float("nan")}) if len(calls) == at + 1 else result

    monkeypatch.setattr(loop, "train_step", broken)
    after = facts(attempt("broken", "classify", **GROW).out)
    assert after["events"][0]["batches"] == [at, at + 1]
    assert after["growth"][0] == told["growth"][0]
    assert after["samples"] == 192 - 4
