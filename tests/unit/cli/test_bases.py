"""`danlu recipe bases`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from danlu.cli.main import cli, main
from danlu.core.bases import BASES


def test_bases_are_listed_with_what_decides_between_them() -> None:
    said = CliRunner().invoke(cli, ["recipe", "bases"], terminal_width=120)
    assert said.exit_code == 0
    for name in BASES:
        assert name in said.output
    assert "gemma-3-270m: Its terms restrict" in said.output


def test_bases_of_a_task_as_json() -> None:
    said = json.loads(CliRunner().invoke(cli, ["recipe", "bases", "--task", "generate", "--json"]).output)
    assert [row["name"] for row in said] == [name for name, base in BASES.items() if "generate" in base.tasks]
    assert said[0].keys() >= {"name", "hugging_face", "modelscope", "parameters", "context", "licence", "source"}


def test_a_task_without_bases_names_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "bases", "--task", "classifi"]) == 2
    assert "expected one of classify, embed, generate" in capsys.readouterr().err
