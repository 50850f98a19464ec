from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from danlu.core.artifact import Artifact
from danlu.engines.torch_engine import TorchEngine
from danlu.evaluate import speed
from danlu.evaluate.config import SpeedStage
from danlu.evaluate.stage import run_speed
from tests.support import make_context


def timed(folder: Path, corpus: Artifact, export: Artifact, task: str, requests: int = 20) -> dict[str, Any]:
    context = make_context(folder, stage="speed", inputs={"data": corpus, "compress": export})
    run_speed(context, SpeedStage.model_validate({"task": task, "speed": {"requests": requests, "warmup": 2}}))
    found: dict[str, Any] = json.loads((context.out / "speed.json").read_text(encoding="utf-8"))
    return found


def test_every_form_is_timed(tmp_path: Path, corpus: Artifact, classify_export: Artifact) -> None:
    found = timed(tmp_path, corpus, classify_export, "classify")
    export = classify_export.json("export.json")
    assert set(found["forms"]) == set(export["forms"])
    assert found["form"] == "torch"
    for name, form in found["forms"].items():
        assert 0 < form["p50_ms"] <= form["p95_ms"]
        assert form["throughput_per_second"] > 0
        assert form["load_seconds"] > 0
        assert form["bytes"] == export["forms"][name]["bytes"]
        assert form["requests"] == 20
        # A form whose answer depends on its batch is served, and so timed, one text at a time.
        assert form["batch_size"] == (32 if export["forms"][name]["batch_invariant"] else 1)
    for name in ("p50_ms", "p95_ms", "throughput_per_second"):
        assert found[name] == found["forms"]["torch"][name]
    assert found["machine"]["cores"] >= 1


def test_a_language_model_is_timed_by_token(tmp_path: Path, prose: Artifact, generate_export: Artifact) -> None:
    found = timed(tmp_path, prose, generate_export, "generate")
    assert 0 < found["first_token_ms"] <= found["p95_ms"]
    assert 0 < found["tokens_per_second"] <= found["new_tokens"] * found["throughput_per_second"] * 1.001


def test_tokens_are_counted_as_the_model_made_them(
    tmp_path: Path, prose: Artifact, generate_export: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody counts them anew: what an answer spells need not be what the model wrote it with."""
    made: list[int] = []
    answer = TorchEngine._answer

    def watched(self: TorchEngine, *given: Any) -> Any:
        ending = yield from answer(self, *given)
        made.append(ending.tokens)
        return ending

    monkeypatch.setattr(TorchEngine, "_answer", watched)
    found = timed(tmp_path, prose, generate_export, "generate")["forms"]["torch"]
    per_request = found["tokens_per_second"] / found["throughput_per_second"]
    assert per_request == pytest.approx(sum(made[-20:]) / 20)


def test_a_slow_form_is_timed_on_fewer_requests(
    tmp_path: Path, corpus: Artifact, classify_export: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_MOST_SECONDS", 0.0)
    found = timed(tmp_path, corpus, classify_export, "classify", requests=50)
    assert found["forms"]["torch"]["requests"] == 20
