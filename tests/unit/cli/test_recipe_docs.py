from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from danlu.cli.main import cli, main
from danlu.cli.reference import cli_page, recipe_page, recipe_schema, write_pages
from danlu.cli.table import COMMANDS, EXIT_CODES
from danlu.recipe import Recipe

ROOT = Path(__file__).parents[3]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def test_schema_is_valid_and_printed() -> None:
    said = CliRunner().invoke(cli, ["recipe", "schema"])
    schema = json.loads(said.output)
    assert schema["$schema"].endswith("2020-12/schema")
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_schema_accepts_the_shipped_recipes(path: Path) -> None:
    value = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(recipe_schema()).validate(value)


@pytest.mark.parametrize(
    "change", [{"tsk": "classify"}, {"task": "translate"}, {"train": {"epochs": 0}}, {"data": {"sources": []}}]
)
def test_schema_refuses_mistakes(change: dict[str, object]) -> None:
    good: dict[str, object] = {
        "name": "x",
        "task": "classify",
        "data": {"sources": [{"path": "a.csv"}]},
        "model": {"base": "b"},
    }
    validator = jsonschema.Draft202012Validator(recipe_schema())
    validator.validate(good)
    assert not validator.is_valid(good | change)


@pytest.mark.parametrize(("name", "page"), [("recipe.md", recipe_page), ("cli.md", cli_page)])
def test_docs_are_current(name: str, page: object) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == page(), f"docs/{name} is old: python -m danlu.cli.reference docs"  # type: ignore[operator]


def test_recipe_page_has_every_section_and_field() -> None:
    text = recipe_page()
    for section, field in Recipe.model_fields.items():
        assert f"| `{section}` |" in text
        assert field.description
        assert field.description in text
    for inner in ("train", "data.sources[]", "data.split", "model.scratch", "serve"):
        assert f"## `{inner}`" in text


def test_cli_page_has_every_command_and_exit_code() -> None:
    text = cli_page()
    for name in COMMANDS:
        assert f"### `danlu {name}`" in text
    for code in EXIT_CODES:
        assert f"| {code} |" in text


def test_write_pages(tmp_path: Path) -> None:
    write_pages(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cli.md", "recipe.md"]


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


GOOD = "name: x\ntask: classify\ndata:\n  sources:\n    - path: a.csv\nmodel:\n  scratch: {}\n"


def test_check_says_a_good_recipe_is_good(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n", encoding="utf-8")
    said = CliRunner().invoke(cli, ["recipe", "check", str(write(tmp_path, GOOD))])
    assert said.exit_code == 0
    assert "'x' (classify)" in said.output
    as_json = CliRunner().invoke(cli, ["recipe", "check", "--json", str(write(tmp_path, GOOD))])
    assert (
        json.loads(as_json.output)["train"]["batch_size"]
        == Recipe.model_fields["train"].get_default(call_default_factory=True).batch_size
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("model:", "modle:"), "Did you mean 'model'?"),
        (GOOD + "train:\n  epochs: many\n", "recipe.yaml:9"),
        (GOOD, "There is no file or folder 'a.csv'"),
    ],
)
def test_check_names_the_mistake(tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "check", str(write(tmp_path, text))]) == 2
    assert said in capsys.readouterr().err
