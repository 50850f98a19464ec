"""The road with a model that is not trained as a network: fitted, released, served, for every task that has one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from danlu.examples import tiny_recipe, tiny_rows
from danlu.learning import scratch
from tests.e2e.conftest import Walked, serving, walk_here

TEXTS = ["my lamp turned out superb", "the desk is faulty and arrived at noon no 7"]


def encoder(folder: Path) -> Path:
    """A small encoder with random weights, as a user would have a pretrained one beside the recipe."""
    tokenizer = scratch.train_tokenizer((row["text"] for row in tiny_rows(300)), scratch.VOCABULARIES["encoder"], 500)
    model = scratch.MAKERS["encoder"](scratch.Shape(layers=1, width=64, heads=2, positions=64), tokenizer, [])
    model.save_pretrained(folder)
    scratch.save_tokenizer(tokenizer, scratch.VOCABULARIES["encoder"], folder, 64)
    return folder


def walked_over(folder: Path, task: str, classic: dict[str, Any], gates: list[str], **train: Any) -> Walked:
    sections = tiny_recipe(folder, task=task, rows=400)
    sections |= {"model": {"classic": classic}, "train": train}
    del sections["compress"]
    sections["release"] = {"gates": [*gates, "leaked_rows == 0", "parity == 0"]}
    walked = walk_here(folder, sections)
    assert walked.output.returncode == 0, walked.output.stderr + walked.output.stdout
    return walked


def evaluated(walked: Walked) -> dict[str, Any]:
    """What the evaluation got for the test rows, by text."""
    workspace = walked.folder / ".danlu" / "artifacts"
    predictions = parquet.read_table(next(workspace.glob("evaluate/*/predictions.parquet"))).to_pylist()
    rows = parquet.read_table(next(workspace.glob("data/*/test"))).to_pylist()
    texts = {row["id"]: row["text"] for row in rows}
    return {texts[row["id"]]: row for row in predictions}


def shown(walked: Walked) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(walked.run("show", walked.name, "--json").stdout)
    return found


@pytest.mark.parametrize("kind", ["logistic", pytest.param("gradient_boosting", marks=pytest.mark.slow)])
def test_from_rows_to_answers(kind: str, tmp_path: Path) -> None:
    sections = tiny_recipe(tmp_path, rows=400)
    sections |= {"model": {"classic": {"kind": kind}}, "train": {"class_weights": "balanced"}}
    del sections["compress"]
    if kind == "logistic":  # the baseline itself: with the gates that hold where a recipe names none it can be released
        del sections["release"]
    else:
        sections["release"] = {"gates": ["accuracy >= 0.9", "leaked_rows == 0", "parity == 0"]}
    walked = walk_here(tmp_path, sections)
    assert walked.output.returncode == 0, walked.output.stderr + walked.output.stdout
    told = shown(walked)
    assert told["verdict"] == "ship"
    assert told["evidence"]["form"] == "classic"
    assert told["doubt"] is None
    assert told["plan"]["predicted"] is not None
    said = json.loads(walked.run("predict", walked.name, TEXTS[0], "--json").stdout)
    assert said[0]["label"] == "good"
    with serving(walked) as client:
        answer = client.post("/v1/predict", json={"text": TEXTS[0]}).json()
    assert answer["label"] == "good"
    assert answer["probabilities"]["good"] == pytest.approx(said[0]["probability"], abs=1e-6)


def test_new_rows_over_a_frozen_encoder(tmp_path: Path) -> None:
    """With columns beside the text: the rare class gets new rows in training, and what is served was evaluated."""
    encoder(tmp_path / "encoder")
    sections = tiny_recipe(tmp_path, rows=400)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()]
    for number, row in enumerate(rows):
        row |= {"amount": number % 7 + 5 * (row["label"] == "bad"), "channel": ("app", "shop", "")[number % 3]}
    kept = [row for number, row in enumerate(rows) if row["label"] == "good" or number % 4 == 0]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    features = {"kind": "embeddings", "base": "./encoder"}
    sections |= {"model": {"classic": {"kind": "logistic", "features": features, "smote": {"neighbours": 3}}}}
    sections |= {"train": {}, "release": {"gates": ["macro_f1 >= 0.6", "leaked_rows == 0", "parity == 0"]}}
    sections["data"]["columns"] = {"numeric": ["amount"], "categorical": ["channel"]}
    del sections["compress"]
    walked = walk_here(tmp_path, sections)
    assert walked.output.returncode == 0, walked.output.stderr + walked.output.stdout
    told = shown(walked)
    assert told["model"]["architecture"] == "Frozen embeddings and columns + logistic regression"
    made = told["model"]["made_rows"]["bad"]
    page = (tmp_path / ".danlu" / "runs" / walked.name / "report.html").read_text("utf-8")
    assert f"small classes: bad {made['rows']} + {made['new']}." in page
    card = next((tmp_path / ".danlu").glob("artifacts/release/*/README.md")).read_text("utf-8")
    assert f"SMOTE made vectors between training rows of small classes: bad {made['new']:,} beside" in card
    known = evaluated(walked)
    texts = list(known)[:5]
    beside = {row["text"]: {"amount": row["amount"], "channel": row["channel"] or None} for row in kept}
    with serving(walked) as client:
        question = {"texts": texts, "columns": [beside[text] for text in texts]}
        answers = client.post("/v1/predict", json=question).json()["predictions"]
        refused = client.post("/v1/predict", json={"text": texts[0]})
    assert refused.status_code == 400
    assert "no columns came" in refused.text
    for text, answer in zip(texts, answers, strict=True):
        assert answer["label"] == known[text]["predicted"]
        assert list(answer["probabilities"].values()) == pytest.approx(known[text]["probabilities"], abs=1e-5)


@pytest.mark.parametrize(
    ("task", "kind", "gate"),
    [
        ("regress", "ridge", "mae <= 1.0"),
        pytest.param("tag", "logistic", "micro_f1 >= 0.6", marks=pytest.mark.slow),
        pytest.param("tag", "gradient_boosting", "micro_f1 >= 0.6", marks=pytest.mark.slow),
        pytest.param("regress", "random_forest", "mae <= 1.0", marks=pytest.mark.slow),
    ],
)
def test_numbers_and_several_labels(task: str, kind: str, gate: str, tmp_path: Path) -> None:
    walked = walked_over(tmp_path, task, {"kind": kind}, [gate])
    known, answer = evaluated(walked), {"tag": "labels", "regress": "value"}[task]
    texts = list(known)[:5]
    said = json.loads(walked.run("predict", walked.name, *texts, "--json").stdout)
    for text, row in zip(texts, said, strict=True):
        predicted = known[text]["predicted"]
        if task == "regress":
            assert row[answer] == pytest.approx(predicted, abs=1e-4)
        else:
            assert sorted(row[answer]) == sorted(predicted)
