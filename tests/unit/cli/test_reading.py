"""Commands that read a workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from danlu.cli.main import cli, main
from tests.unit.report.example import EVIL, make_run


def ask(*arguments: str) -> str:
    said = CliRunner().invoke(cli, list(arguments))
    assert said.exit_code == 0, said.output
    return said.output


def test_show_json_has_the_keys_of_the_report(tmp_path: Path) -> None:
    make_run(tmp_path)
    found = json.loads(ask("show", "sentiment-en", "--json", "--workspace", str(tmp_path)))
    wanted = {"verdict", "gates", "data", "evidence", "baseline", "naive", "speed", "plan", "artifacts", "sentence"}
    assert wanted <= set(found)
    assert {"value", "low", "high"} == set(found["evidence"]["scores"]["accuracy"])
    assert {"stage", "fingerprint", "folder", "seconds", "reused"} <= set(found["artifacts"][0])


def test_show_draws_the_verdict_and_keeps_markup_of_labels_as_text(tmp_path: Path) -> None:
    make_run(tmp_path, refused=True, labels=["[red]a[/]", EVIL])
    said = ask("show", "sentiment-en", "--workspace", str(tmp_path))
    assert "REFUSED" in said
    assert "macro_f1 >= 0.70" in said
    assert "Had we split naively" in said


def test_show_says_the_verdict_in_the_language_asked_for(tmp_path: Path) -> None:
    make_run(tmp_path)
    asked = ("show", "sentiment-en", "--workspace", str(tmp_path))
    sentence = json.loads(ask(*asked, "--json"))["sentence"]
    for language, other in (("en", "zh"), ("zh", "en")):
        said = ask(*asked, "--lang", language)
        assert sentence[language][:20] in said
        assert sentence[other][:20] not in said


@pytest.mark.parametrize("until", ["plan", "data", "train", "compress", "evaluate", "speed"])
def test_show_draws_a_partial_run(tmp_path: Path, until: str) -> None:
    make_run(tmp_path, until=until)
    assert "STOPPED" in ask("show", "sentiment-en", "--workspace", str(tmp_path))


def test_show_of_an_unknown_name_suggests_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path)
    assert main(["show", "sentiment", "--workspace", str(tmp_path)]) == 2
    assert "Did you mean 'sentiment-en'?" in capsys.readouterr().err


def test_list_has_runs(tmp_path: Path) -> None:
    make_run(tmp_path)
    make_run(tmp_path, name="words", task="generate", until="data")
    found = json.loads(ask("list", "--json", "--workspace", str(tmp_path)))
    assert [(run["name"], run["verdict"]) for run in found["runs"]] == [("sentiment-en", "ship"), ("words", "stopped")]
    assert "SHIP" in ask("list", "--workspace", str(tmp_path))


def test_list_of_an_empty_workspace_says_how_to_start(tmp_path: Path) -> None:
    assert "danlu init" in ask("list", "--workspace", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "nobody", "a text"],
        ["promote", "nobody"],
        ["rollback", "nobody"],
        ["run", "no.yaml"],
        ["plan", "no.yaml"],
        ["recipe", "check", "no.yaml"],
        ["init", "no.csv"],
        ["predict", "nobody", "--file", "no.txt"],
        ["predict", "nobody", "a", "--file", "no.txt"],
    ],
)
def test_mistakes_end_with_2_and_a_message(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert len(said.strip()) > 20
    assert "Traceback" not in said
    assert "bug" not in said


def test_predict_without_text_says_so(tmp_path: Path) -> None:
    said = CliRunner().invoke(cli, ["predict", "nobody", "--workspace", str(tmp_path)], input="\n")
    assert said.exit_code != 0
    assert "There is no text" in str(said.exception)


def test_init_writes_a_recipe_that_check_accepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    rows = [f"review number {index} is {'good' if index % 2 else 'bad'},{index % 2}" for index in range(60)]
    (tmp_path / "reviews.csv").write_text("review,stars\n" + "\n".join(rows) + "\n", encoding="utf-8")
    said = ask("init", "reviews.csv", "-o", "sub/recipe.yaml")
    assert "danlu run sub/recipe.yaml" in said
    assert "good recipe" in ask("recipe", "check", "sub/recipe.yaml")
    assert main(["init", "reviews.csv", "-o", "sub/recipe.yaml"]) == 2
    ask("init", "reviews.csv", "-o", "sub/recipe.yaml", "--force")
    assert "task: classify" in ask("init", "reviews.csv", "-o", "-")
