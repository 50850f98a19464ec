"""Several targets over one encoder, over the whole road: run, report, predict and serve say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from transformers import AutoModelForSequenceClassification

from danlu.examples import tiny_recipe
from tests.e2e.conftest import Walked, serving, walk_here

TEXTS = ["the desk is lovely and arrived at noon no 7", "my lamp turned out faulty last week no 8"]
TARGETS = {"mood": "accuracy", "says": "micro_f1", "stars": "mae"}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    folder = tmp_path_factory.mktemp("multitask")
    sections = tiny_recipe(folder, task="multitask", rows=400)
    sections["compress"] |= {"forms": ["torch", "onnx"], "ship": "onnx", "calibrate": True}
    gates = ["mood.macro_f1 >= 0.3", "stars.mae <= 1.5", "says.rows >= 10", "leaked_rows == 0", "parity <= 0.01"]
    sections["release"] = {"gates": gates}
    return walk_here(folder, sections)


def numbers(walked: Walked) -> dict[str, Any]:
    done = walked.run("show", walked.name, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def artifact(walked: Walked, pattern: str) -> Path:
    return next((walked.folder / ".danlu").glob(f"artifacts/{pattern}"))


def test_the_run_ships_and_its_report_tells_of_each_target(walked: Walked) -> None:
    assert walked.output.returncode == 0, walked.output.stdout + walked.output.stderr
    found = numbers(walked)
    assert found["verdict"] == "ship"
    scores = found["evidence"]["scores"]
    for target, score in TARGETS.items():
        one = scores[f"{target}.{score}"]
        assert one["low"] <= one["value"] <= one["high"]
    compared = found["baseline"]["comparison"]
    assert {name: one["metric"] for name, one in compared["targets"].items()} == {
        "mood": "macro_f1",
        "says": "macro_f1",
        "stars": "mae",
    }
    assert compared["p_value"] == max(one["p_value"] for one in compared["targets"].values())
    page = (walked.folder / ".danlu" / "runs" / walked.name / "report.html").read_text(encoding="utf-8")
    for text in ("mood: macro F1", "stars: mean absolute error", "of 100 answers for mood"):
        assert text in page, text
    card = artifact(walked, "release/*/README.md").read_text(encoding="utf-8")
    assert "stars: Mean absolute error" in card


def test_quality_is_the_mean_of_the_targets(walked: Walked) -> None:
    scores = numbers(walked)["evidence"]["scores"]
    scale = next(head for head in form_of(walked)["heads"] if head["name"] == "stars")["scale"]["std"]
    of = [
        scores["mood.macro_f1"]["value"],
        scores["says.average_precision"]["value"],
        1.0 - scores["stars.mae"]["value"] / scale,
    ]
    assert scores["quality"]["value"] == pytest.approx(sum(of) / 3)


def form_of(walked: Walked) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(artifact(walked, "release/*/form/form.json").read_text("utf-8"))
    return found


def test_evaluation_command_and_server_give_the_same_answers(walked: Walked) -> None:
    done = walked.run("predict", walked.name, "--json", *TEXTS)
    assert done.returncode == 0, done.stderr
    told = [{key: value for key, value in row.items() if key != "text"} for row in json.loads(done.stdout)]
    assert [list(row) for row in told] == [list(TARGETS)] * 2
    for row in told:
        assert row["mood"].pop("probability") == max(row["mood"]["probabilities"].values())
        assert 0.0 < row["stars"]["value"] < 6.0
    with serving(walked) as client:
        answer = client.post("/v1/predict", json={"texts": TEXTS}).json()
        one = client.post("/v1/predict", json={"text": TEXTS[0]}).json()
    assert json.dumps(answer["predictions"], sort_keys=True) == json.dumps(told, sort_keys=True)
    assert {key: one[key] for key in TARGETS} == answer["predictions"][0]
    assert one["model"] == walked.name
    shown = walked.run("predict", walked.name, *TEXTS).stdout
    assert "mood: " in shown
    assert "stars: " in shown


def test_predictions_on_file_are_those_that_were_scored(walked: Walked) -> None:
    rows = parquet.read_table(artifact(walked, "evaluate/*/predictions.parquet")).to_pylist()
    found = numbers(walked)["evidence"]
    moods = [row["mood"] for row in rows if row["mood"] is not None]
    stars = [row["stars"] for row in rows if row["stars"] is not None]
    # Every ninth row lacks the one, another ninth the other.
    assert len(moods) < len(rows)
    assert [head["rows"] for head in found["heads"] if head["name"] == "mood"] == [len(moods)]
    right = sum(row["label"] == row["predicted"] for row in moods) / len(moods)
    assert found["scores"]["mood.accuracy"]["value"] == pytest.approx(right)
    off = sum(abs(row["value"] - row["predicted"]) for row in stars) / len(stars)
    assert found["scores"]["stars.mae"]["value"] == pytest.approx(off)


def test_transformers_loads_the_checkpoint_with_every_head(walked: Walked) -> None:
    folder = artifact(walked, "train/*/danlu.json").parent
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    names = ["mood=bad", "mood=good", "says=early", "says=praise", "says=seat", "stars"]
    assert [model.config.id2label[number] for number in range(6)] == names
    assert [head["name"] for head in model.config.heads] == list(TARGETS)
