"""An embedding model from pairs to answers over HTTP."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from transformers import AutoModel, AutoTokenizer

from danlu.examples import tiny_recipe
from tests.e2e.conftest import Walked, serving, walk_here


@pytest.fixture(scope="module")
def embed(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    folder = tmp_path_factory.mktemp("embed")
    sections = tiny_recipe(folder, task="embed", rows=400)
    sections["compress"] |= {"forms": ["torch", "onnx"], "ship": "onnx"}
    sections["train"] |= {"batch_size": 32, "epochs": 3.0}
    sections["release"] = {"gates": ["recall_at_10 >= 0.5", "parity_max <= 1e-5", "leaked_rows == 0"]}
    return walk_here(folder, sections)


def artifact(walked: Walked, stage: str) -> Path:
    return next((walked.folder / ".danlu" / "artifacts" / stage).glob("*/record.json")).parent


def test_it_ships_with_evidence_that_is_recomputed_from_its_predictions(embed: Walked) -> None:
    assert embed.output.returncode == 0, embed.output.stdout + embed.output.stderr
    folder = artifact(embed, "evaluate")
    evidence = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
    rows = parquet.read_table(folder / "predictions.parquet").to_pylist()
    assert evidence["queries"] == len(rows) <= evidence["rows"]
    firsts = [row["ranks"][0] for row in rows]
    expected = np.mean([1 / rank if rank <= 10 else 0 for rank in firsts])
    assert evidence["scores"]["mrr_at_10"]["value"] == pytest.approx(expected)
    assert evidence["leaked_rows"] == 0
    assert set(evidence["baseline"]["scores"]) == set(evidence["scores"])
    assert {len(row["ranks"]) for row in rows} >= {1}
    wrong = [row for row in evidence["worst"] if row["rank"] == 1]
    assert not wrong
    report = (embed.folder / ".danlu" / "runs" / embed.name / "report.html").read_text(encoding="utf-8")
    assert "How far down the right text is" in report
    card = (artifact(embed, "release") / "README.md").read_text(encoding="utf-8")
    assert "sentence-similarity" in card
    assert "MRR at 10" in card


def test_predict_serve_and_transformers_give_the_same_vectors(embed: Walked) -> None:
    texts = ["where is the red lamp, number 7", "aisle 3: kettle, blue, item 12"]
    done = embed.run("predict", embed.name, *texts, "--json")
    assert done.returncode == 0, done.stderr
    told = np.array([row["embedding"] for row in json.loads(done.stdout)])
    assert told.shape == (2, 64)
    assert "cosine with the first" in embed.run("predict", embed.name, *texts).stdout
    with serving(embed) as client:
        answer = client.post("/v1/embeddings", json={"input": texts, "encoding_format": "base64"}).json()
    served = [np.frombuffer(base64.b64decode(row["embedding"]), dtype="<f4") for row in answer["data"]]
    assert np.abs(np.stack(served) - told).max() < 1e-6
    checkpoint = artifact(embed, "train")
    batch = AutoTokenizer.from_pretrained(checkpoint)(texts, padding=True, return_tensors="pt")
    model = AutoModel.from_pretrained(checkpoint, add_pooling_layer=False).eval()
    hidden = (
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state.detach().numpy()
    )
    mask = batch["attention_mask"].numpy()[:, :, None]
    mean = (hidden * mask).sum(axis=1) / mask.sum(axis=1)
    assert np.abs(mean / np.linalg.norm(mean, axis=1, keepdims=True) - told).max() < 1e-5
