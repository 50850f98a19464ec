"""A corpus that extends another: no row moves, and what would join two sides is turned away and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from danlu.core.errors import DataError, UserError
from danlu.core.resource import Site, _locate
from danlu.core.store import write_json_atomically
from danlu.data.earlier import SIDES
from tests.unit.data.test_stage import PARTS, card_of, distinct, make, rows_of, write


def parts(out: Path) -> dict[str, str]:
    return {row["content"]: part for part in PARTS for row in rows_of(out, part)}


def extended(folder: Path, paths: list[Path], earlier: Path, **data: Any) -> Any:
    files = {"data.extends": earlier / SIDES}
    return make(folder, paths, files=files, extends="corpus://before", **data)


def test_no_row_moves_though_the_new_ones_come_first(tmp_path: Path) -> None:
    rows = distinct(300)
    old = write(tmp_path / "old.jsonl", rows[:200])
    new = write(tmp_path / "new.jsonl", rows[200:])
    before = parts(make(tmp_path / "1", [old]).out)
    ctx = extended(tmp_path / "2", [new, old], tmp_path / "1" / "out")
    after = parts(ctx.out)
    assert {content: after[content] for content in before} == before
    assert parts(make(tmp_path / "3", [new, old]).out) != after, "without it the new rows would have decided"
    assert card_of(ctx.out)["split"]["extends"] == {"earlier_rows": 200, "again": 200, "new": 100, "rejected": 0}
    # A third corpus without the old rows still knows where they were.
    third = extended(tmp_path / "4", [new], tmp_path / "2" / "out")
    assert pq.read_table(third.out / SIDES).num_rows == 300
    fourth = extended(tmp_path / "5", [old], tmp_path / "4" / "out")
    assert parts(fourth.out) == before


def test_a_row_like_one_in_train_and_one_in_test_is_rejected(tmp_path: Path) -> None:
    rows = distinct(200)
    old = write(tmp_path / "old.jsonl", rows)
    first = make(tmp_path / "1", [old])
    by_part = {part: [row["text"] for row in rows_of(first.out, part)] for part in PARTS}
    left, right = by_part["train"][0].split(), by_part["test"][0].split()
    talks = [
        {"text": " ".join(left[:3]) + " and more of it", "label": "good", "talk": "a"},
        {"text": " ".join(right[:3]) + " and other things", "label": "good", "talk": "b"},
    ]
    # Nearly equal to a row of each side: the two halves are joined by a conversation that both belong to.
    bridge = [{"text": by_part["train"][0] + " x", "label": "good", "talk": "c"}]
    bridge += [{"text": by_part["test"][0] + " y", "label": "good", "talk": "c"}]
    new = write(tmp_path / "new.jsonl", talks + bridge)
    again = write(tmp_path / "again.jsonl", [{**row, "talk": ""} for row in rows])
    ctx = extended(
        tmp_path / "2", [new, again], tmp_path / "1" / "out", conversation="talk", duplicates={"threshold": 0.6}
    )
    assert {content: part for content, part in parts(ctx.out).items() if content in parts(first.out)} == parts(
        first.out
    )
    gone = [row for row in rows_of(ctx.out, "rejected") if row["reason"] == "bridges_split"]
    assert len(gone) >= 1
    assert card_of(ctx.out)["split"]["extends"]["rejected"] == len(gone)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(60)), cut=st.integers(25, 45), subjects=st.integers(5, 20))
def test_whatever_is_added_in_whatever_order_no_old_row_moves(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cut: int, subjects: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    rows = [{**row, "who": f"p{number % subjects}"} for number, row in enumerate(distinct(60, seed=cut))]
    first = make(folder / "1", [write(folder / "a.jsonl", rows[:cut])], subject="who")
    ctx = extended(
        folder / "2", [write(folder / "b.jsonl", [rows[n] for n in order])], folder / "1" / "out", subject="who"
    )
    before, after = parts(first.out), parts(ctx.out)
    assert {content: after[content] for content in before} == before


@pytest.mark.parametrize("made", ["text", "table", "folder"])
def test_what_is_no_earlier_corpus_is_told(made: str, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    if made == "text":
        path.write_text("no parquet")
    elif made == "table":
        pq.write_table(pa.table({"text": ["a"]}), path)
    else:
        (path / "train").mkdir(parents=True)
        (path / "train" / "a.txt").write_text("no parquet either")
    rows = write(tmp_path / "rows.jsonl", distinct(40))
    with pytest.raises(DataError, match=r"data\.extends leads to 'x\.parquet'"):
        make(tmp_path / "out", [rows], files={"data.extends": path}, extends="x.parquet")


def test_the_corpus_of_a_run_is_found_by_its_name(tmp_path: Path) -> None:
    space = tmp_path / ".danlu"
    folder = space / "artifacts" / "data" / "abc"
    folder.mkdir(parents=True)
    (folder / SIDES).touch()
    stages = [{"stage": "data", "folder": "artifacts/data/abc"}]
    write_json_atomically(space / "runs" / "reviews" / "20261101T0.json", {"stages": stages})
    write_json_atomically(space / "runs" / "reviews" / "20261102T0.json", {"stages": [{"stage": "plan"}]})
    site = Site(base=tmp_path, workspace=space)
    assert _locate("corpus://reviews", site) == folder / SIDES
    with pytest.raises(UserError, match="Did you mean corpus://reviews"):
        _locate("corpus://review", site)
    with pytest.raises(UserError, match="no workspace"):
        _locate("corpus://reviews", Site(base=tmp_path))


@pytest.mark.parametrize("then", ["columns", "pair"])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_text_stays_where_it_was_whatever_stands_beside_it_now(tmp_path: Path, then: str, backwards: bool) -> None:
    rows = [row | {"amount": number} for number, row in enumerate(distinct(200))]
    others = distinct(200, seed=2)
    for row, other in zip(rows, others, strict=True):
        row["pair"] = other["text"]
    path = write(tmp_path / "rows.jsonl", rows)
    beside: dict[str, Any] = {"columns": {"numeric": ["amount"]}} if then == "columns" else {"pair": "pair"}
    first, second = (beside, {}) if backwards else ({}, beside)
    before = make(tmp_path / "1", [path], **first).out
    after = extended(tmp_path / "2", [path], tmp_path / "1" / "out", **second).out
    where = {row["text"]: part for part in PARTS for row in rows_of(before, part)}
    moved = [row for part in PARTS for row in rows_of(after, part) if where[row["text"]] != part]
    assert not moved
    assert sum(len(rows_of(after, part)) for part in PARTS) == 200
    assert not [warning for warning in card_of(after)["warnings"] if "data.extends" in warning]


def test_a_corpus_of_an_earlier_danlu_is_told_to_know_less(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", distinct(100))
    before = make(tmp_path / "1", [path]).out
    table = pq.read_table(before / SIDES).drop_columns(["first", "second"])
    pq.write_table(table, before / SIDES)
    after = extended(tmp_path / "2", [path], before).out
    assert parts(after) == parts(before)
    assert [warning for warning in card_of(after)["warnings"] if "an earlier Danlu made it" in warning]
