"""`danlu predict` on released models: an answer for each line, and answers that can be told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from danlu.cli.main import cli
from danlu.core.errors import UserError
from danlu.core.store import Workspace
from tests.unit.serve import toy

WORDS = {"weights": {"great": 2.0, "awful": -2.0}}


def predict(workspace: Workspace, *arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["predict", "toy", *arguments, "--workspace", str(workspace.root)], input=given)


@pytest.mark.parametrize("by_file", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_each_line_has_an_answer_and_a_blank_one_a_blank_answer(
    workspace: Workspace, tmp_path: Path, by_file: bool, end: str
) -> None:
    toy.publish(workspace, "toy", WORDS)
    # A form feed is in a line, it does not end one.
    lines = ["great", "", "awful \x0c it is", "   ", "great"]
    text = end.join(lines) + end
    (tmp_path / "texts.txt").write_bytes(text.encode())
    options = ["--file", str(tmp_path / "texts.txt")] if by_file else []
    given = None if by_file else text.encode()
    said = predict(workspace, *options, given=given)
    assert said.exit_code == 0, said.output
    assert "warning: lines 2, 4 are blank and get no answer" in said.stderr
    assert [line[:4].strip() for line in said.stdout.rstrip("\n").split("\n")] == ["good", "", "bad", "", "good"]
    rows = json.loads(predict(workspace, "--json", *options, given=given).stdout)
    assert [row["label"] for row in rows] == ["good", None, "bad", None, "good"]
    assert rows[1]["probabilities"] is None


def test_lines_of_a_file_without_a_blank_one_are_answered_without_a_warning(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS)
    said = predict(workspace, given="great\nawful\n")
    assert said.stderr == ""
    assert len(said.stdout.splitlines()) == 2


@pytest.mark.parametrize("texts", [("",), ("great", "  ")])
def test_an_empty_text_is_refused(workspace: Workspace, texts: tuple[str, ...]) -> None:
    toy.publish(workspace, "toy", WORDS)
    said = predict(workspace, *texts)
    assert isinstance(said.exception, UserError)
    assert f"Text {len(texts)} is empty" in str(said.exception)


def test_texts_that_are_written_are_parted_by_a_blank_line(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"text": "a b c"}, task="generate")
    said = predict(workspace, "a", "b", "--max-new-tokens", "2")
    assert said.exit_code == 0, said.output
    assert said.stdout == "a b c\n\nb c\n"
    rows = json.loads(predict(workspace, "--json", "--max-new-tokens", "2", given="a\n\nb\n").stdout)
    assert [row["completion"] for row in rows] == [" b c", None, " c"]
