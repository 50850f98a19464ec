"""A model that Danlu serves teaches another one: it answers the questions of a corpus that have no answer."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from danlu.core.runner import Caps, Runner
from danlu.core.store import Workspace
from danlu.examples import tiny_recipe, tiny_rows
from danlu.recipe import Recipe
from danlu.stages import stages_of
from tests.e2e.conftest import Walked, serving


def test_a_served_model_answers_what_has_no_answer(
    generate: Walked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = tiny_recipe(tmp_path, task="generate", rows=40)
    questions = [row["text"][: len(row["text"]) // 2].strip() for row in tiny_rows(40)]
    lines = (json.dumps({"text": text}) for text in dict.fromkeys(questions))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with serving(generate) as client:
        monkeypatch.setenv("TEACHER_KEY", client.headers["Authorization"].removeprefix("Bearer "))
        endpoint = {"base_url": str(client.base_url.join("/v1")), "model": generate.name}
        sections["data"]["teacher"] = {
            "endpoint": {**endpoint, "api_key_env": "TEACHER_KEY", "max_tokens": 40},
            "licence": "Apache-2.0",
        }
        runner = walked(tmp_path, sections)
        corpus = runner.artifacts["data"]
        turns = [row["turns"] for file in corpus.folder.glob("train/*") for row in parquet.read_table(file).to_pylist()]
        asked = {"messages": [{"role": "user", "content": turns[0][0]["text"]}], "temperature": 0, "max_tokens": 40}
        answer = client.post("/v1/chat/completions", json=asked).json()["choices"][0]["message"]["content"]
    assert all([turn["role"] for turn in row] == ["user", "assistant"] for row in turns)
    assert all([turn["learn"] for turn in row] == [False, True] for row in turns)
    assert turns[0][1]["text"] == answer.strip()
    card = corpus.json("card.json")
    told = card["teacher"]
    assert told["model"] == generate.name and told["licence"] == "Apache-2.0"
    assert told["answered"] >= sum(part["rows"] for part in card["splits"].values()) >= 20
    assert told["answered"] + sum(told["dropped"].values()) == told["rows"]
    assert told["completion_tokens"] > 0
    # Without the server: every answer is on disk, and a corpus of other shares is made of the same ones.
    sections["data"]["keep_rejected_text"] = True
    again = walked(tmp_path, sections)
    assert again.artifacts["clean"].fingerprint != runner.artifacts["clean"].fingerprint
    assert again.artifacts["data"].json("card.json")["teacher"] == told


def walked(folder: Path, sections: dict[str, object]) -> Runner:
    recipe = Recipe.model_validate(sections)
    runner = Runner(
        stages=stages_of(recipe),
        workspace=Workspace(folder / ".danlu").open(),
        base=folder,
        caps=Caps(threads=1),
        in_process=True,
    )
    runner.walk(recipe, until="data")
    return runner
