"""What the plan says of models that are fitted, not trained: over words, and over a frozen encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from danlu.core.errors import ModelError
from danlu.examples import tiny_recipe, tiny_rows
from danlu.learning import scratch
from danlu.learning.text import auto_length, encode_whole, load_tokenizer
from danlu.plan import calibrate
from danlu.plan.config import PlanStage
from danlu.plan.stage import run
from danlu.recipe import Recipe
from tests.support import make_context

RATES = calibrate.Rates(gemm=5e11, gemm32=1e10, stream=1e10, elementwise=8e7)
Planned = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = scratch.train_tokenizer((row["text"] for row in tiny_rows(200)), scratch.VOCABULARIES["encoder"], 400)
    model = scratch.MAKERS["encoder"](scratch.Shape(layers=2, width=96, heads=2, positions=64), tokenizer, [])
    model.save_pretrained(folder)
    scratch.save_tokenizer(tokenizer, scratch.VOCABULARIES["encoder"], folder, 64)
    return folder


def planned(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    classic: dict[str, Any],
    encoder: Path | None = None,
    task: str = "classify",
    rate: float = 1.0,
    rows: list[dict[str, str]] | None = None,
) -> Planned:
    sections = tiny_recipe(folder, task=task, rows=400) | {"model": {"classic": classic}, "train": {}}
    if rows is not None:
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if encoder is not None:
        classic["features"] = {"kind": "embeddings", "base": str(encoder)}
    del sections["compress"]
    recipe = Recipe.model_validate(sections)
    rates = calibrate.Rates(gemm=5e11, gemm32=rate * RATES.gemm32, stream=1e10, elementwise=rate * RATES.elementwise)
    monkeypatch.setattr(calibrate, "measure", lambda **_: rates)
    config = PlanStage.model_validate({name: getattr(recipe, name) for name in PlanStage.model_fields})
    resources = {"data.sources[0].path": folder / "rows.jsonl"}
    if encoder is not None:
        resources["model.classic.features.base"] = encoder
    context = make_context(folder / "run", stage="plan", resources=resources)
    run(context, config)
    plan, resolved = (json.loads((context.out / f"{name}.json").read_text("utf-8")) for name in ("plan", "resolved"))
    return plan, resolved


def seconds(plan: dict[str, Any], stage: str) -> float:
    found: float = plan["stages"][stage]["seconds"]["value"]
    return found


def test_over_words_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, resolved = planned(tmp_path, monkeypatch, {"kind": "logistic"})
    assert plan["parameters"] is plan["max_length"] is None
    assert "nothing was measured on this machine" in plan["method"]
    assert "model.max_length" not in resolved


def test_over_an_encoder_its_length_and_its_passes_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Path
) -> None:
    plan, resolved = planned(tmp_path / "a", monkeypatch, {"kind": "logistic"}, encoder)
    texts = [row["text"] for row in tiny_rows(400)]
    lengths = [len(row) for row in encode_whole(load_tokenizer(encoder), texts)]
    assert resolved["model.max_length"] == plan["max_length"] == auto_length(lengths, 64)
    assert plan["parameters"] > 50_000
    slow, _ = planned(tmp_path / "b", monkeypatch, {"kind": "logistic"}, encoder, rate=1e-3)
    for stage in ("train", "compress", "evaluate", "speed"):  # each makes vectors
        assert seconds(slow, stage) > seconds(plan, stage), stage
    assert seconds(slow, "train") > seconds(slow, "compress")
    assert any("encoder's licence" in note for note in plan["notes"])


@pytest.mark.parametrize(("task", "kind"), [("tag", "gradient_boosting"), ("regress", "ridge"), ("tag", "logistic")])
@pytest.mark.parametrize("frozen", [True, False])
def test_other_tasks(
    task: str, kind: str, frozen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Path
) -> None:
    plan, _ = planned(tmp_path, monkeypatch, {"kind": kind}, encoder if frozen else None, task)
    assert {"train", "compress", "evaluate"} <= plan["stages"].keys()
    assert 0 < plan["total"]["seconds"]["low"] <= plan["total"]["seconds"]["value"]


def test_new_rows_cost_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Path) -> None:
    few = [row for number, row in enumerate(tiny_rows(400)) if row["label"] == "good" or number % 10 == 0]
    plain = {"kind": "random_forest", "trees": 100_000}
    evened, _ = planned(tmp_path / "a", monkeypatch, plain | {"smote": {}}, encoder, rows=few)
    as_is, _ = planned(tmp_path / "b", monkeypatch, plain, encoder, rows=few)
    assert seconds(evened, "train") > 1.5 * seconds(as_is, "train")


def test_an_encoder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"config\.json"):
        planned(tmp_path / "a", monkeypatch, {"kind": "logistic"}, tmp_path / "empty")
