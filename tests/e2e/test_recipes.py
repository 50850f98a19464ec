"""Every ready recipe is run: on a slice in CI, whole when the slow tests are."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from ruamel.yaml import YAML

from danlu.core.artifact import Artifact
from danlu.core.runner import Caps, Runner
from danlu.core.store import Workspace, write_json_atomically
from danlu.recipe import load_recipe
from danlu.stages import stages_of
from tests.e2e.conftest import danlu

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _one_precision_a_recipe() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def earlier(recipe: Path, scheme: str = "run|corpus") -> list[Path]:
    """The recipes whose runs this one goes on from, and those that they go on from, in their order."""
    names = re.findall(rf"(?:{scheme})://([\w.-]+)", recipe.read_text(encoding="utf-8"))
    found = [recipe.with_name(f"{name}.yaml") for name in names]
    return list(dict.fromkeys(one for other in found for one in (*earlier(other, scheme), other)))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_slice_of_a_recipe_is_trained(recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(recipe.parent / "data", tmp_path / "data")
    for other in (*earlier(recipe), recipe):
        trained = slice_of(other, tmp_path)
    assert any((trained / weights).is_file() for weights in ("model.safetensors", "linear.safetensors"))
    named = re.findall(r"run://", recipe.read_text(encoding="utf-8"))
    assert len(trained.json("danlu.json").get("lineage", {})) == len(named)


def slice_of(recipe: Path, folder: Path) -> Artifact:
    """What the train stage makes of few of a recipe's rows; later slices find the run by its name."""
    yaml = YAML()
    sections = yaml.load(recipe.read_text(encoding="utf-8"))
    sections["data"]["max_rows"] = 400
    if "classic" not in sections["model"]:  # it has no steps: the rows are few already
        sections["train"] |= {"max_samples": 32, "validation_rows": 20}
    with (folder / "recipe.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(sections, file)
    sliced = load_recipe(folder / "recipe.yaml")
    workspace = Workspace(folder / "space").open()
    # In one process: a process a stage would take most of the time here, and has tests of its own.
    runner = Runner(stages=stages_of(sliced), workspace=workspace, base=folder, caps=Caps(threads=1), in_process=True)
    runner.walk(sliced, until="train")
    AcceleratorState._reset_state(reset_partial_state=True)
    stages = [
        {"stage": outcome.stage, "folder": outcome.folder.relative_to(workspace.root).as_posix()}
        for outcome in runner.outcomes
    ]
    write_json_atomically(workspace.root / "runs" / sliced.name / "20260101T000000.json", {"stages": stages})
    return runner.artifacts["train"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_whole_recipe_ships(recipe: Path, tmp_path: Path) -> None:
    for one in (*earlier(recipe), recipe):
        done = danlu("run", str(one), "--workspace", str(tmp_path / "space"), cwd=tmp_path, timeout=3600)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
