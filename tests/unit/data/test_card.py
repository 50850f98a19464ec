"""The data card's numbers add up, and it says what training sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from danlu.data.card import mix_told, mix_warnings, readme, sentence
from danlu.data.page.page import page
from tests.unit.data.test_stage import card_of, distinct, make, rows_of, write


def test_rows_read_are_those_kept_and_those_dropped_each_for_a_reason(tmp_path: Path) -> None:
    rows = distinct(120)
    rows += rows[:12]
    rows += [{"text": rows[50]["text"], "label": "bad" if rows[50]["label"] == "good" else "good"}]
    rows += [{"text": "", "label": "good"}] * 3
    made = make(tmp_path, [write(tmp_path / "a.jsonl", rows)])
    card = card_of(made.out)
    assert sentence(card).startswith("136 rows read, 119 kept (")
    assert "17 dropped (12 exact duplicate, 3 no text, 2 label conflict)" in sentence(card)
    assert "136 rows read, 119 kept, 17 dropped." in page(card)


def test_rows_that_a_mix_adds_and_the_shares_it_reached_are_told(tmp_path: Path) -> None:
    rows = distinct(400)
    paths = [write(tmp_path / "large.jsonl", rows[:340]), write(tmp_path / "small.jsonl", rows[340:])]
    made = make(tmp_path / "made", paths, mix={"weights": [1.0, 3.0]})
    card = card_of(made.out)
    trained = len(rows_of(made.out, "train"))
    assert card["added"]["rows"] > 0
    assert f"{card['added']['rows']:,} rows were added to train, which has {trained:,} with them" in sentence(card)
    assert mix_told(
        card
    ) == "Mix, by rows: large.jsonl 25.0%, its rows {:g} times; small.jsonl 75.0%, its rows 4 times".format(
        card["mix"]["sources"][0]["times"]
    )
    text = readme(card)
    assert mix_told(card) in text
    assert f"rows with those added | {trained:,}" in text
    assert f"{trained:,} with them" in page(card)
    assert not card["warnings"]


def test_a_mix_that_leaves_a_whole_source_out_warns(tmp_path: Path) -> None:
    rows = distinct(200)
    paths = [write(tmp_path / "one.jsonl", rows[:100]), write(tmp_path / "two.jsonl", rows[100:])]
    card = card_of(make(tmp_path / "made", paths, mix={"weights": [1.0, 0.0]}).out)
    (warning,) = [warning for warning in card["warnings"] if "leaves out" in warning]
    assert "two.jsonl altogether: none of its" in warning


@pytest.mark.parametrize(("before", "used", "count"), [([5, 5], [5, 0], 1), ([5, 0], [5, 0], 0), ([5, 5], [1, 9], 0)])
def test_only_a_source_that_brought_rows_is_missed(before: list[int], used: list[float], count: int) -> None:
    assert len(mix_warnings(["a", "b"], before, used)) == count


def test_a_card_of_an_earlier_version_can_still_be_told() -> None:
    parts = {part: {"rows": 10, "characters": 100, "labels": {}} for part in ("train", "validation", "test")}
    card = {"funnel": [{"step": "read", "rows_in": 30, "rows_out": 30, "dropped": {}}], "splits": parts}
    assert sentence(card) == "30 rows read, 30 kept (10 train, 10 validation, 10 test); 0 dropped"
    assert mix_told(card) == ""
