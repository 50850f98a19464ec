"""Every ready recipe is run: on a slice in CI, whole when the slow tests are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.e2e.conftest import danlu

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_slice_of_a_recipe_is_trained(recipe: Path, tmp_path: Path) -> None:
    shutil.copytree(recipe.parent / "data", tmp_path / "data")
    yaml = YAML()
    sections = yaml.load(recipe.read_text(encoding="utf-8"))
    sections["data"]["max_rows"] = 400
    classic = "classic" in sections["model"]
    if not classic:  # it has no steps: the rows are few already
        sections["train"] |= {"max_samples": 32, "validation_rows": 20}
    sections["budget"] = {"threads": 1}
    with (tmp_path / "recipe.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(sections, file)
    done = danlu("run", "recipe.yaml", "--until", "train", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    weights = "linear.safetensors" if classic else "model.safetensors"
    assert list((tmp_path / ".danlu" / "artifacts" / "train").glob(f"*/{weights}"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_whole_recipe_ships(recipe: Path, tmp_path: Path) -> None:
    done = danlu("run", str(recipe), "--workspace", str(tmp_path / "space"), cwd=tmp_path, timeout=3600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
