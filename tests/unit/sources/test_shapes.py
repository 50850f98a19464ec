"""Every form of instruction data in use becomes the same turns; what has the keys but not the values says why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from danlu.sources.shapes import DEFAULT_SPEAKERS, Misshapen, Sample, Speakers, Turn, recognise

QUESTION = Turn(role="user", text="How long?")
ANSWER = Turn(role="assistant", text="Two days.", learn=True)
RULE = Turn(role="system", text="Be short.")


def read(values: dict[str, Any], speakers: Speakers = DEFAULT_SPEAKERS) -> tuple[str, Sample]:
    shape = recognise(values)
    assert shape is not None
    return shape.name, shape.read(values, speakers)


MESSAGES = [{"role": "user", "content": "How long?"}, {"role": "assistant", "content": "Two days."}]


@pytest.mark.parametrize(
    ("values", "name", "turns"),
    [
        ({"messages": MESSAGES}, "messages", (QUESTION, ANSWER)),
        ({"messages": json.dumps(MESSAGES)}, "messages", (QUESTION, ANSWER)),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "How long?"}]}, MESSAGES[1]]},
            "messages",
            (QUESTION, ANSWER),
        ),
        (
            {
                "system": "Be short.",
                "conversations": [{"from": "human", "value": "How long?"}, {"from": "gpt", "value": "Two days."}],
            },
            "sharegpt",
            (RULE, QUESTION, ANSWER),
        ),
        ({"instruction": "How", "input": "long?", "output": "Two days."}, "alpaca", None),
        ({"instruction": "How long?", "input": "", "output": "Two days."}, "alpaca", (QUESTION, ANSWER)),
        (
            {"instruction": "How long?", "output": "Two days.", "history": [["How long?", "Two days."]]},
            "alpaca",
            (QUESTION, ANSWER, QUESTION, ANSWER),
        ),
        ({"prompt": "How long?", "completion": "Two days."}, "prompt", (QUESTION, ANSWER)),
        ({"问题": "How long?", "答案": "Two days."}, "prompt", (QUESTION, ANSWER)),
        (
            {"dialogue": [{"speaker": "客户", "text": "How long?"}, {"speaker": "客服", "text": "Two days."}]},
            "dialogue",
            (QUESTION, ANSWER),
        ),
    ],
)
def test_shapes_are_known_by_their_keys(values: dict[str, Any], name: str, turns: tuple[Turn, ...] | None) -> None:
    found, sample = read(values)
    assert found == name
    assert sample.turns == (turns or (Turn(role="user", text="How\nlong?"), ANSWER))
    assert sample.rejected is None


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": "How long?", "chosen": "Two days.", "rejected": "No idea."},
        {"conversations": [{"from": "human", "value": "How long?"}]}
        | {"chosen": {"from": "gpt", "value": "Two days."}, "rejected": {"from": "gpt", "value": "No idea."}},
        {"chosen": MESSAGES, "rejected": [MESSAGES[0], {"role": "assistant", "content": "No idea."}]},
        {
            "chosen": json.dumps(MESSAGES),
            "rejected": json.dumps([MESSAGES[0], {"role": "assistant", "content": "No idea."}]),
        },
    ],
)
def test_preferences(values: dict[str, Any]) -> None:
    name, sample = read(values)
    assert name == "preference"
    assert sample == Sample(turns=(QUESTION, ANSWER), rejected="No idea.")


def test_documents_and_table_rows_have_no_shape() -> None:
    assert recognise({"text": "a", "label": "b"}) is None
    assert recognise({"instruction": "a", "output": None}) is None


def test_the_recipe_chooses_whose_turns_are_learned() -> None:
    speakers = Speakers(names={"卖家": "assistant", "买家": "user"}, learn=frozenset({"user"}))
    _, sample = read({"turns": [{"role": "卖家", "content": "在的"}, {"role": "买家", "content": "多少钱"}]}, speakers)
    assert sample.turns == (Turn(role="assistant", text="在的"), Turn(role="user", text="多少钱", learn=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"messages": "[{"}, "broken JSON"),
        ({"messages": {"a": 1}}, "a dict instead of a list of turns"),
        ({"messages": ["hello"]}, "a turn is a str"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "unknown speaker 'narrator'; data.speakers can name it"),
        ({"messages": [{"role": "user", "content": {"a": 1}}]}, "holds a dict, not text"),
        ({"messages": MESSAGES[:1]}, "no turn of assistant to learn from"),
        ({"instruction": "a", "output": "b", "history": ["c"]}, "pairs of question and answer"),
        (
            {"prompt": "a", "chosen": MESSAGES, "rejected": [{"role": "user", "content": "b"}, *MESSAGES[1:]]},
            "continue",
        ),
    ],
)
def test_what_has_the_keys_but_not_the_values_says_why(values: dict[str, Any], message: str) -> None:
    with pytest.raises(Misshapen, match=message):
        read(values)
