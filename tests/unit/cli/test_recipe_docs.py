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


LOOK = """\
name: x
task: classify
data:
  sources:
    - path: a.csv
    - {path: b.jsonl, label: good}
    - path: c.txt
  text: review
model:
  scratch: {}
"""


def files(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")


def test_check_tells_every_missing_column_with_its_line_and_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files(tmp_path, a_csv="reviews,labels\nfine,good\n", b_jsonl='{"revue": "fine"}\n', c_txt="fine\n")
    assert main(["recipe", "check", str(write(tmp_path, LOOK))]) == 2
    told = [line.removeprefix(f"{tmp_path}/") for line in capsys.readouterr().err.splitlines()]
    assert [line.partition(": ")[0] for line in told] == ["recipe.yaml:5", "recipe.yaml:7", *["recipe.yaml:8"] * 2]
    assert "a.csv has no column 'label'. Its columns: 'reviews', 'labels'. Did you mean 'labels'?" in told[0]
    assert "c.txt is plain text, which has no column 'label'" in told[1]
    assert "a.csv has no column 'review'." in told[2]
    assert "b.jsonl has no column 'review'. Its columns: 'revue'. Did you mean 'revue'?" in told[3]


def test_check_accepts_the_columns_that_are_there(tmp_path: Path) -> None:
    files(tmp_path, a_csv="label,review\ngood,fine\n", b_jsonl='{"review": "fine"}\n', c_txt="fine\n")
    recipe = write(tmp_path, LOOK.replace("path: c.txt", "{path: c.txt, label: bad}"))
    said = CliRunner().invoke(cli, ["recipe", "check", str(recipe)])
    assert said.exit_code == 0, said.exception
    assert "a good recipe" in said.output


def test_check_looks_only_at_the_start_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("danlu.cli.recipe_check._HEAD_BYTES", 1_000)
    rows = "".join(f"这件衣服很好看，第{number}次买,好评\n" for number in range(5_000))
    # Behind the part that is looked at the file is in no encoding at all, which takes nothing from its columns.
    (tmp_path / "a.csv").write_bytes(f"评论,标签\n{rows}".encode("gb18030") + b"\xff\x00" * 40_000)
    recipe = write(tmp_path, GOOD.replace("model:", "  text: 评论\n  label: 标签\nmodel:"))
    assert CliRunner().invoke(cli, ["recipe", "check", str(recipe)]).exit_code == 0


def test_check_tells_of_all_files_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files(tmp_path, b_jsonl="")
    assert main(["recipe", "check", str(write(tmp_path, LOOK.replace("scratch: {}", "base: base")))]) == 2
    said = capsys.readouterr().err
    for line, part in ((5, "no file or folder 'a.csv'"), (6, "b.jsonl is empty"), (7, "'c.txt'"), (10, "'base'")):
        assert any(f"recipe.yaml:{line}: " in told and part in told for told in said.splitlines()), said


def test_schema_leaves_room_for_the_sections_of_third_party_stages() -> None:
    good = {"name": "x", "task": "classify", "data": {"sources": [{"path": "a.csv"}]}, "model": {"base": "b"}}
    validator = jsonschema.Draft202012Validator(recipe_schema())
    assert validator.is_valid(good | {"extensions": {"words": {"most": 3}}})
    assert not validator.is_valid(good | {"extensions": {"words": 3}})


def test_check_looks_for_the_columns_of_people_conversations_and_times_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files(tmp_path, a_csv="text,label,customer,date\nfine,good,1,2024-01-01\n")
    named = "  subject: custmer\n  conversation: chat\n  speaker: who\n  time: date\n"
    recipe = write(tmp_path, GOOD.replace("model:", f"{named}model:"))
    assert main(["recipe", "check", str(recipe)]) == 2
    told = [line.removeprefix(f"{tmp_path}/") for line in capsys.readouterr().err.splitlines()]
    assert [line.partition(": ")[0] for line in told] == ["recipe.yaml:6", "recipe.yaml:7", "recipe.yaml:8"]
    assert "has no column 'custmer', which data.subject names." in told[0]
    assert "Did you mean 'customer'?" in told[0]
    assert "which data.conversation names" in told[1]
    assert "leave data.speaker out" in told[2]


def test_check_warns_of_what_can_hardly_be_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files(tmp_path, a_csv="text,label\nfine,good\n")
    assert main(["recipe", "check", str(write(tmp_path, GOOD + "train:\n  learning_rate: 500\n"))]) == 0
    said = capsys.readouterr()
    assert "recipe.yaml:9: train.learning_rate is 500.0, which can hardly be meant" in said.err
    assert "a good recipe" in said.out
