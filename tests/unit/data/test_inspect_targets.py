"""A look at files with several labels a text, and with numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from danlu.data.inspect import inspect
from danlu.data.proposal import recipe_text
from danlu.recipe import parse_recipe
from tests.unit.data.test_stage import distinct, write


def rows(**columns: Any) -> list[dict[str, Any]]:
    return [
        {"text": row["text"], **{name: values[number % len(values)] for name, values in columns.items()}}
        for number, row in enumerate(distinct(60))
    ]


@pytest.mark.parametrize(
    ("columns", "label", "task"),
    [
        ({"topics": ["price|size", "price", "", "delivery|price"]}, "topics", "tag"),
        ({"标签": [["价格"], ["价格", "物流"], []]}, "标签", "tag"),
        ({"mood": ["good", "bad"], "tags": [["a", "b"], ["b"]]}, "tags", "tag"),
        ({"score": [number / 7 for number in range(30)]}, "score", "regress"),
        ({"target": [number / 7 for number in range(30)]}, "target", "regress"),
        ({"score": [1, 2, 3, 4, 5]}, "score", "classify"),
        ({"score": [1.0, 2.0, 3.0, 4.0, 5.0]}, "score", "classify"),
        ({"stars": [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5]}, "stars", "regress"),
        ({"评分": ["3", "3.5", "4", "4.5"]}, "评分", "regress"),
        ({"label": ["good", "bad"], "price": list(range(20))}, "label", "classify"),
        ({"weight": [number / 7 for number in range(30)]}, None, "generate"),
    ],
)
def test_the_recipe_is_for_what_the_column_holds(
    columns: dict[str, Any], label: str | None, task: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "rows.jsonl", rows(**columns))
    found = inspect(path)
    assert (found.text, found.label, found.task) == ("text", label, task)
    recipe = parse_recipe(recipe_text(found, path))
    assert recipe.task == task
    assert recipe.data.label == label
    json.dumps(recipe.model_dump())
