"""Instruction data and dialogues become turns; a record that cannot says why; ids of people are kept as hashes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from danlu.core.errors import DataError
from danlu.data.config import SourceConfig
from danlu.data.identity import IdentityKey
from danlu.data.reader import Input, Tally, read_sources
from danlu.data.rows import Columns
from danlu.data.tables import Rejects
from danlu.sources.shapes import Speakers

KEY = IdentityKey(b"a key that is not secret")


def read(
    folder: Path, name: str, content: str, **columns: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Tally]:
    path = folder / name
    folder.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")
    rejects = Rejects(folder / "rejected", folder / "scratch")
    tallies, _ = read_sources(
        [Input(position=0, path=path, digest="d", config=SourceConfig(path=name))],
        columns=Columns(**{"text": "text", "shapes": True, "key": KEY, **columns}),
        max_bad_rows=5,
        out=folder / "raw",
        rejects=rejects,
        advance=lambda _: None,
    )
    rejects.close()
    rows = pq.read_table(folder / "raw").sort_by("place").to_pylist()
    return rows, pq.read_table(folder / "rejected").sort_by("origin").to_pylist(), tallies[0]


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def test_shapes_and_documents_in_one_file(tmp_path: Path) -> None:
    rows, _, tally = read(
        tmp_path,
        "mixed.jsonl",
        lines(
            {"instruction": "Add", "input": "1 and 2", "output": "3"},
            {"text": "a plain document"},
            {"prompt": "best?", "chosen": "this", "rejected": "that"},
            {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}]},
        ),
    )
    assert [row["text"] for row in rows] == ["Add\n1 and 2\n3", "a plain document", "best?\nthis"]
    assert [row["parts"] for row in rows] == [["Add\n1 and 2", "3"], None, ["best?", "this"]]
    assert [row["roles"] for row in rows] == [["user", "assistant"], None, ["user", "assistant"]]
    assert [row["learn"] for row in rows] == [[False, True], None, [False, True]]
    assert [row["rejected"] for row in rows] == [None, None, "that"]
    # An answer without text leaves nothing to learn.
    assert dict(tally.dropped) == {"no_text": 1}


def test_a_table_of_instructions(tmp_path: Path) -> None:
    rows, _, _ = read(tmp_path, "qa.csv", "question,answer\nHow long?,Two days.\n")
    assert rows[0]["parts"] == ["How long?", "Two days."]


def test_without_shapes_the_text_column_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'text'"):
        read(tmp_path, "qa.csv", "question,answer\nHow long?,Two days.\n", shapes=False)


def test_a_misshapen_record_is_rejected_with_its_line(tmp_path: Path) -> None:
    good = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    bad = {"messages": [{"role": "narrator", "content": "once"}]}
    _, rejected, tally = read(tmp_path, "chat.jsonl", lines(good, bad, {"messages": "[x"}))
    assert tally.bad_rows == 2
    assert rejected[0]["origin"] == "chat.jsonl:2"
    assert "unknown speaker 'narrator'" in rejected[0]["reason"]
    assert "messages" in rejected[1]["reason"]


@pytest.mark.parametrize("who", ["13800138000", "王小明", "张三", "Mary", "John Smith", "jo.bloggs@example.com"])
def test_a_message_does_not_tell_who_spoke(tmp_path: Path, who: str) -> None:
    turns = [{"role": who, "content": "hi"}, {"role": "assistant", "content": "hello"}]
    broken = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": {"a": 1}}]
    speakers = Speakers(names={who: "user"})
    _, rejected, _ = read(tmp_path, "chat.jsonl", lines({"messages": turns}, {"messages": broken}))
    assert all(who not in row["reason"] for row in rejected)
    assert "unknown speaker '[" in rejected[0]["reason"]
    assert "'assistant' holds a dict" in rejected[1]["reason"]
    with pytest.raises(DataError) as caught:
        read(tmp_path / "many", "chat.jsonl", lines(*[{"messages": turns}] * 6))
    assert who not in str(caught.value)
    rows, _, _ = read(tmp_path / "named", "chat.jsonl", lines({"messages": turns}), speakers=speakers)
    assert len(rows) == 1


DIALOGUES = """conversation,who,text,customer
a,客户,手机坏了,c1
a,客服,请寄回,c1
b,客户,多久到,c2
b,客服,两天,c2
a,客户,好的,c1
,客户,没有编号,c3
"""


def test_turns_of_a_row_each_are_joined(tmp_path: Path) -> None:
    rows, rejected, tally = read(
        tmp_path,
        "dialogues.csv",
        DIALOGUES,
        conversation="conversation",
        speaker="who",
        subject="customer",
    )
    assert [row["parts"] for row in rows] == [["手机坏了", "请寄回"], ["多久到", "两天"]]
    assert [row["origin"] for row in rows] == ["dialogues.csv:2", "dialogues.csv:4"]
    assert [row["subject"] for row in rows] == [KEY.name("c1"), KEY.name("c2")]
    assert [row["conversation"] for row in rows] == [KEY.name("a"), KEY.name("b")]
    assert rejected[0]["reason"] == "broken: its conversation came before; sort the file by conversation"
    assert rejected[1]["reason"] == "broken: column 'conversation' names no conversation"
    assert tally.rows == 4


def test_turns_without_conversation_are_never_joined(tmp_path: Path) -> None:
    turn = {"who": "customer", "text": "hello", "chat": "a"}
    rows, rejected, tally = read(
        tmp_path,
        "turns.jsonl",
        lines(
            turn,
            {"who": "agent", "text": "yes?", "chat": "a"},
            {"who": "customer", "text": "I am Zhang", "chat": None},
            {"who": "agent", "text": "your balance is 7", "chat": " "},
            {"who": "customer", "text": "I am Li", "chat": ""},
            {"text": "who says this?", "chat": "b"},
        ),
        conversation="chat",
        speaker="who",
    )
    assert [row["text"] for row in rows] == ["hello\nyes?"]
    assert [row["reason"] for row in rejected] == [
        *["broken: column 'chat' names no conversation"] * 3,
        "broken: no column 'who'",
    ]
    assert tally.rows == len(rows) + len(rejected)


def test_no_id_of_a_conversation_is_told(tmp_path: Path) -> None:
    said = [
        {"who": who, "text": "hello", "chat": chat}
        for chat in ("13800138000", "b", "13800138000")
        for who in ("user", "agent")
    ]
    _, rejected, _ = read(tmp_path, "turns.jsonl", lines(*said), conversation="chat", speaker="who")
    assert len(rejected) == 2
    assert "13800138000" not in "".join(row["reason"] for row in rejected)


def test_ids_are_hashed_and_times_kept(tmp_path: Path) -> None:
    rows, _, _ = read(
        tmp_path,
        "rows.jsonl",
        lines({"text": "a", "who": " 张三 ", "when": "2024-03-01"}, {"text": "b", "who": None, "when": ""}),
        subject="who",
        time="when",
    )
    assert [(row["subject"], row["time"]) for row in rows] == [(KEY.name("张三"), "2024-03-01"), (None, None)]
    assert len(KEY.name("张三")) == 16


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'custmer'.*Did you mean 'customer'"):
        read(tmp_path, "dialogues.csv", DIALOGUES, subject="custmer")
