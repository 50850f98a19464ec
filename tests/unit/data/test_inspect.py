"""`danlu init`: the guesses are right, and the recipe it writes can be read."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import pytest

from danlu.core.errors import DataError
from danlu.data.inspect import inspect, recipe_text
from danlu.recipe import parse_recipe

REVIEWS = ["这家店的服务很好，下次还来", "东西坏了，客服不理人", "一般般吧，没有想象中好", "物流很快，包装也不错"]


def excel(folder: Path) -> Path:
    book = openpyxl.Workbook()
    book.active.append(("编号", "日期", "评论内容", "星级", "情感标签"))
    for number in range(60):
        review = f"{REVIEWS[number % 4]}{number // 2}"
        book.active.append((number, f"2024-01-{number % 28 + 1:02d}", review, number % 5, "坏" if number % 4 else "好"))
    book.save(folder / "客户反馈.xlsx")
    return folder / "客户反馈.xlsx"


def test_an_excel_file_of_chinese_reviews(tmp_path: Path) -> None:
    path = excel(tmp_path)
    found = inspect(path)
    assert (found.format, found.rows, found.whole) == ("excel", 60, True)
    assert (found.text, found.label, found.language) == ("评论内容", "情感标签", "zh")
    assert found.labels == {"坏": 45, "好": 15}
    assert found.imbalance == 3.0
    assert found.lengths["max"] == 15
    recipe = parse_recipe(recipe_text(found, path))
    assert recipe.task == "classify"
    assert recipe.data.sources[0].path == str(path)
    assert (recipe.data.text, recipe.data.label) == ("评论内容", "情感标签")


def test_a_gbk_csv_with_repeats_and_two_spellings(tmp_path: Path) -> None:
    path = tmp_path / "1e5.csv"
    rows = [f"{REVIEWS[n % 4]},{('Good', 'bad', 'good ', 'bad')[n % 4]},{n / 7:.3f}" for n in range(40)]
    path.write_bytes("\n".join(["content,label,score", *rows, "broken"]).encode("gbk"))
    found = inspect(path)
    assert (found.encoding, found.text, found.label) == ("gb18030", "content", "label")
    assert (found.duplicates, found.bad_rows, found.rows) == (36, 1, 41)
    assert any("several spellings" in warning for warning in found.warnings)
    text = recipe_text(found, path)
    assert parse_recipe(text).name == "1e5"
    assert len(text.splitlines()) < 30


def test_texts_without_labels_become_a_language_model(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps({"body": f"note {n} says a lot"}) + "\n" for n in range(30)), encoding="utf-8")
    found = inspect(path)
    assert (found.text, found.label, found.language) == ("body", None, "en")
    recipe = parse_recipe(recipe_text(found, "notes.jsonl"))
    assert (recipe.task, recipe.data.text) == ("generate", "body")
    assert recipe.data.label is None


@pytest.mark.parametrize("column", ["a: b", "yes", "null", "#1", "it's", 'say "x"', "标签", "1.5", "- x"])
def test_odd_column_names_survive_yaml(column: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    rows = [{"text": f"some words {n}", column: "ab"[n % 2]} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert parse_recipe(recipe_text(inspect(path), path)).data.label == column


def test_files_without_text_or_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("x,y\n1.5,2.5\n3.5,4.5\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no column with text. Its columns: 'x', 'y'"):
        inspect(tmp_path / "numbers.csv")
    (tmp_path / "head.csv").write_text("text,label\n", encoding="utf-8")
    with pytest.raises(DataError, match="no rows of data"):
        inspect(tmp_path / "head.csv")
