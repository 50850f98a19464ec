"""MLflow shows Danlu's runs, and loads Danlu's champion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Walked

pytest.importorskip("mlflow", reason="danlu[mlflow] is not installed")
#: MLflow's and SQLAlchemy's own deprecations are theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_runs_and_releases_are_projected_once_and_the_champion_loads(classify: Walked, tmp_path: Path) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    done = classify.run("track", classify.name, "--uri", uri, "--json")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert (first["runs"] >= 1, first["versions"], first["champion"]) == (True, 1, 1)
    again = json.loads(classify.run("track", classify.name, "--uri", uri, "--json").stdout)
    assert (again["runs"], again["versions"]) == (0, 0), "what is there is left alone"

    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.get_experiment_by_name(classify.name)
    runs = client.search_runs([experiment.experiment_id])
    # Other tests run the recipe too; the latest run is the one that is shown.
    run = max(
        (run for run in runs if run.data.tags["danlu.verdict"] == "ship" and "danlu.run" in run.data.tags),
        key=lambda run: run.data.tags["danlu.run"],
    )
    shown = json.loads(classify.run("show", classify.name, "--json").stdout)
    assert run.data.metrics["accuracy"] == pytest.approx(shown["evidence"]["scores"]["accuracy"]["value"])
    assert run.data.params["train.batch_size"] == "8"
    course = client.get_metric_history(run.info.run_id, "validation_loss")
    assert [point.step for point in course] == [row["step"] for row in shown["training"]["history"]]
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"report.html", "report.zh.html", "run.json"} <= files

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    model = mlflow.pyfunc.load_model(f"models:/{classify.name}@champion")
    texts = ["the lamp is great and arrived in may no 3", "a broken pan, bought twice no 8"]
    ours = json.loads(classify.run("predict", classify.name, *texts, "--json").stdout)
    for found, expected in zip(model.predict(texts), ours, strict=True):
        assert found["label"] == expected["label"]
        assert found["probability"] == pytest.approx(expected["probability"], abs=1e-5)
    for path in tmp_path.rglob("*"):
        assert path.suffix not in {".pkl", ".pickle"}, f"{path}: no pickle is ever written"


def test_an_mlflow_that_cannot_be_written_to_is_told(classify: Walked) -> None:
    done = classify.run("track", classify.name, "--uri", "sqlite:////proc/nowhere/mlflow.db")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    without = classify.run("track", classify.name)
    assert without.returncode == 2
    assert "tracking: sqlite:///mlflow.db" in without.stderr
