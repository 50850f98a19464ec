"""The road with a model that has no neural network: trained, released, served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.examples import tiny_recipe
from tests.e2e.conftest import serving, walk_here


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
    shown = json.loads(walked.run("show", walked.name, "--json").stdout)
    assert shown["verdict"] == "ship"
    assert shown["evidence"]["form"] == "classic"
    assert shown["doubt"] is None
    assert shown["plan"]["predicted"] is not None
    said = json.loads(walked.run("predict", walked.name, "my lamp turned out superb", "--json").stdout)
    assert said[0]["label"] == "good"
    with serving(walked) as client:
        answer = client.post("/v1/predict", json={"text": "my lamp turned out superb"}).json()
    assert answer["label"] == "good"
    assert answer["probabilities"]["good"] == pytest.approx(said[0]["probability"], abs=1e-6)
