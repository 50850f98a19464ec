"""What a recipe with several targets may say, and what it is told when it says something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from danlu.core.errors import RecipeError
from danlu.examples import tiny_recipe
from danlu.recipe import parse_recipe


def recipe(tmp_path: Path, **changes: dict[str, Any] | str) -> str:
    sections = tiny_recipe(tmp_path, task="multitask", rows=20)
    for section, values in changes.items():
        sections[section] = sections[section] | values if isinstance(values, dict) else values
    return json.dumps(sections)


def test_weights_objectives_and_gates_may_name_targets(tmp_path: Path) -> None:
    objective = {
        "kind": "multitask",
        "weights": {"stars": 0.5},
        "targets": {"stars": {"kind": "value", "loss": "huber"}, "mood": {"kind": "classes", "label_smoothing": 0.1}},
    }
    gates = ["mood.macro_f1.low >= 0.7", "stars.mae <= 1", "quality >= 0.5", "beats(baseline)", "parity <= 0.01"]
    train = {"objective": objective, "class_weights": "balanced"}
    found = parse_recipe(recipe(tmp_path, train=train, release={"gates": gates}, compress={"calibrate": True}))
    assert found.release.gates == gates
    assert list(found.data.targets) == ["mood", "says", "stars"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"targets": {}}}, "task multitask needs data.targets"),
        ({"task": "classify"}, "data.targets is for task multitask; the task is classify"),
        ({"data": {"label": "mood"}}, "data.label is for a model with one answer"),
        ({"data": {"unlabelled": "keep"}}, "data.unlabelled"),
        ({"release": {"gates": ["macro_f1 >= 0.7"]}}, "does not say of which target; write for instance mood.macro_f1"),
        ({"release": {"gates": ["moood.macro_f1 >= 0.7"]}}, "none of data.targets. Did you mean 'mood'"),
        ({"release": {"gates": ["stars.macro_f1 >= 0.7"]}}, "stars is for regress, which has mae, r2, rmse, rows"),
        (
            {"train": {"objective": {"kind": "multitask", "weights": {"star": 1.0}}}},
            "train.objective.weights names 'star', which is none of data.targets. Did you mean 'stars'",
        ),
        (
            {"train": {"objective": {"kind": "multitask", "targets": {"stars": {"kind": "classes"}}}}},
            "train.objective.targets.stars is classes, which is for classify; the target's task is regress",
        ),
        ({"train": {"objective": {"kind": "labels"}}}, "makes a model for task tag"),
        ({"evaluate": {"slices": ["length > 20"]}}, "evaluate.slices is of a classifier's answers"),
        ({"release": {"gates": ["beats(champion)"]}}, "champion is of a classifier's answers"),
    ],
)
def test_what_would_be_ignored_or_cannot_be_had_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(recipe(tmp_path, **changes))


def test_other_tasks_have_no_targets_in_their_gates() -> None:
    text = """
    name: a
    task: classify
    data: {sources: [{path: a.csv, licence: CC0-1.0}]}
    model: {scratch: {}}
    release: {gates: ["mood.macro_f1 >= 0.7"]}
    """
    with pytest.raises(RecipeError, match="names 'mood', but only task multitask has targets"):
        parse_recipe(text)
