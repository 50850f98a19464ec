"""Every ready recipe is run: on a slice in CI, whole when the slow tests are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from ruamel.yaml import YAML

from danlu.core.runner import Caps, Runner
from danlu.core.store import Workspace
from danlu.recipe import load_recipe
from danlu.stages import stages_of
from tests.e2e.conftest import danlu

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _one_precision_a_recipe() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_slice_of_a_recipe_is_trained(recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(recipe.parent / "data", tmp_path / "data")
    yaml = YAML()
    sections = yaml.load(recipe.read_text(encoding="utf-8"))
    sections["data"]["max_rows"] = 400
    classic = "classic" in sections["model"]
    if not classic:  # it has no steps: the rows are few already
        sections["train"] |= {"max_samples": 32, "validation_rows": 20}
    with (tmp_path / "recipe.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(sections, file)
    sliced = load_recipe(tmp_path / "recipe.yaml")
    # In one process: a process a stage would take most of the time here, and has tests of its own.
    runner = Runner(
        stages=stages_of(sliced),
        workspace=Workspace(tmp_path / "space").open(),
        base=tmp_path,
        caps=Caps(threads=1),
        in_process=True,
    )
    runner.walk(sliced, until="train")
    assert (runner.artifacts["train"] / ("linear.safetensors" if classic else "model.safetensors")).is_file()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_whole_recipe_ships(recipe: Path, tmp_path: Path) -> None:
    done = danlu("run", str(recipe), "--workspace", str(tmp_path / "space"), cwd=tmp_path, timeout=3600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
