"""What stands beside a text: pairs for tasks with labels, and columns with numbers and categories."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from pydantic import ValidationError

from danlu.core.errors import DataError
from danlu.data.columns.config import ColumnsConfig
from danlu.data.config import DataConfig
from danlu.sources.cells import read_cells
from tests.unit.data.test_pairs import pairs, sentence
from tests.unit.data.test_stage import PARTS, card_of, make, rows_of, write

COLUMNS = {"numeric": ["amount", "age"], "categorical": ["channel"]}
TARGETS: dict[str, tuple[str, Callable[[int], Any]]] = {
    "classify": ("label", lambda n: ["good", "bad"][n % 2]),
    "tag": ("labels", lambda n: [["good"], ["good", "late"], ["bad"]][n % 3]),
    "regress": ("value", lambda n: float(n % 5)),
}


def kept_in(out: Path) -> list[dict[str, Any]]:
    return [row | {"part": part} for part in PARTS for row in rows_of(out, part)]


@pytest.mark.parametrize("task", list(TARGETS))
def test_a_pair_is_kept_beside_its_answer_and_no_text_of_it_straddles(tmp_path: Path, task: str) -> None:
    column, answer = TARGETS[task]
    draw = random.Random(4)
    rows = [row | {"label": answer(n)} for n, row in enumerate(pairs(90))]
    for number in range(0, 90, 5):
        # Searched with before, now what belongs to another text; and the same text with another pair.
        rows.append({"text": sentence(draw), "pair": rows[number]["text"], "label": answer(number)})
        rows.append({"text": rows[number + 1]["text"], "pair": sentence(draw), "label": answer(number)})
    rows[0] |= {"text": "mail  me: anna@example.com", "pair": "or  call 13912345678 today"}
    rows.append({"text": "alone in the world", "pair": " ", "label": answer(0)})
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], task=task, pair="pair")
    kept = kept_in(ctx.out)
    asked = {(row["text"], row["pair"]): row["label"] for row in rows}
    for row in kept:
        if "me:" not in row["text"]:
            assert row[column] == asked[row["text"], row["pair"]]
    masked = next(row for row in kept if row["text"].startswith("mail me"))
    assert "anna" not in masked["text"]
    assert "139" not in masked["pair"]
    parts: dict[str, set[str]] = {}
    for row in kept:
        for name in ("text", "pair"):
            parts.setdefault(row[name], set()).add(row["part"])
    assert all(len(found) == 1 for found in parts.values())
    assert len({row["part"] for row in kept}) == 3
    assert card_of(ctx.out)["leaked_rows"] == 0
    assert sum(step["dropped"].get("no_pair", 0) for step in card_of(ctx.out)["funnel"]) == 1


def test_without_a_pair_in_the_recipe_a_column_of_that_name_is_nothing(tmp_path: Path) -> None:
    rows = [row | {"label": ["good", "bad"][n % 2]} for n, row in enumerate(pairs(60))]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)])
    assert not {"pair", "numbers", "categories"} & set(kept_in(ctx.out)[0])


def told(count: int) -> list[dict[str, Any]]:
    draw = random.Random(2)
    channels = ("app", "web", "shop")
    return [
        {
            "text": sentence(draw),
            "label": ["good", "bad"][n % 2],
            "amount": n + 0.5,
            "age": n,
            "channel": channels[n % 3],
        }
        for n in range(count)
    ]


def test_columns_are_kept_by_name_and_a_missing_cell_is_not_there(tmp_path: Path) -> None:
    rows = told(80)
    rows[0] |= {"amount": None, "channel": ""}
    rows[1] |= {"amount": " 1e3 ", "age": "42"}
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], columns=COLUMNS)
    kept = {row["text"]: row for row in kept_in(ctx.out)}
    assert len(kept) == 80
    for row in rows[2:]:
        found = kept[row["text"]]
        assert dict(found["numbers"]) == {"amount": row["amount"], "age": float(row["age"])}
        assert dict(found["categories"]) == {"channel": row["channel"]}
    assert dict(kept[rows[0]["text"]]["numbers"]) == {"age": 0.0}
    assert dict(kept[rows[0]["text"]]["categories"]) == {}
    assert dict(kept[rows[1]["text"]]["numbers"]) == {"amount": 1000.0, "age": 42.0}
    schema = parquet.read_schema(next((ctx.out / "train").glob("*.parquet")))
    assert (schema.field("numbers").type.key_type, schema.field("numbers").type.item_type) == (
        pa.string(),
        pa.float64(),
    )


def test_a_bad_number_is_rejected_with_its_place_and_not_told(tmp_path: Path) -> None:
    rows = told(60)
    rows[3]["amount"], rows[4]["age"], rows[5]["channel"] = "secret-7", [1], "x" * 201
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], columns=COLUMNS)
    rejected = {row["origin"]: row["reason"] for row in rows_of(ctx.out, "rejected")}
    assert rejected["rows.jsonl:4"] == "broken: column 'amount' holds no number such as 4.5, nor is it empty"
    assert rejected["rows.jsonl:5"] == "broken: column 'age' holds a list; expected a number"
    assert "201 characters" in rejected["rows.jsonl:6"]
    assert "secret" not in json.dumps(rejected)
    assert len(kept_in(ctx.out)) == 57


def test_a_column_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="amount2"):
        make(tmp_path, [write(tmp_path / "rows.jsonl", told(60))], columns={"numeric": ["amount2"]})


def test_equal_texts_beside_other_cells_are_other_questions_on_one_side(tmp_path: Path) -> None:
    rows = told(60)
    rows += [{**row, "amount": row["amount"] + 100, "label": "bad"} for row in rows[:20]]
    rows.append(dict(rows[0]))
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], columns=COLUMNS)
    kept = kept_in(ctx.out)
    assert len(kept) == 80  # the very same row twice is one
    parts: dict[str, set[str]] = {}
    for row in kept:
        parts.setdefault(row["text"], set()).add(row["part"])
    assert all(len(found) == 1 for found in parts.values())
    assert card_of(ctx.out)["leaked_rows"] == 0


def test_pairs_and_columns_go_together(tmp_path: Path) -> None:
    rows = [row | other for row, other in zip(told(60), pairs(60, seed=9), strict=True)]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], columns=COLUMNS, pair="pair")
    kept = kept_in(ctx.out)
    assert {row["pair"] for row in kept} == {row["pair"] for row in rows}
    assert all(set(dict(row["numbers"])) == {"amount", "age"} for row in kept)


def test_cells_are_read_as_files_have_them() -> None:
    config = ColumnsConfig(numeric=["a"], categorical=["b"])
    assert read_cells({"a": 3, "b": 7}, config.numeric, config.categorical) == '{"a": 3.0, "b": "7"}'
    assert read_cells({"a": "nan", "b": None}, config.numeric, config.categorical) == "{}"
    for cell in ("inf", "x", True, [1]):
        with pytest.raises(ValueError, match="column 'a'"):
            read_cells({"a": cell, "b": "c"}, config.numeric, config.categorical)


@pytest.mark.parametrize(
    ("columns", "more", "said"),
    [
        ({"numeric": []}, {}, "at least one column"),
        ({"numeric": ["a"], "categorical": ["a"]}, {}, "named twice"),
        ({"numeric": ["text"]}, {}, "which is data.text"),
        ({"categorical": ["label"]}, {}, "which is data.label"),
        ({"numeric": ["a"]}, {"duplicates": {"near": False}}, "needs duplicates.near"),
    ],
)
def test_columns_that_make_no_sense_are_refused(columns: dict[str, Any], more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DataConfig.model_validate({"sources": [{"path": "a.csv", "licence": "CC0-1.0"}], "columns": columns, **more})


def test_the_card_tells_what_stands_beside_the_texts(tmp_path: Path) -> None:
    rows = [row | {"who": f"customer {n}", "empty": None} for n, row in enumerate(told(80))]
    rows[0]["amount"] = None
    columns = {"numeric": ["amount", "empty"], "categorical": ["channel", "who"]}
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], columns=columns)
    card = card_of(ctx.out)
    train = rows_of(ctx.out, "train")
    assert card["columns"] == columns
    assert card["cells"]["amount"]["rows"] == len(train)
    amounts = [dict(row["numbers"])["amount"] for row in train if row["numbers"]]
    assert card["cells"]["amount"]["numbers"]["most"] == max(amounts)
    assert sum(card["cells"]["channel"]["most"].values()) == len(train)
    assert card["cells"]["who"]["most"] == {}  # a value of one row is nobody's to see
    told_of = " ".join(card["warnings"])
    assert "the column 'empty', so it can teach nothing" in told_of
    assert "'who' has" in told_of
    page = (ctx.out / "README.md").read_text(encoding="utf-8")
    assert "## Beside the texts" in page
    assert "customer 7" not in page
