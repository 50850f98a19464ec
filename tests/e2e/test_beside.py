"""Pairs of texts, and columns beside a text, over the whole road: what was evaluated is what answers."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from danlu import api
from danlu.core.asked import Asked, Takes
from danlu.examples import tiny_recipe, tiny_rows
from tests.e2e.conftest import Walked, serving, walk_here

THINGS = ("kettle", "lamp", "chair", "phone", "coat", "book")


def paired(count: int) -> list[dict[str, Any]]:
    """The second text alone tells the label."""
    return [
        {"text": f"what of order {number}", "pair": row["text"], "label": row["label"]}
        for number, row in enumerate(tiny_rows(count))
    ]


def told(count: int) -> list[dict[str, Any]]:
    """The columns alone tell the number: 2 for the app, and half of the amount."""
    draw = random.Random(4)
    rows = []
    for _ in range(count):
        amount, channel = draw.randrange(0, 9), draw.choice(("app", "web", "shop"))
        text = f"the {draw.choice(THINGS)} of order {draw.randrange(10_000)}"
        value = amount / 2 + 2 * (channel == "app")
        rows.append({"text": text, "amount": amount, "channel": channel, "label": value})
    rows[0]["amount"] = None
    return rows


#: What is asked: its task, its rows, what the recipe says of the data, and what the score must reach.
ROADS: dict[str, tuple[str, list[dict[str, Any]], dict[str, Any], str]] = {
    "pairs": ("classify", paired(240), {"pair": "pair"}, "macro_f1 >= 0.7"),
    "columns": ("regress", told(400), {"columns": {"numeric": ["amount"], "categorical": ["channel"]}}, "mae <= 0.7"),
}
QUESTIONS: dict[str, list[dict[str, Any]]] = {
    "pairs": [
        {"text": "what of order 7", "pair": "the desk is lovely and arrived at noon no 7"},
        {"text": "what of order 7", "pair": "my lamp turned out faulty last week no 8"},
    ],
    "columns": [
        {"text": "the lamp", "columns": {"amount": 8.0, "channel": "app"}},
        {"text": "the lamp", "columns": {"amount": 1.0, "channel": "web"}},
        {"text": "the lamp", "columns": {"channel": "fax"}},
    ],
}


@pytest.fixture(scope="module", params=list(ROADS))
def walked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Walked:
    task, rows, data, gate = ROADS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    sections = tiny_recipe(folder, task=task)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    sections["name"] = request.param
    sections["data"] |= data
    sections["train"] |= {"epochs": 8.0}
    sections["compress"] |= {"forms": ["torch", "onnx", "onnx-int8"], "ship": "onnx"}
    sections["release"] = {"gates": [gate, "leaked_rows == 0", "parity <= 0.01"]}
    return walk_here(folder, sections)


def form_of(walked: Walked) -> Path:
    return next((walked.folder / ".danlu").glob("artifacts/release/*/form"))


def test_the_run_ships_and_the_baseline_was_told_as_much(walked: Walked) -> None:
    assert walked.output.returncode == 0, walked.output.stdout + walked.output.stderr
    found = json.loads(walked.run("show", walked.name, "--json").stdout)
    assert found["verdict"] == "ship"
    baseline = found["baseline"]["scores"]
    assert baseline["macro_f1"]["value"] > 0.9 if walked.name == "pairs" else baseline["mae"]["value"] < 0.7
    page = (walked.folder / ".danlu" / "runs" / walked.name / "report.html").read_text(encoding="utf-8")
    assert walked.name in page


def test_what_was_evaluated_is_what_answers(walked: Walked) -> None:
    corpus = next((walked.folder / ".danlu").glob("artifacts/data/*/test"))
    rows = {row["id"]: row for row in parquet.read_table(corpus).to_pylist()}
    evidence = parquet.read_table(next((walked.folder / ".danlu").glob("artifacts/evaluate/*/predictions.parquet")))
    engine = api.load(walked.name, workspace=walked.folder / ".danlu")
    asked = [
        Asked(
            text=rows[name]["text"],
            pair=rows[name].get("pair"),
            columns=None if walked.name == "pairs" else dict(rows[name]["numbers"]) | dict(rows[name]["categories"]),
        )
        for name in evidence["id"].to_pylist()
    ]
    answers = engine.predict(asked)
    engine.close()
    if walked.name == "pairs":
        assert answers.tolist() == evidence["probabilities"].to_pylist()
    else:
        assert answers[:, 0].tolist() == pytest.approx(evidence["predicted"].to_pylist(), abs=1e-6)


def test_command_server_and_python_give_the_same_answers(walked: Walked) -> None:
    asked = QUESTIONS[walked.name]
    engine = api.load(walked.name, workspace=walked.folder / ".danlu")
    expected = engine.predict([Asked(**one) for one in asked])
    takes = engine.form.takes
    engine.close()
    with serving(walked) as client:
        alone = [client.post("/v1/predict", json=one).json() for one in asked]
        plural = {"text": "texts", "pair": "pairs", "columns": "columns"}
        body = {plural[key]: [one[key] for one in asked] for key in asked[0]}
        together = client.post("/v1/predict", json=body).json()["predictions"]
        refused = client.post("/v1/predict", json={"text": "alone"})
    file = walked.folder / "asked.jsonl"
    flat = [{"text": one["text"], "pair": one.get("pair")} | {"amount": None} | one.get("columns", {}) for one in asked]
    file.write_text("".join(json.dumps(row) + "\n" for row in flat), encoding="utf-8")
    done = walked.run("predict", walked.name, "--json", "--file", str(file))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for place, row in enumerate(expected.tolist()):
        for answer in (alone[place], together[place], said[place]):
            found = answer.get("value", answer.get("probabilities"))
            assert (list(found.values()) if isinstance(found, dict) else [found]) == row
    assert refused.status_code == 400
    assert ("pair" if takes.pair else "columns") in refused.json()["error"]["message"]
    if walked.name == "columns":
        assert expected[0, 0] > expected[1, 0] + 2


def test_the_form_says_what_it_takes_and_an_option_may_name_it(walked: Walked) -> None:
    form = json.loads((form_of(walked) / "form.json").read_text(encoding="utf-8"))
    takes = {"pairs": Takes(pair=True), "columns": Takes(numeric=("amount",), categorical=("channel",))}[walked.name]
    assert form["takes"] == takes.as_json()
    assert (form_of(walked) / "columns.json").is_file() == (walked.name == "columns")
    options = {"pairs": ["--pair", "superb"], "columns": ["--column", "amount=3", "--column", "channel=app"]}
    assert walked.run("predict", walked.name, "a lamp", *options[walked.name]).returncode == 0
    done = walked.run("predict", walked.name, "a lamp")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert ("the pair, is missing" if takes.pair else "no columns came") in done.stderr
