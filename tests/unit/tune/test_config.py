"""What a search may ask for, and how a mistake in it is told."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from danlu.examples import tiny_recipe
from danlu.recipe import Recipe
from danlu.stages import stages_of
from danlu.tune.config import put, setting


def recipe(folder: Path, **space: Any) -> Recipe:
    return Recipe.model_validate(tiny_recipe(folder) | {"tune": {"space": space}})


def test_the_stage_is_there_only_where_the_recipe_asks(tmp_path: Path) -> None:
    tuned = recipe(tmp_path, learning_rate={"low": 1e-5, "high": 1e-3, "log": True})
    names = [stage.name for stage in stages_of(tuned)]
    assert names.index("data") < names.index("tune") < names.index("train")
    assert "tune" not in [stage.name for stage in stages_of(Recipe.model_validate(tiny_recipe(tmp_path)))]


def test_settings_of_train_and_model_are_put_in_their_places(tmp_path: Path) -> None:
    sections = tiny_recipe(tmp_path)
    before = copy.deepcopy(sections)
    changed = put(sections, {"learning_rate": 0.5, "model.scratch.width": 128})
    assert changed["train"]["learning_rate"] == 0.5
    assert changed["model"]["scratch"] == sections["model"]["scratch"] | {"width": 128}
    assert sections == before
    assert setting("warmup") == ("train", "warmup")
    assert setting("schedule.warmup") == ("train", "schedule", "warmup")
    assert setting("model.max_length") == ("model", "max_length")


def test_another_base_is_no_setting(tmp_path: Path) -> None:
    """Only the content of the recipe's own base is in the fingerprint of the search."""
    sections = tiny_recipe(tmp_path) | {"model": {"base": "./a", "max_length": 48}}
    sections["tune"] = {"space": {"model.base": {"choices": ["./a", "./b"]}}}
    with pytest.raises(ValidationError, match="names a model or a file"):
        Recipe.model_validate(sections)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"learning_rat": {"low": 1e-5, "high": 1e-3}}, "did you mean 'learning_rate'"),
        ({"data.max_rows": {"low": 20, "high": 50}}, "no setting 'data.max_rows'"),
        ({"task": {"choices": ["classify", "generate"]}}, "no setting of train or model"),
        ({"schedule.warmup": {"low": 0.1, "high": 1.5}}, "schedule.warmup cannot be 1.5"),
        ({"batch_size": {"low": 8.5, "high": 16.5}}, "batch_size cannot be 8.5"),
        ({"learning_rate": {"low": 1e-3, "high": 1e-5}}, "must be below high"),
        ({"learning_rate": {"low": 0.0, "high": 1e-3, "log": True}}, "log needs low above 0"),
        ({"precision": {"choices": ["float32", "float99"]}}, "precision cannot be 'float99'"),
        ({"model.scratch.depth": {"low": 1, "high": 2}}, "no setting 'model.scratch.depth'"),
        ({}, "at least 1 item"),
        ({"epochs": {"low": 2, "high": 3, "step": 100}}, "step is 100, more than from 2 to 3"),
        ({"batch_size": {"low": 8, "high": 10_000_000}}, "batch_size cannot be 10000000, which can hardly be meant"),
        ({"learning_rate": {"low": 1e-3, "high": 500}}, "learning_rate cannot be 500"),
        ({"epochs": {"choices": [0, 3]}, "batch_size": {"low": 0, "high": 9}}, "epochs cannot be 0(.|\n)*batch_size"),
    ],
)
def test_mistakes_are_told_before_anything_runs(tmp_path: Path, space: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        recipe(tmp_path, **space)
