"""An encoder by hidden words, from texts to answers over HTTP, and a classifier that starts from it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from danlu.core.runner import Caps, Runner
from danlu.core.store import Workspace
from danlu.examples import tiny_recipe
from danlu.recipe import Recipe
from danlu.stages import stages_of
from tests.e2e.conftest import Walked, serving, walk_here


@pytest.fixture(scope="module")
def fill(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    folder = tmp_path_factory.mktemp("fill")
    sections = tiny_recipe(folder, task="fill", rows=400)
    sections["compress"] |= {"forms": ["torch", "onnx"], "ship": "onnx"}
    sections["release"] = {"gates": ["beats(baseline)", "parity <= 0.01", "leaked_rows == 0"]}
    return walk_here(folder, sections)


def artifact(walked: Walked, stage: str) -> Path:
    space = walked.folder / ".danlu"
    run = json.loads((space / "runs" / walked.name / "latest.json").read_text(encoding="utf-8"))
    return next(space / row["folder"] for row in run["stages"] if row["stage"] == stage)


def test_it_ships_and_its_evidence_is_recomputed_with_transformers(fill: Walked) -> None:
    """Hidden here as the evidence says: a share of each text, and nothing else is looked at."""
    assert fill.output.returncode == 0, fill.output.stdout + fill.output.stderr
    folder, checkpoint = artifact(fill, "evaluate"), artifact(fill, "train")
    evidence = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
    rows = parquet.read_table(folder / "predictions.parquet").to_pylist()
    tokens = sum(row["tokens"] for row in rows)
    assert tokens == evidence["hidden_tokens"]
    scores = {name: score["value"] for name, score in evidence["scores"].items()}
    assert scores["masked_accuracy"] == pytest.approx(sum(row["right"] for row in rows) / tokens)
    assert scores["masked_perplexity"] == pytest.approx(np.exp(-sum(row["log_likelihood"] for row in rows) / tokens))
    assert evidence["baseline"]["scores"]["masked_perplexity"]["value"] > scores["masked_perplexity"]
    # Of some texts with one word hidden: every place once, and those that were hidden are among them.
    texts = {
        row["id"]: row["text"]
        for row in parquet.read_table(next((artifact(fill, "data") / "test").glob("*"))).to_pylist()
    }
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    model = AutoModelForMaskedLM.from_pretrained(checkpoint).eval()
    alone = [row for row in rows if row["tokens"] == 1][:5]
    assert alone
    for row in alone:
        ids = tokenizer.encode(texts[row["id"]]).ids
        each = []
        for place in range(1, len(ids) - 1):
            hidden = torch.tensor([ids])
            hidden[0, place] = tokenizer.token_to_id("[MASK]")
            with torch.no_grad():
                each.append(float(model(input_ids=hidden).logits[0, place].log_softmax(-1)[ids[place]]))
        assert np.abs(np.array(each) - row["log_likelihood"]).min() < 1e-4


def test_the_baseline_is_how_frequent_each_token_is(fill: Walked) -> None:
    evidence = json.loads((artifact(fill, "evaluate") / "evidence.json").read_text(encoding="utf-8"))
    corpus, checkpoint = artifact(fill, "data"), artifact(fill, "train")
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    counts: Counter[int] = Counter()
    for file in sorted((corpus / "train").glob("*.parquet")):
        for text in parquet.read_table(file)["text"].to_pylist():
            counts.update(tokenizer.encode(text).ids)
    frequent, times = counts.most_common(1)[0]
    share = times / counts.total()
    # No model that says the same everywhere is better than chance by more than its interval.
    accuracy = evidence["baseline"]["scores"]["masked_accuracy"]
    assert tokenizer.id_to_token(frequent) is not None
    assert 0.0 <= accuracy["value"] <= share + 0.1


def test_predict_serve_and_transformers_fill_the_same_gaps(fill: Walked) -> None:
    texts = ["the [MASK] is very good", "[MASK] lamp, [MASK] bad"]
    done = fill.run("predict", fill.name, *texts, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [len(row["masks"]) for row in told] == [1, 2]
    assert all("[MASK]" not in row["filled"] for row in told)
    assert "%" in fill.run("predict", fill.name, *texts).stdout
    refused = fill.run("predict", fill.name, "nothing is hidden")
    assert refused.returncode == 2 and "write [MASK] where" in refused.stderr
    with serving(fill) as client:
        answer = client.post("/v1/predict", json={"texts": texts}).json()
        assert client.post("/v1/embeddings", json={"input": "x"}).status_code == 400
    for one, other in zip(answer["predictions"], told, strict=True):
        assert one["filled"] == other["filled"]
        for ours, theirs in zip(one["masks"], other["masks"], strict=True):
            assert [row["token"] for row in ours] == [row["token"] for row in theirs]
            np.testing.assert_allclose(
                [row["probability"] for row in ours], [row["probability"] for row in theirs], atol=1e-6
            )
    checkpoint = artifact(fill, "train")
    asked = pipeline("fill-mask", str(checkpoint), tokenizer=AutoTokenizer.from_pretrained(checkpoint), top_k=50)
    chances = {row["token_str"]: row["score"] for row in asked(texts[0])}
    best = told[0]["masks"][0][0]
    assert chances[best["token"]] == pytest.approx(best["probability"], abs=1e-4)


def test_a_classifier_starts_from_it_by_the_name_of_the_run(fill: Walked) -> None:
    sections = tiny_recipe(fill.folder, task="classify", rows=400)
    sections["model"] = {"base": f"run://{fill.name}", "max_length": 48}
    sections["data"]["extends"] = f"corpus://{fill.name}"
    walked = runner_of(fill.folder, sections)
    facts = walked.artifacts["train"].json("danlu.json")
    earlier = artifact(fill, "train")
    assert facts["base"] == f"run://{fill.name}"
    assert facts["lineage"]["model.base"]["fingerprint"] == earlier.name
    assert facts["lineage"]["model.base"]["inputs"]["data"][0] == artifact(fill, "data").name
    assert facts["lineage"]["model.base"]["held_out_seen"] == 0
    assert facts["architecture"] == "BertForSequenceClassification"
    assert (walked.artifacts["train"] / "tokenizer.json").read_text() == (earlier / "tokenizer.json").read_text()


def test_held_out_texts_that_the_base_has_read_are_told(fill: Walked) -> None:
    """The same texts, split anew: without data.extends some of them change sides."""
    sections = tiny_recipe(fill.folder, task="classify", rows=400)
    sections["model"] = {"base": f"run://{fill.name}", "max_length": 48}
    sections["data"]["seed"] = 7
    said: list[dict[str, Any]] = []
    walked = runner_of(fill.folder, sections, said)
    seen = walked.artifacts["train"].json("danlu.json")["lineage"]["model.base"]["held_out_seen"]
    assert seen > 0
    assert [
        event for event in said if event["type"] == "warn" and f"{seen:,} validation or test texts" in event["text"]
    ]


def runner_of(folder: Path, sections: dict[str, Any], said: list[dict[str, Any]] | None = None) -> Runner:
    recipe = Recipe.model_validate(sections)
    runner = Runner(
        stages=stages_of(recipe),
        workspace=Workspace(folder / ".danlu").open(),
        base=folder,
        caps=Caps(threads=1),
        observer=([] if said is None else said).append,
        in_process=True,
    )
    runner.walk(recipe, until="train")
    return runner
