"""The code in CONTRIBUTING.md is run as it stands."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
from pydantic import Field, create_model

from danlu.core.config import Config
from danlu.core.runner import Runner
from danlu.core.stage import in_order
from danlu.core.store import Workspace
from danlu.data.config import DataConfig
from danlu.examples import tiny_recipe
from danlu.stages import STAGES

ROOT = Path(__file__).parents[2]


def test_the_worked_example_of_a_new_stage_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import danlu

    room = tmp_path / "package" / "words"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("", encoding="utf-8")
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python file=(\S+)\n(.*?)```", text, flags=re.DOTALL)
    assert [name for name, _ in blocks] == ["config.py", "stage.py", "row.py"]
    for name, code in blocks:
        (room / name).write_text(code, encoding="utf-8")
    monkeypatch.setattr(danlu, "__path__", [*danlu.__path__, str(tmp_path / "package")])
    row = importlib.import_module("danlu.words.row").ROW
    words = importlib.import_module("danlu.words.config").WordsConfig

    recipe_class = create_model(
        "Wider",
        __base__=Config,
        task=(str, Field(description="Task.")),
        data=(DataConfig, Field(description="Data.")),
        words=(words, Field(words(most=3), description="Words.")),
    )
    sections = tiny_recipe(tmp_path)
    before = tuple(stage for stage in STAGES if stage.name in {"clean", "duplicates", "data"})
    runner = Runner(
        stages=in_order((row, *before)), workspace=Workspace(tmp_path / "space").open(), base=tmp_path, in_process=True
    )
    runner.walk(recipe_class.model_validate({"task": sections["task"], "data": sections["data"]}))
    ranked = runner.artifacts["words"].json("words.json")
    assert len(ranked) == 3
    assert ranked[0][1] >= ranked[1][1] >= ranked[2][1] > 0
    for name in ("danlu.words.row", "danlu.words.config", "danlu.words.stage", "danlu.words"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("page", [*sorted(p.name for p in ROOT.glob("*.md")), "docs"])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    pages = sorted((ROOT / "docs").rglob("*.md")) if page == "docs" else [ROOT / page]
    for path in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"
