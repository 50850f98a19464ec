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
        (("task: classify", "task: clasify"), r"r:2: task is 'clasify'.*'classify', .*'embed' or 'fill'"),
        (
            ("scratch: {layers: 1}", "classic: {kind: logistc}"),
            r"model.classic.kind is 'logistc'. Expected one of 'logistic', .*Did you mean 'logistic'",
        ),
        (("task: classify\n", ""), r"r: 'task' is missing"),
        (("train:", "epochs: 3\ntrain:"), r"r:8: there is no key 'epochs'. It belongs under 'train'"),
        (("train:", "name: twice\ntrain:"), r"r:8: 'name' is given twice"),
        (("  scratch: {layers: 1}", "  max_length: 32"), r"r:6: model: give one of base"),
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


SPACE = """tune:
  space:
    learning_rate: {low: 1e-3, high: 1e-5, log: true}
    schedule.warmup: {low: 0.0}
    regularize.dropout: 3
    optimizer.weight_decay: {choices: [0.1]}
"""


def test_mistakes_in_a_search_are_one_plain_line_each() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(GOOD + SPACE, "r")
    start = GOOD.count("\n") + 3
    assert str(caught.value).splitlines() == [
        f"r:{start}: tune.space.learning_rate: low is 0.001, which must be below high, which is 1e-05.",
        f"r:{start + 1}: 'tune.space.schedule.warmup.high' is missing. Largest value.",
        f"r:{start + 2}: tune.space.regularize.dropout is 3. Expected a section: keys with their values.",
        f"r:{start + 3}: tune.space.optimizer.weight_decay.choices is a list. Expected 2 items at least; 1 came.",
    ]


def test_what_is_wrong_with_the_values_of_a_search_is_told_at_their_lines() -> None:
    space = "tune:\n  space:\n    epochs: {low: -2, high: 3}\n    bogus: {low: 1, high: 2}\n"
    with pytest.raises(RecipeError) as caught:
        parse_recipe(GOOD + space, "r")
    start = GOOD.count("\n") + 3
    assert str(caught.value).splitlines() == [
        f"r:{start}: tune.space: epochs cannot be -2: input should be greater than 0.",
        f"r:{start + 1}: tune.space: there is no setting 'bogus'.",
    ]


def test_a_rule_over_two_settings_is_told_where_the_first_of_them_stands() -> None:
    text = GOOD.replace("data:\n", "data:\n  mix: {weights: [1.0, 2.0]}\n", 1)
    line = text.splitlines().index("  mix: {weights: [1.0, 2.0]}") + 1
    with pytest.raises(RecipeError, match=f"r:{line}: data: mix.weights is for 2 of 1 sources"):
        parse_recipe(text, "r")


def test_a_recipe_that_is_not_there_is_not_taken_for_one_that_only_ends_alike(tmp_path: Path) -> None:
    for name in ("l.yaml", "file.csv", "profile.yaml"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    with pytest.raises(RecipeError, match="`danlu init FILE` writes one"):
        load_recipe(tmp_path / "nothing.yaml")
    with pytest.raises(RecipeError, match=r"Did you mean '.*profile\.yaml'"):
        load_recipe(tmp_path / "profil.yaml")


def test_a_gate_that_names_the_champion_asks_for_the_comparison() -> None:
    asked = 'release: {gates: ["not_worse(champion, 0.005)"]}\n'
    found = parse_recipe(CHAMPION + asked)
    assert found.champion is not None and found.champion.name == "mine"
    assert parse_recipe(CHAMPION).champion is None
    other = parse_recipe(CHAMPION + asked + "champion: {name: other}\n")
    assert other.champion is not None and other.champion.name == "other"
    again = Recipe.model_validate_json(found.model_dump_json())
    assert again == found
    with pytest.raises(RecipeError, match="champion is of a classifier's answers; the task is generate"):
        parse_recipe(CHAMPION.replace("classify", "generate") + asked)
    with pytest.raises(RecipeError, match="evaluate.slices"):
        parse_recipe(CHAMPION.replace("classify", "generate") + "evaluate: {slices: [length > 3]}\n")
    with pytest.raises(RecipeError, match=r"5: .*Did you mean 'length'"):
        parse_recipe(CHAMPION + "evaluate: {slices: [lenght > 3]}\n")


CHAMPION = """name: mine
task: classify
data: {sources: [{path: a.csv}], label: label}
model: {scratch: {}}
"""


@pytest.mark.parametrize(
    ("task", "model", "data", "more", "message"),
    [
        (
            "generate",
            "scratch: {layers: 1}",
            "  pair: answer",
            "",
            "data.pair is for classify, tag, regress, multitask; the task is",
        ),
        (
            "embed",
            "scratch: {layers: 1}",
            "  columns: {numeric: [a]}",
            "",
            "data.columns is for classify, tag, regress",
        ),
        ("classify", "classic: {kind: logistic}", "  pair: answer", "", "model.classic reads one text"),
        (
            "classify",
            "scratch: {layers: 1}",
            "  pair: answer\n  augment: {operations: [{kind: character_noise}]}",
            "",
            "data.augment rewrites",
        ),
        (
            "classify",
            "base: hf://owner/name",
            "  columns: {numeric: [a]}",
            "train: {method: {kind: lora}}",
            "train.method lora adds to a model of transformers alone",
        ),
    ],
)
def test_what_stands_beside_a_text_is_refused_where_it_would_be_ignored(
    task: str, model: str, data: str, more: str, message: str
) -> None:
    text = f"name: shop\ntask: {task}\ndata:\n  sources:\n    - path: a.csv\n{data}\nmodel:\n  {model}\n{more}\n"
    with pytest.raises(RecipeError, match=message):
        parse_recipe(text)


def test_what_stands_beside_a_text_is_taken_where_it_is_asked() -> None:
    data = "  pair: answer\n  columns: {numeric: [amount], categorical: [channel]}"
    for task in ("classify", "tag", "regress"):
        recipe = parse_recipe(
            f"name: shop\ntask: {task}\ndata:\n  sources:\n    - path: a.csv\n{data}\nmodel: {{scratch: {{}}}}\n"
        )
        assert recipe.data.pair_of(task) == "answer"
        assert recipe.data.columns is not None
    plain = parse_recipe(GOOD).data
    assert plain.pair_of("classify") is None
    assert plain.pair_of("embed") == "pair"
    sources = "data:\n  sources:\n    - path: a.csv\n  columns: {numeric: [amount]}"
    parse_recipe(f"name: shop\ntask: classify\n{sources}\nmodel: {{classic: {{kind: logistic}}}}\n")


@pytest.mark.parametrize(
    ("task", "model", "train", "message"),
    [
        (
            "classify",
            "{classic: {kind: logistic}, max_length: 64}",
            "{}",
            "model.max_length says nothing to model.classic",
        ),
        (
            "generate",
            "{scratch: {}}",
            "{class_weights: balanced}",
            "class_weights: balanced is for classify; the task is",
        ),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(task: str, model: str, train: str, message: str) -> None:
    text = "name: shop\ntask: {}\ndata: {{label: label, sources: [{{path: a.csv}}]}}\nmodel: {}\ntrain: {}\n"
    with pytest.raises(RecipeError, match=message):
        parse_recipe(text.format(task, model, train))
    encoder = "{classic: {kind: logistic, features: {kind: embeddings, base: hf://owner/name}}, max_length: 64}"
    assert parse_recipe(text.format("classify", encoder, "{class_weights: balanced}")).model.max_length == 64
