"""What is asked beside a text, over HTTP and on the command line: taken, checked, and answered in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from danlu.cli.main import cli
from danlu.core.asked import Takes
from danlu.core.errors import DataError, UserError
from danlu.core.store import Workspace
from tests.unit.serve import toy
from tests.unit.serve.client import asynchronous, opened

WORDS = {"weights": {"great": 2.0, "awful": -2.0}}
PAIR = Takes(pair=True)
COLUMNS = Takes(numeric=("amount",), categorical=("channel",))


@asynchronous
async def test_pairs_are_answered_alone_and_together(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS, takes=PAIR)
    async with opened(workspace) as (client, _):
        one = (await client.post("/v1/predict", json={"text": "a lamp", "pair": "great"})).json()
        body = {"texts": ["a lamp", "a lamp"], "pairs": ["great", "awful"]}
        several = (await client.post("/v1/predict", json=body)).json()
        card = (await client.get("/v1/models/toy")).json()
    assert one["label"] == "good"
    assert [row["label"] for row in several["predictions"]] == ["good", "bad"]
    assert one["probabilities"] == several["predictions"][0]["probabilities"]
    assert card["takes"] == {"pair": True, "numeric": [], "categorical": []}


@asynchronous
async def test_columns_are_answered_alone_and_together(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS, takes=COLUMNS)
    async with opened(workspace) as (client, _):
        body: dict[str, Any] = {"text": "a lamp", "columns": {"amount": -3, "channel": "app"}}
        one = (await client.post("/v1/predict", json=body)).json()
        body = {"texts": ["a lamp", "a lamp"], "columns": [{"amount": -3.0}, {"amount": 5, "channel": None}]}
        several = (await client.post("/v1/predict", json=body)).json()
    assert one["label"] == "bad"
    assert [row["label"] for row in several["predictions"]] == ["bad", "good"]


REFUSED: list[tuple[Takes, dict[str, Any], str]] = [
    (PAIR, {"text": "a"}, "the pair, is missing"),
    (PAIR, {"text": "a", "pair": " "}, "the pair, is missing"),
    (PAIR, {"texts": ["a", "b"], "pairs": ["c"]}, '"texts" has 2 entries and "pairs" 1'),
    (PAIR, {"texts": ["a"], "pair": "c"}, 'beside "texts" give "pairs"'),
    (PAIR, {"text": "a", "pairs": ["c"]}, 'beside "text" give "pair"'),
    (PAIR, {"text": "a", "pair": "b" * 5001}, "The pair has 5,001 characters"),
    (Takes(), {"text": "a", "pair": "b"}, "Leave it out"),
    (Takes(), {"text": "a", "columns": {"amount": 1}}, "Leave them out"),
    (COLUMNS, {"text": "a"}, "no columns came"),
    (COLUMNS, {"text": "a", "columns": {"amout": 1}}, "Did you mean 'amount'?"),
    (COLUMNS, {"text": "a", "columns": {"amount": "much"}}, "is a number such as 3.5"),
    (COLUMNS, {"text": "a", "columns": {"channel": 3}}, "is a word"),
    (COLUMNS, {"texts": ["a"], "columns": {"amount": 1}}, "a list of objects"),
]


@asynchronous
async def test_what_does_not_fit_the_model_is_refused_in_plain_words(workspace: Workspace) -> None:
    for number, (takes, body, said) in enumerate(REFUSED, 1):
        toy.publish(workspace, f"toy{number}", WORDS, number, takes=takes)
        async with opened(workspace, name=f"toy{number}", max_characters=5000) as (client, _):
            answer = await client.post("/v1/predict", json=body)
        assert answer.status_code in (400, 422), answer.text
        assert said in answer.json()["error"]["message"]


def predict(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["predict", "toy", *arguments, "--workspace", str(workspace.root)])


def test_the_command_line_takes_pairs_columns_and_files_of_them(workspace: Workspace, tmp_path: Path) -> None:
    both = Takes(pair=True, numeric=("amount",), categorical=("channel",))
    toy.publish(workspace, "toy", WORDS, takes=both)
    said = predict(
        workspace, "a lamp", "--pair", "great", "--column", "amount=-3.5", "--column", "channel=app", "--json"
    )
    assert said.exit_code == 0, said.output
    row = json.loads(said.stdout)[0]
    assert row["label"] == "bad"
    assert row["pair"] == "great"
    assert row["columns"] == {"amount": -3.5, "channel": "app"}
    file = tmp_path / "rows.csv"
    file.write_text("text,pair,amount,channel\na lamp,great,-3.5,app\na lamp,great,,\n", encoding="utf-8")
    rows = json.loads(predict(workspace, "--file", str(file), "--json").stdout)
    assert [one["label"] for one in rows] == ["bad", "good"]
    assert rows[0]["probabilities"] == row["probabilities"]
    assert rows[1]["columns"] == {"amount": None, "channel": None}
    told = predict(workspace, "--file", str(file)).stdout.splitlines()
    assert told[0].endswith("a lamp  |  great  |  amount=-3.5 channel=app")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text,amount,channel\na,1,b\n", "rows.csv:2: there is no column 'pair'"),
        ("text,pair,amount,channel\na,b,much,c\n", "rows.csv:2: The column 'amount' is a number"),
        ("text,pair,amount,channel\na,,1,c\n", "rows.csv:2: the text is empty"),
        ("text,pair,amount,channel\n", "no r"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(
    workspace: Workspace, tmp_path: Path, content: str, said: str
) -> None:
    toy.publish(workspace, "toy", WORDS, takes=Takes(pair=True, numeric=("amount",), categorical=("channel",)))
    (tmp_path / "rows.csv").write_text(content, encoding="utf-8")
    result = predict(workspace, "--file", str(tmp_path / "rows.csv"))
    assert isinstance(result.exception, DataError)
    assert said in str(result.exception)


def test_the_command_line_refuses_another_number_of_pairs_and_a_cell_without_a_value(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS, takes=PAIR)
    for arguments, said in (
        (("a", "b", "--pair", "c"), "2 texts and 1 pairs"),
        (("a", "--pair", "c", "--column", "amount"), "names no value"),
    ):
        result = predict(workspace, *arguments)
        assert isinstance(result.exception, UserError)
        assert said in str(result.exception)
