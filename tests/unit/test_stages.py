"""The rows of the corridor: a library that decides what a stage yields is a part of its fingerprint."""

from __future__ import annotations

import ast
import json
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import danlu
from danlu.core.stage import as_values, from_values, libraries_of
from danlu.examples import tiny_recipe
from danlu.recipe import Recipe
from danlu.stages import STAGES

ROOT = Path(danlu.__file__).parent

#: Libraries that fetch bytes, whose content is in the fingerprint, and decide nothing themselves.
ONLY_FETCH = {"httpx", "sqlalchemy", "huggingface_hub", "modelscope", "modelscope_hub"}

#: Part of Danlu -> the stage that runs it.
WHERE = {
    "sources": "clean",
    "data/text.py": "clean",
    "data/markup.py": "clean",
    "data/mask": "clean",
    "data/filters/blocked.py": "clean",
    "data/augment": "data",
    "learning/adapters": "train",
    "learning/classic": "train",
    "learning/objectives": "train",
    "learning/optimizers": "train",
    "tune": "tune",
}


def lazily(path: Path) -> set[str]:
    """The libraries that the files below ask `need` for, by the name they are imported with."""
    files = [path] if path.suffix else sorted(path.rglob("*.py"))
    calls = [
        node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)
    ]
    needed = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "need"]
    return {str(name.value).partition(".")[0] for name in needed if isinstance(name, ast.Constant)}


@pytest.mark.parametrize("place", WHERE)
def test_every_library_that_is_asked_for_is_in_the_fingerprint(place: str) -> None:
    (stage,) = [stage for stage in STAGES if stage.name == WHERE[place]]
    named = packages_distributions()
    distributions = [named.get(name, [name])[0] for name in lazily(ROOT / place) - ONLY_FETCH]
    needed = {name.lower().replace("_", "-") for name in distributions}
    assert needed, "there is something to look at"
    assert needed <= {*stage.libraries, *(name for names in stage.libraries_with.values() for name in names)}


def test_a_library_of_classic_models_says_nothing_of_a_network(tmp_path: Path) -> None:
    (train,) = [stage for stage in STAGES if stage.name == "train"]
    (folds,) = [stage for stage in STAGES if stage.name == "folds"]
    sections = tiny_recipe(tmp_path) | {"folds": {}}
    sections["data"]["split"] = {"folds": 2}
    network = Recipe.model_validate(sections)
    del sections["compress"]
    classic = Recipe.model_validate(sections | {"model": {"classic": {"kind": "logistic"}}, "train": {}})
    ours = {"lightgbm", "imbalanced-learn", "scikit-learn", "scipy"}
    for recipe, there in ((network, False), (classic, True)):
        for stage in (train, folds):  # folds start train, on settings that they have too
            names = stage.config.model_fields
            config = stage.config.model_validate({name: getattr(recipe, name) for name in names})
            found = set(libraries_of(train, config))
            assert "torch" in found
            assert bool(found & ours) == (ours <= found) == there


def test_the_words_of_chinese_are_in_the_fingerprint_where_they_are_hidden_whole(tmp_path: Path) -> None:
    (train,) = [stage for stage in STAGES if stage.name == "train"]
    for task, objective, there in (
        ("fill", {"kind": "masked", "whole_words": True}, True),
        ("fill", {"kind": "masked"}, False),
        ("fill", None, False),
        ("classify", {"kind": "classes"}, False),
        ("classify", None, False),
    ):
        sections = tiny_recipe(tmp_path, task)
        sections["train"]["objective"] = objective
        recipe = Recipe.model_validate(sections)
        config = train.config.model_validate({name: getattr(recipe, name) for name in train.config.model_fields})
        assert ("rjieba" in libraries_of(train, config)) == there, (task, objective)


def test_a_row_survives_as_plain_values() -> None:
    for stage in STAGES:
        assert from_values(json.loads(json.dumps(as_values(stage))), stage.config) == stage
