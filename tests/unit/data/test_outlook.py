"""What a run would stumble over is told by the plan, before the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from danlu.cli.main import cli
from danlu.data.config import DataConfig
from danlu.data.outlook import outlook


def look(path: Path, *, task: str = "classify", **values: Any) -> list[str]:
    config = DataConfig.model_validate({"sources": [{"path": str(path)}], **values})
    return outlook(config, [path], task=task)


def table(folder: Path, rows: list[str]) -> Path:
    path = folder / "a.csv"
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return path


TORN = [f"review {n // 2},{'ab'[n % 2]}" for n in range(80)]


def test_good_data_is_passed_over_in_silence(tmp_path: Path) -> None:
    assert look(table(tmp_path, [f"review {n},{'ab'[n % 2]}" for n in range(40)])) == []


def test_labels_that_all_contradict_each_other_are_told(tmp_path: Path) -> None:
    path = table(tmp_path, TORN)
    every, few = look(path)
    assert every.startswith("Every text occurs with different labels")
    assert few.startswith("Only 0 usable texts")
    # What the recipe says of labels counts.
    assert look(path, labels={"merge": {"a": ["b"]}}) == []
    assert look(path, task="generate") == []


@pytest.mark.parametrize("rule", ["keep", "majority"])
def test_a_recipe_that_keeps_conflicting_labels_is_not_told_that_they_are_rejected(tmp_path: Path, rule: str) -> None:
    assert not any("rejected" in told for told in look(table(tmp_path, TORN), label_conflicts=rule))


def test_two_rows_are_too_few(tmp_path: Path) -> None:
    assert look(table(tmp_path, ["good one,a", "bad one,b"])) == ["Only 2 rows: a run needs at least 20."]


def test_data_too_large_to_compare_here_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("danlu.data.outlook._MOST_ROWS", 50)
    assert look(table(tmp_path, TORN)) == []


def test_the_plan_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path, TORN)
    recipe = (
        "name: x\ntask: classify\ndata:\n  sources:\n    - path: a.csv\nmodel:\n  scratch: {layers: 1, width: 16}\n"
    )
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    monkeypatch.setattr("danlu.api.plan", lambda *_, **__: Planned())
    said = CliRunner().invoke(cli, ["plan", "recipe.yaml", "--json"])
    assert said.exit_code == 0, said.output
    assert "Every text occurs with different labels" in said.stdout


class Planned:
    """Stands for the plan, which has tests of its own and takes seconds."""

    def json(self, _name: str) -> dict[str, Any]:
        return {"total": {}}
