"""Pairs of texts: read from columns and from instruction data, and no text on two sides of the split."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danlu.data.config import NearConfig
from danlu.data.linked import find
from danlu.data.pairs import find_groups, is_paired, read_groups, texts_of
from danlu.data.rows import NO_PAIR, Columns, Unusable, read_text
from tests.unit.data.test_stage import PARTS, card_of, make, rows_of, write

WORDS = [
    "kettle",
    "lamp",
    "chair",
    "phone",
    "coat",
    "book",
    "pan",
    "bike",
    "clock",
    "bag",
    "desk",
    "cup",
    "boat",
    "tent",
]


def sentence(draw: random.Random) -> str:
    return " ".join(f"{draw.choice(WORDS)}{draw.randrange(1000)}" for _ in range(8))


def pairs(count: int, seed: int = 1) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [{"text": sentence(draw), "pair": sentence(draw)} for _ in range(count)]


def sides(rows: list[dict[str, Any]]) -> set[str]:
    return {row[name] for row in rows for name in ("text", "pair")}


def test_a_corpus_of_pairs_has_both_texts_masked_and_cleaned(tmp_path: Path) -> None:
    rows = pairs(60)
    rows[0] = {"text": "mail  me: anna@example.com", "pair": "or  call 13912345678 today"}
    rows += [dict(rows[5]), {"text": "no counterpart", "pair": "  "}]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], task="embed")
    kept = [row for part in PARTS for row in rows_of(ctx.out, part)]
    assert len(kept) == 60
    assert not {"turns", "label", "rejected"} & set(kept[0])
    masked = next(row for row in kept if row["text"].startswith("mail me"))
    assert "anna" not in masked["text"]
    assert "139" not in masked["pair"]
    assert sides(kept) >= sides(rows[1:6])
    card = card_of(ctx.out)
    assert card["duplicates"]["exact_dropped"] == 1
    assert card["leaked_rows"] == 0
    assert sum(step["dropped"].get(NO_PAIR, 0) for step in card["funnel"]) == 1


def test_other_columns_and_instruction_data_give_the_same_pairs(tmp_path: Path) -> None:
    rows = pairs(40)
    forms = {
        "columns": ([{"q": row["text"], "a": row["pair"]} for row in rows], {"text": "q", "pair": "a"}),
        "prompt": ([{"prompt": row["text"], "completion": row["pair"]} for row in rows], {}),
        "alpaca": ([{"instruction": row["text"], "output": row["pair"]} for row in rows], {}),
    }
    found = {}
    for name, (records, data) in forms.items():
        ctx = make(tmp_path / name, [write(tmp_path / f"{name}.jsonl", records)], task="embed", **data)
        found[name] = {(row["text"], row["pair"]) for part in PARTS for row in rows_of(ctx.out, part)}
    assert found["columns"] == found["prompt"] == found["alpaca"] == {(row["text"], row["pair"]) for row in rows}


def test_of_a_conversation_the_first_question_and_its_answer_are_the_pair() -> None:
    columns = Columns(text="text", pair="pair", shapes=True)
    turns = [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "and then?"), ("assistant", "d")]
    record = {"messages": [{"role": role, "content": text} for role, text in turns]}
    assert read_text(record, columns)["parts"] == ["a", "b"]
    with pytest.raises(Unusable) as caught:
        read_text({"messages": [{"role": "assistant", "content": "hello"}]}, columns)
    assert caught.value.kind == NO_PAIR


def test_no_text_of_a_pair_is_in_two_parts_whichever_side_it_is_on(tmp_path: Path) -> None:
    draw = random.Random(4)
    rows = pairs(150, seed=4)
    for number in range(0, 150, 5):
        other = draw.randrange(150)
        rows.append({"text": rows[number]["text"], "pair": sentence(draw)})
        rows.append({"text": sentence(draw), "pair": rows[other]["pair"]})
        # The text that was looked for is now what is searched with, and nearly so.
        rows.append({"text": rows[number + 1]["pair"], "pair": sentence(draw)})
        rows.append({"text": rows[number + 2]["pair"] + " it", "pair": sentence(draw)})
    draw.shuffle(rows)
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], task="embed")
    parts = {part: rows_of(ctx.out, part) for part in PARTS}
    assert all(parts.values())
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        first, second = sides(parts[one]), sides(parts[other])
        assert not first & second
        assert not {text.removesuffix(" it") for text in first} & {text.removesuffix(" it") for text in second}
    assert sum(map(len, parts.values())) > 200
    assert card_of(ctx.out)["leaked_rows"] == 0


def test_groups_number_texts_of_both_sides_together(tmp_path: Path) -> None:
    a, b, c = (sentence(random.Random(seed)) for seed in (1, 2, 3))
    rows = [{"text": a, "pair": b}, {"text": b, "pair": c}, {"text": c + " x", "pair": sentence(random.Random(4))}]
    rows += pairs(30, seed=9)
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], task="embed")
    texts = ctx.inputs["clean"] / "texts"
    assert is_paired(texts)
    spelt = [text for _, some in texts_of(texts) for text in some]
    place = {text: number for number, text in enumerate(spelt)}
    near = find_groups(texts, NearConfig(), lambda _: None).groups.ravel()
    written = read_groups(ctx.inputs["duplicates"] / "pair_texts.parquet")
    assert written is not None
    assert np.array_equal(written.groups.ravel(), near)
    equal = find_groups(texts, NearConfig(near=False), lambda _: None).groups.ravel()
    numbers = [number for number, text in enumerate(spelt) if text == b]
    assert len(numbers) == 2
    for groups in (near, equal):
        assert groups[numbers[0]] == groups[numbers[1]] != groups[place[a]]
    assert near[place[c]] == near[place[c + " x"]]
    assert equal[place[c]] != equal[place[c + " x"]]


def test_a_text_of_an_earlier_pair_stays_where_it_was_though_the_pair_is_gone(tmp_path: Path) -> None:
    draw = random.Random(60)
    old = pairs(150, seed=6)
    before = make(tmp_path / "before", [write(tmp_path / "before.jsonl", old)], task="embed")
    part_of = {text: part for part in PARTS for row in rows_of(before.out, part) for text in sides([row])}
    # The old rows are here no more: each new one has a text of theirs, on the same side or on the other.
    new = [{"text": row["pair"], "pair": sentence(draw)} for row in old[:75]]
    new += [{"text": sentence(draw), "pair": row["pair"]} for row in old[75:]]
    trained = next(row for row in old if part_of[row["text"]] == "train")
    tested = next(row for row in old if part_of[row["text"]] == "test")
    new.append({"text": trained["text"], "pair": tested["text"]})
    files = {"data.extends": before.out / "sides.parquet"}
    path = write(tmp_path / "new.jsonl", new)
    after = make(tmp_path / "after", [path], task="embed", files=files, extends="corpus://before")
    for part in PARTS:
        for row in rows_of(after.out, part):
            assert {part_of.get(text, part) for text in sides([row])} == {part}
    extends = card_of(after.out)["split"]["extends"]
    assert extends == {"earlier_rows": 150, "again": 0, "new": 151, "rejected": 1}


def test_a_benchmark_is_looked_for_in_both_texts_of_a_pair_and_in_each_turn(tmp_path: Path) -> None:
    draw = random.Random(80)
    rows = pairs(60, seed=8)
    turns = [sentence(draw) for _ in range(4)]
    talks = [
        {"messages": [{"role": "user", "content": f"{sentence(draw)} {n}"}, answer(sentence(draw))]} for n in range(60)
    ]
    talks += [
        {"messages": [{"role": "user", "content": turns[n]}, answer(f"{sentence(draw)} {sentence(draw)}")]}
        for n in range(4)
    ] * 5
    # Short of a run of 13 words each, and less than half of what all turns are together.
    for name, records, task, wanted in (
        ("pairs", rows, "embed", rows[7]["pair"]),
        ("talks", talks, "generate", turns[2]),
    ):
        examination = write(tmp_path / f"{name}-exam.jsonl", [{"text": wanted + "!"}, {"text": sentence(draw)}])
        ctx = make(
            tmp_path / name,
            [write(tmp_path / f"{name}.jsonl", records)],
            task=task,
            files={"data.contamination[0].path": examination},
            contamination=[{"path": str(examination)}],
            split={"validation": 0.02, "test": 0.02},
        )
        trained = [row for row in rows_of(ctx.out, "train") if wanted in said(row)]
        found = card_of(ctx.out)["contamination"][0]
        assert found["near"] == bool(trained)
        assert found["train_rows"] == len(trained)
        assert [example["train"] for example in found["examples"]] == [row["id"] for row in trained[:1]]
        assert trained


def answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def said(row: dict[str, Any]) -> list[str]:
    return [row["text"], row.get("pair"), *(turn["text"] for turn in row.get("turns") or ())]


def test_a_row_may_have_several_keys_of_one_kind() -> None:
    none = np.zeros((0, 2), dtype=np.int64)
    texts = np.arange(6)
    two = np.array([[0, 1], [2, 3], [3, 4], [5, 6], [7, 5], [8, 8]])
    linked, first = find([texts, two], none)
    assert linked.rows.tolist() == [1, 2, 3, 4, 5]
    assert linked.component.tolist() == [0, 0, 1, 1, 2]
    assert first.tolist() == [True, True, False, True, False, True]


def test_a_source_without_the_other_text_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,other\n" + "a b c,d e f\n" * 30, encoding="utf-8")
    from danlu.core.errors import DataError

    with pytest.raises(DataError, match="pair"):
        make(tmp_path, [path], task="embed")
