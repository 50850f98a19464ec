from __future__ import annotations

from pathlib import Path

import pytest

from danlu.core.errors import RecipeError
from danlu.recipe import Recipe, load_recipe, parse_recipe

GOOD = """\
name: shop
task: classify
data:
  sources:
    - path: reviews.csv
model:
  scratch: {layers: 1}
train:
  learning_rate: 1e-4
"""


def test_a_short_recipe_is_enough() -> None:
    recipe = parse_recipe(GOOD)
    assert recipe.train.learning_rate == 1e-4
    assert recipe.model.scratch is not None
    assert recipe.compress.ship in recipe.compress.forms


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("learning_rate:", "learning_rat:"),
            r"r:9: there is no key 'train\.learning_rat'.*'learning_rate'",
        ),
        (("  learning_rate: 1e-4", "  epochs: many"), r"r:9: train\.epochs is 'many'.*Passes over the training rows"),
        (("  learning_rate: 1e-4", "  learning_rate: -1"), r"r:9: train\.learning_rate is -1"),
        (("name: shop", "name: My Shop"), r"r:1: name: 'My Shop' cannot be a folder's name"),
        (("task: classify", "task: clasify"), r"r:2: task is 'clasify'.*'classify', .*'generate'"),
        (("task: classify\n", ""), r"r: 'task' is missing"),
        (("train:", "epochs: 3\ntrain:"), r"r:8: there is no key 'epochs'. It belongs under 'train'"),
        (("train:", "name: twice\ntrain:"), r"r:8: 'name' is given twice"),
        (("  scratch: {layers: 1}", "  max_length: 32"), r"r:6: model: give either base"),
        (("{layers: 1}", "{width: 30, heads: 4}"), r"r:7: model\.scratch: width is 30"),
        (
            ("    - path: reviews.csv", "    - paht: reviews.csv"),
            r"r:5: there is no key 'data\.sources\.0\.paht'.*'path'",
        ),
        (("data:", "data: [\n"), r"r:\d+: this is not YAML"),
        (("  learning_rate: 1e-4", "  epochs: yes"), r"r:9: train\.epochs is 'yes'"),
        (("  learning_rate: 1e-4", "release: {gates: ['macro_f1 >>= 1']}"), r"r:9: release\.gates"),
        (("  learning_rate: 1e-4", "  epochs: .nan"), r"r:9: train\.epochs is nan"),
    ],
)
def test_mistakes_are_told_with_line_and_help(change: tuple[str, str], message: str) -> None:
    old, new = change
    assert old in GOOD
    with pytest.raises(RecipeError, match=message):
        parse_recipe(GOOD.replace(old, new, 1), "r")


@pytest.mark.parametrize(
    ("text", "message"), [("", "got nothing"), ("- a", "got a CommentedSeq"), ("words", "got a str")]
)
def test_what_is_no_mapping_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match="expected `key: value` lines"):
        parse_recipe(text)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    good = tmp_path / "shop.yaml"
    good.write_text("\ufeff" + GOOD, encoding="utf-8")
    assert load_recipe(good).name == "shop"
    with pytest.raises(RecipeError, match=r"Did you mean '.*shop\.yaml'"):
        load_recipe(tmp_path / "shop.yml")
    with pytest.raises(RecipeError, match="is a folder"):
        load_recipe(tmp_path)
    (tmp_path / "gbk.yaml").write_bytes("name: a\ntask: 分类\n".encode("gbk"))
    with pytest.raises(RecipeError, match=r"gbk\.yaml:2: a recipe must be UTF-8"):
        load_recipe(tmp_path / "gbk.yaml")


def test_every_field_of_every_section_is_described_in_the_schema() -> None:
    schema = Recipe.model_json_schema()
    for name, section in {"Recipe": schema, **schema["$defs"]}.items():
        for field, value in section.get("properties", {}).items():
            assert value.get("description") or "$ref" in value, f"{name}.{field}"


def test_a_frozen_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_recipe(GOOD).name = "other"  # type: ignore[misc]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    gates = (
        "release:\n  gates:\n    - macro_f1 >= 70\n    - parity <= 0.01\n    - beats(basline)\n    - acuracy > 0.5\n"
    )
    with pytest.raises(RecipeError) as caught:
        parse_recipe(GOOD.replace("learning_rate", "learning_rat") + gates, "r")
    told = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in told] == ["r:9", "r:12", "r:14", "r:15"]
    for line, part in zip(
        told, ("learning_rat", "did you mean 0.7?", "'basline'", "Did you mean 'accuracy'?"), strict=True
    ):
        assert part in line
