"""Several labels a text, and a number a text, over the whole road: run, report, predict and serve say the same."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.parquet as parquet
import pytest

from danlu.examples import tiny_recipe
from tests.e2e.conftest import Walked, serving, walk_here

TEXTS = ["the desk is lovely and arrived at noon no 7", "my lamp turned out faulty last week no 8"]


@pytest.fixture(scope="module", params=["tag", "regress"])
def walked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Walked:
    folder = tmp_path_factory.mktemp(request.param)
    sections = tiny_recipe(folder, task=request.param, rows=400)
    forms = {"tag": ["torch", "onnx", "onnx-int8"], "regress": ["torch"]}[request.param]
    sections["compress"] |= {"forms": forms, "ship": "onnx" if "onnx" in forms else "torch"}
    score = {"tag": "micro_f1 >= 0.3", "regress": "mae <= 1.5"}[request.param]
    sections["release"] = {"gates": [score, "leaked_rows == 0", "parity <= 0.01"]}
    return walk_here(folder, sections)


def evidence(walked: Walked) -> dict[str, Any]:
    done = walked.run("show", walked.name, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_run_ships_and_its_report_has_the_scores_of_the_task(walked: Walked) -> None:
    assert walked.output.returncode == 0, walked.output.stdout + walked.output.stderr
    found = evidence(walked)
    task = found["task"]
    assert found["verdict"] == "ship"
    scores = found["evidence"]["scores"]
    for name in {"tag": ("micro_f1", "average_precision"), "regress": ("mae", "spearman")}[task]:
        assert scores[name]["low"] <= scores[name]["value"] <= scores[name]["high"]
    comparison = found["baseline"]["comparison"]
    assert comparison["metric"] == {"tag": "macro_f1", "regress": "mae"}[task]
    assert comparison["p_value"] > 0
    page = (walked.folder / ".danlu" / "runs" / walked.name / "report.html").read_text(encoding="utf-8")
    assert {"tag": "of 100 that it gives", "regress": "Its numbers are off by"}[task] in page
    assert ("What it says and what is true" in page) == (task == "regress")


def test_evaluation_command_and_server_give_the_same_answers(walked: Walked) -> None:
    done = walked.run("predict", walked.name, "--json", *TEXTS)
    assert done.returncode == 0, done.stderr
    told = [{key: value for key, value in row.items() if key != "text"} for row in json.loads(done.stdout)]
    with serving(walked) as client:
        answer = client.post("/v1/predict", json={"texts": TEXTS}).json()
        one = client.post("/v1/predict", json={"text": TEXTS[0]}).json()
    for served in (answer["predictions"][0], {key: one[key] for key in answer["predictions"][0]}):
        assert json.dumps(served, sort_keys=True) == json.dumps(told[0], sort_keys=True)
    form = json.loads(next((walked.folder / ".danlu").glob("artifacts/release/*/form/form.json")).read_text("utf-8"))
    if form["task"] == "tag":
        limits = dict(zip(form["labels"], form["thresholds"], strict=True))
        for row in told:
            holds = {label for label, probability in row["probabilities"].items() if probability >= limits[label]}
            assert set(row["labels"]) == holds
    else:
        # The unit is that of the data, where all numbers lie between 2 and 4.5.
        assert all(1.0 < row["value"] < 5.5 for row in told)


def test_predictions_on_file_are_those_that_were_scored(walked: Walked) -> None:
    rows = parquet.read_table(next((walked.folder / ".danlu").glob("artifacts/evaluate/*/predictions.parquet")))
    scores = evidence(walked)["evidence"]["scores"]
    said, right = rows["predicted"].to_pylist(), rows.column(1).to_pylist()
    if "mae" in scores:
        expected = sum(abs(ours - truth) for ours, truth in zip(said, right, strict=True)) / len(said)
        assert scores["mae"]["value"] == pytest.approx(expected)
    else:
        exact = sum(set(ours) == set(truth) for ours, truth in zip(said, right, strict=True)) / len(said)
        assert scores["subset_accuracy"]["value"] == pytest.approx(exact)
