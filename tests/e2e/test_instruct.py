"""Instruction data, from the file a team has to an answer over HTTP's form of a chat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from danlu.learning.chat import Turn, read_chat
from tests.e2e.conftest import danlu

SHOP = Path(__file__).parents[2] / "recipes" / "data" / "shop-preferences.jsonl"


def alpaca(row: dict[str, str]) -> dict[str, object]:
    return {"instruction": row["prompt"], "input": "", "output": row["chosen"]}


def sharegpt(row: dict[str, str]) -> dict[str, object]:
    turns = [{"from": "human", "value": row["prompt"]}, {"from": "gpt", "value": row["chosen"]}]
    return {"conversations": turns}


@pytest.mark.parametrize("shape", [alpaca, pytest.param(sharegpt, marks=pytest.mark.slow)])
def test_from_a_file_of_instructions_to_answers(shape: object, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in SHOP.read_text(encoding="utf-8").splitlines()]
    text = json.dumps([shape(row) for row in rows], ensure_ascii=False)  # type: ignore[operator]
    (tmp_path / "shop.json").write_text(text, encoding="utf-8")
    done = danlu("init", "shop.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"instruction data ({shape.__name__})" in done.stdout  # type: ignore[attr-defined]
    yaml = YAML()
    recipe = yaml.load((tmp_path / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["model"]["scratch"] |= {"layers": 1, "width": 64}
    recipe["train"] |= {"epochs": 3.0, "batch_size": 8}
    recipe |= {"compress": {"forms": ["torch"], "ship": "torch"}, "speed": {"requests": 20}, "budget": {"threads": 1}}
    recipe["release"] = {"gates": ["leaked_rows == 0"]}
    with (tmp_path / "recipe.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(recipe, file)
    assert danlu("recipe", "check", "recipe.yaml", cwd=tmp_path).returncode == 0
    done = danlu("run", "recipe.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (evidence,) = (tmp_path / ".danlu" / "artifacts" / "evaluate").glob("*/evidence.json")
    assert json.loads(evidence.read_text(encoding="utf-8"))["answers_only"]
    (folder,) = (path.parent for path in (tmp_path / ".danlu" / "artifacts" / "train").glob("*/danlu.json"))
    chat = read_chat(folder)
    assert chat is not None
    assert chat.text([Turn(role="user", text="你好")], answer_follows=True) == "<s><|user|>\n你好</s>\n<|assistant|>\n"
    answered = danlu("predict", "shop", "键盘坏了怎么办？", "--json", "--max-new-tokens", "20", cwd=tmp_path)
    assert answered.returncode == 0, answered.stderr
    (row,) = json.loads(answered.stdout)
    assert row["completion"]
    assert "<|" not in row["completion"], "the model stops where its answer ends"
