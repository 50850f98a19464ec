"""Commands that read a workspace."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

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
    assert f" DONE   sentiment-en\nDone up to the stage {until}, as asked." in ask(
        "show", "sentiment-en", "--workspace", str(tmp_path)
    )


def later_run(workspace: Path, **changes: object) -> None:
    """A run that was judged, and behind it one that ended during train, as `api.run` leaves them."""
    judged = make_run(workspace)
    folder = workspace / "runs" / "sentiment-en"
    (folder / "20261123T120000000+0000.json").write_text(json.dumps(judged), encoding="utf-8")
    stopped = judged | {
        "verdict": "stopped",
        "version": None,
        "stages": judged["stages"][:2],
        "started": "2026-11-24T12:00:00.000+00:00",
        "finished": "2026-11-24T12:01:00.000+00:00",
        "error": {"kind": "StageCrashed", "text": "train failed: planted\nThe trace is in log.txt"},
    }
    for name in ("20261124T120000000+0000.json", "latest.json"):
        (folder / name).write_text(json.dumps(stopped | changes), encoding="utf-8")


def test_show_leads_with_the_last_verdict_and_says_that_a_later_run_failed(tmp_path: Path) -> None:
    later_run(tmp_path)
    asked = ("show", "sentiment-en", "--workspace", str(tmp_path))
    said = " ".join(ask(*asked).split())
    assert said.startswith("SHIP sentiment-en, version 1")
    assert (
        "A later run (2026-11-24 12:01 UTC) came to no verdict: it ended after the stage data (train failed: planted)"
        in said
    )
    assert f"danlu show sentiment-en --last --workspace {tmp_path}" in said
    last = " ".join(ask(*asked, "--last").split())
    assert last.startswith("STOPPED sentiment-en No verdict yet: the run ended after the stage data")
    assert f"The last run with a verdict: danlu show sentiment-en --workspace {tmp_path}" in last
    found = json.loads(ask(*asked, "--json"))
    assert (found["verdict"], found["later"]["verdict"], found["later"]["stages"]) == (
        "ship",
        "stopped",
        ["plan", "data"],
    )
    assert json.loads(ask(*asked, "--json", "--last"))["later"] is None


def test_a_later_verdict_is_the_one_to_show(tmp_path: Path) -> None:
    later_run(tmp_path, verdict="refused")
    assert json.loads(ask("show", "sentiment-en", "--json", "--workspace", str(tmp_path)))["verdict"] == "refused"


def test_a_damaged_record_does_not_hide_an_older_verdict(tmp_path: Path) -> None:
    later_run(tmp_path)
    (tmp_path / "runs" / "sentiment-en" / "20261123T180000000+0000.json").write_text("{", encoding="utf-8")
    assert json.loads(ask("show", "sentiment-en", "--json", "--workspace", str(tmp_path)))["verdict"] == "ship"


def test_list_leads_with_the_last_verdict_too(tmp_path: Path) -> None:
    later_run(tmp_path)
    (run,) = json.loads(ask("list", "--json", "--workspace", str(tmp_path)))["runs"]
    assert (run["verdict"], run["later"]["verdict"]) == ("ship", "stopped")
    assert "later: stopped" in ask("list", "--workspace", str(tmp_path))


#: What stays as it is in Chinese: names, units, and abbreviations that everyone writes so.
_NOT_TRANSLATED = re.compile(
    r"sentiment-en|TF-IDF \+ logistic regression|ROC AUC|F1|p50|p95|onnx|torch|macro_f1|leaked_rows|beats\(baseline\)"
    r"|\b(?:ms|s|min|h|[KMGT]?B|p)\b"
)


@pytest.mark.parametrize("refused", [False, True])
def test_show_in_chinese_has_no_english_and_fits_80_columns(
    tmp_path: Path, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    make_run(tmp_path, refused=refused, labels=["好", "差"])
    said = ask("show", "sentiment-en", "--lang", "zh", "--workspace", str(tmp_path))
    assert re.findall("[A-Za-z]+", _NOT_TRANSLATED.sub("", said)) == []
    assert max(cell_len(line) for line in said.splitlines()) <= 80
    # Columns stand under their heads: a number ends where its head ends, in cells of the terminal.
    lines = said.splitlines()
    head = next(line for line in lines if line.startswith("指标"))
    row = next(line for line in lines if line.startswith("准确率"))
    for number, title in ((row.index("]") + 1, "本模型"), (row.rindex("]") + 1, "基线")):
        assert cell_len(row[:number]) == cell_len(head[: head.index(title) + len(title)])


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
