"""`danlu label` as it is typed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from danlu.cli.label import find_corpus
from danlu.cli.main import cli, main
from danlu.core.store import Workspace
from tests.unit.data.labels.example import NAME, corpus_rows, fill_in, make_corpus

pytest.importorskip("cleanlab")

ROWS = corpus_rows()
TRUTH = {row["text"]: row["truth"] for row in ROWS}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_corpus(tmp_path / ".danlu", ROWS)
    return tmp_path


def ask(*arguments: str) -> str:
    said = CliRunner().invoke(cli, ["label", *arguments])
    assert said.exit_code == 0, said.output
    return said.stdout


def test_export_and_import_print_what_to_do_next(here: Path) -> None:
    said = ask("export", NAME, "--rows", "20", "--test-sample", "5")
    assert "labels look wrong" in said
    assert "danlu label import labels.xlsx" in said
    fill_in(here / "labels.xlsx", here / "ann.xlsx", TRUTH)
    said = ask("import", "ann.xlsx")
    assert "got another label than they had" in said
    assert "data: {labels: {decisions: labels.csv}}" in said
    fill_in(here / "labels.xlsx", here / "bob.xlsx", dict.fromkeys(TRUTH, "good"))
    said = ask("import", "bob.xlsx")
    assert "Cohen's kappa" in said
    assert "wait for one person in adjudicate.xlsx" in said


def test_json_is_all_there_is_on_standard_output(here: Path) -> None:
    out = json.loads(ask("export", NAME, "--json", "--annotators", "2"))
    assert out["blind"] is True
    assert out["files"] == ["labels-1.xlsx", "labels-2.xlsx"]
    assert out["rows"]["suspect"] > 0
    for number in (1, 2):
        fill_in(here / f"labels-{number}.xlsx", here / f"p{number}.xlsx", TRUTH)
    back = json.loads(ask("import", "p1.xlsx", "p2.xlsx", "--json"))
    assert back["decisions"] == {"unanimous": out["rows"]["suspect"]}
    assert back["agreement"]["kappa"]["value"] in {1.0, None}
    assert back["adjudicate"] is None


def test_a_corpus_is_found_by_name_folder_and_fingerprint(here: Path) -> None:
    folder = next((here / ".danlu" / "artifacts" / "data").iterdir())
    for name in (NAME, str(folder), folder.name[:8]):
        assert find_corpus(name, Workspace(here / ".danlu")).folder.samefile(folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "tinny"], "Did you mean 'tiny'?"),
        (["export", "zzzzzz"], "Corpora here: "),
        (["export", ".danlu"], "is no corpus"),
        (["export", NAME, "--out", "labels.csv"], "must end in .xlsx"),
        (["export", NAME, "--unlabelled", "no.csv"], "There is no file 'no.csv'"),
        (["export", "nobody", "--workspace", "elsewhere"], "danlu run RECIPE --until data"),
        (["import", "no.xlsx"], "danlu label export NAME"),
        (["import"], "Missing argument 'FILE...'"),
    ],
)
def test_mistakes_end_with_2_and_a_message(
    here: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["label", *arguments]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert "Traceback" not in printed
    assert "bug" not in printed


def test_a_corpus_without_labels_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, corpus = make_corpus(tmp_path / "space", ROWS, task="generate")
    assert main(["label", "export", str(corpus.folder)]) == 2
    assert "`danlu label` is for classify" in capsys.readouterr().err


def test_without_cleanlab_the_command_that_installs_it_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    assert main(["label", "export", NAME]) == 2
    assert "pip install 'danlu[labels]'" in capsys.readouterr().err
    assert not (here / "labels.xlsx").exists()
