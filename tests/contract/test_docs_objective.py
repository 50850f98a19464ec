"""docs/add-an-objective.md, done as it says: in a copy of the package, by the page's code, with the real command."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from danlu.examples import tiny_recipe

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "add-an-objective.md"
OBJECTIVES = Path("danlu/learning/objectives")
#: Before what the page's inserted code goes, by file.
PLACES = {
    str(OBJECTIVES / "config.py"): ("\nObjectiveConfig = Annotated[", "\n{code}\n\nObjectiveConfig = Annotated["),
    str(OBJECTIVES / "table.py"): ("KINDS: dict[str, Kind] = {\n", "KINDS: dict[str, Kind] = {{\n{code}"),
}


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """How, where and what, of each block of Python."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"```python (file|insert)=(\S+)\n(.*?)```", text, flags=re.DOTALL)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the objective added as the page says."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "danlu", folder / "danlu", ignore=shutil.ignore_patterns("__pycache__"))
    for how, where, code in blocks(PAGE):
        path = folder / where
        path.parent.mkdir(parents=True, exist_ok=True)
        if how == "file":
            path.write_text(code, encoding="utf-8")
            continue
        before, after = PLACES[where]
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{where} no longer has the place that the page speaks of"
        path.write_text(text.replace(before, after.format(code=code)), encoding="utf-8")
    union = folder / OBJECTIVES / "config.py"
    text, joined = re.subn(
        r"(\nObjectiveConfig = Annotated\[\n.*?),(\n\s*Field\(discriminator)",
        r"\1 | FocalObjective,\2",
        union.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    assert joined == 1, "ObjectiveConfig is no longer the union that the page speaks of"
    union.write_text(text, encoding="utf-8")
    return folder


def test_the_chinese_page_has_the_same_code() -> None:
    assert blocks(PAGE.with_name("add-an-objective.zh-CN.md")) == blocks(PAGE)
    assert [where for _, where, _ in blocks(PAGE)] == [
        "danlu/learning/objectives/config.py",
        "danlu/learning/objectives/focal.py",
        "danlu/learning/objectives/table.py",
        "tests/unit/learning/test_focal.py",
    ]
    assert "`| FocalObjective`" in PAGE.read_text(encoding="utf-8")


def test_the_page_s_test_passes(house: Path) -> None:
    done = run(house, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/learning/test_focal.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_a_recipe_trains_with_it(house: Path) -> None:
    sections = tiny_recipe(house)
    sections["train"] |= {"objective": {"kind": "focal", "gamma": 1.0}, "class_weights": "balanced"}
    (house / "recipe.yaml").write_text(json.dumps(sections), encoding="utf-8")
    done = run(house, "-m", "danlu", "run", "recipe.yaml", "--until", "train", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    (trained,) = (house / ".danlu" / "artifacts" / "train").iterdir()
    assert json.loads((trained / "training.json").read_text(encoding="utf-8"))["best"]["value"] > 0.8
    record = json.loads((trained / "record.json").read_text(encoding="utf-8"))
    assert record["config"]["train"]["objective"] == {"kind": "focal", "gamma": 1.0}
