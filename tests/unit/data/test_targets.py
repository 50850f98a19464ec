"""Several labels a text, and numbers: how they are read, split, counted and refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danlu.core.errors import DataError
from danlu.data.config import SplitConfig
from danlu.data.rows import Columns, Unusable, read_label
from danlu.data.split import SplitRows, assign
from danlu.data.targets import answer_told, strata
from danlu.sources.targets import Reading
from tests.unit.data.test_stage import PARTS, card_of, distinct, make, rows_of, write

TOPICS = ("delivery", "price", "quality", "service", "size")


def kept(cell: Any, task: str, **reading: Any) -> str:
    return read_label(cell, Columns(text="text", label="topic", task=task, reading=Reading(**reading)))[1]


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("物流|质量", '["物流", "质量"]'),
        ("质量| 物流 |质量|", '["物流", "质量"]'),
        (["b", "a"], '["a", "b"]'),
        ('["b", "a|c"]', '["a|c", "b"]'),
        (np.array(["b", "a"]), '["a", "b"]'),
        ([1, 2.0], '["1", "2"]'),
        ("[not json", '["[not json"]'),
    ],
)
def test_labels_come_as_lists_and_as_text(cell: Any, found: str) -> None:
    assert kept(cell, "tag", separator="|") == found


def test_without_a_separator_a_cell_is_one_label() -> None:
    assert kept("a|b", "tag") == '["a|b"]'
    assert kept("a; b", "tag", separator=";") == '["a", "b"]'


@pytest.mark.parametrize("cell", ["", " | ", [], None])
def test_a_row_without_labels_is_kept_by_choice_alone(cell: Any) -> None:
    with pytest.raises(Unusable) as error:
        kept(cell, "tag", separator="|")
    assert error.value.kind == "no_label"
    assert kept(cell, "tag", separator="|", keep_unlabelled=True) == "[]"


def test_numbers_are_numbers() -> None:
    assert [kept(cell, "regress") for cell in ("4.50", 4, " 1e-3 ", -2.5)] == ["4.5", "4.0", "0.001", "-2.5"]
    for cell in ("four", "inf", "4,5"):
        with pytest.raises(Unusable, match=r"column 'topic' holds no number such as 4\.5; what is there is built"):
            kept(cell, "regress")
    with pytest.raises(Unusable) as error:
        kept("", "regress")
    assert error.value.kind == "no_label"
    with pytest.raises(Unusable, match="column 'topic' holds a dict; expected labels"):
        kept({"a": 1}, "tag")


def test_the_split_keeps_the_shares_of_rare_labels_and_of_pairs() -> None:
    """The first 10 groups of each label are dealt out exactly: with a tenth for test, one of 10 is there."""
    draw = np.random.default_rng(0)
    names = [
        sorted({topic for place, topic in enumerate(TOPICS) if draw.random() < (0.5, 0.3, 0.1, 0.02, 0.01)[place]})
        for _ in range(1_000)
    ]
    different = sorted({str(labels): labels for labels in names})
    sets = [[label for label in TOPICS if label in one] for one in different]
    stratum = strata("tag", ['["' + '", "'.join(one) + '"]' if one else "[]" for one in sets])
    label = np.array([different.index(str(labels)) for labels in names])
    rows = SplitRows(
        place=np.arange(1_000),
        content=draw.integers(0, 2**63, 1_000).astype(np.uint64),
        text=np.arange(1_000),
        label=label,
        members=stratum.members,
    )
    found = assign(rows, SplitConfig(), seed=1)
    for topic in TOPICS:
        inside = np.array([topic in labels for labels in names])
        counts = [int((inside & (found.part == part)).sum()) for part in range(3)]
        assert min(counts) >= 1, (topic, counts)
        expected = inside.sum() * np.array([0.8, 0.1, 0.1])
        # The exact tenths of the opening, and beyond it what chance allows: 4 standard deviations.
        assert (np.abs(counts - expected) <= 1.5 + 4 * np.sqrt(np.maximum(expected - expected / 10, 0))).all()
    # Rows that come later move none.
    fewer = SplitRows(
        place=rows.place[:700],
        content=rows.content[:700],
        text=rows.text[:700],
        label=label[:700],
        members=stratum.members,
    )
    assert (assign(fewer, SplitConfig(), seed=1).part == found.part[:700]).all()


def test_one_label_a_row_is_split_as_for_classify() -> None:
    draw = np.random.default_rng(2)
    label = draw.integers(0, 4, 300)
    common: dict[str, Any] = {
        "place": np.arange(300),
        "content": draw.integers(0, 2**63, 300).astype(np.uint64),
        "text": np.arange(300),
        "label": label,
    }
    config = SplitConfig(folds=3)
    plain = assign(SplitRows(**common), config, seed=5)
    alone = assign(SplitRows(**common, members=[(0,), (1,), (2,), (3,)]), config, seed=5)
    assert (plain.part == alone.part).all()
    assert (plain.fold == alone.fold).all()


def tagged(count: int = 200) -> list[dict[str, Any]]:
    rows = []
    for number, row in enumerate(distinct(count)):
        labels = [topic for place, topic in enumerate(TOPICS[:3]) if number >> place & 1]
        rows.append({"text": row["text"], "label": labels if number % 2 else "|".join(labels)})
    return rows


def test_a_corpus_of_several_labels_holds_lists_and_counts_each(tmp_path: Path) -> None:
    rows = [*tagged(), {"text": "one with a rare label, and a spelling", "label": "Price |odd"}]
    path = write(tmp_path / "rows.jsonl", rows)
    ctx = make(tmp_path, [path], task="tag", unlabelled="keep", labels={"merge": {"price": ["Price"]}})
    card = card_of(ctx.out)
    found = {row["text"]: row for part in PARTS for row in rows_of(ctx.out, part)}
    assert len(found) == 201
    for row in rows[:-1]:
        given = row["label"].split("|") if isinstance(row["label"], str) else row["label"]
        assert found[row["text"]]["labels"] == sorted(label for label in given if label)
    assert found[rows[-1]["text"]]["labels"] == ["odd", "price"]
    assert {"label", "value", "turns"}.isdisjoint(next(iter(found.values())))
    assert card["labels"] == ["delivery", "odd", "price", "quality"]
    counted = {label: sum(part["labels"].get(label, 0) for part in card["splits"].values()) for label in card["labels"]}
    assert counted == {"delivery": 100, "odd": 1, "price": 101, "quality": 100}
    assert card["relabelled"]["merged"] == 1
    assert any(
        "Labels with fewer than 10 rows can hardly be learned or tested: 'odd' (1)" in w for w in card["warnings"]
    )
    readme = (ctx.out / "README.md").read_text(encoding="utf-8")
    assert "label `quality`" in readme


def test_rows_without_a_label_are_dropped_unless_they_are_kept(tmp_path: Path) -> None:
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", tagged())], task="tag")
    assert card_of(ctx.out)["funnel"][0]["dropped"] == {"no_label": 25}


def test_equal_texts_with_other_labels_are_a_conflict_and_with_the_same_a_copy(tmp_path: Path) -> None:
    rows = tagged()
    more = [{**rows[1], "label": "price|delivery"}, {**rows[3], "label": ["price", "delivery"]}]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows + more)], task="tag", unlabelled="keep")
    dropped = {key: count for step in card_of(ctx.out)["funnel"] for key, count in step["dropped"].items()}
    assert dropped == {"label_conflict": 2, "exact_duplicate": 1}


def test_a_corpus_of_numbers_holds_numbers_and_tells_their_spread(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": number / 4} for number, row in enumerate(distinct(100))]
    rows += [{"text": "no number here at all", "label": ""}, {"text": "a word instead of one", "label": "many"}]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], task="regress")
    found = {row["text"]: row["value"] for part in PARTS for row in rows_of(ctx.out, part)}
    assert found == {row["text"]: row["label"] for row in rows[:100]}
    card = card_of(ctx.out)
    assert card["labels"] == []
    train = sorted(row["value"] for row in rows_of(ctx.out, "train"))
    values = card["splits"]["train"]["values"]
    assert values["mean"] == pytest.approx(np.mean(train), rel=1e-5)
    assert values["least"] == train[0]
    assert values["most"] == train[-1]
    assert card["funnel"][0]["dropped"] == {"broken": 1, "no_label": 1}
    assert "value, mean" in (ctx.out / "README.md").read_text(encoding="utf-8")


def test_equal_texts_with_different_numbers_are_kept_with_their_mean(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": number / 4} for number, row in enumerate(distinct(60))]
    rows += [{**row, "label": row["label"] + 1} for row in rows[:30]]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], task="regress")
    found = {row["text"]: row["value"] for part in PARTS for row in rows_of(ctx.out, part)}
    assert found == {row["text"]: row["label"] + 0.5 * (n < 30) for n, row in enumerate(rows[:60])}
    told = [warning for warning in card_of(ctx.out)["warnings"] if "more than one number" in warning]
    assert told[0].startswith("30 texts came with more than one number, in 60 rows; each is kept with their mean.")
    assert sum(step["dropped"].get("label_conflict", 0) for step in card_of(ctx.out)["funnel"]) == 0


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("tag", ["a|b"], r"All 60 usable rows have the same labels, 'a', 'b' \(from the column 'label'\)"),
        ("regress", [3], r"All 60 usable rows have the number 3 \(from the column 'label'\)"),
        ("tag", [f"topic {n}" for n in range(60)], r"has 60 different labels in 60 rows, built like 'aaaaa 9'"),
    ],
)
def test_what_cannot_be_learned_is_refused(tmp_path: Path, task: str, labels: list[Any], message: str) -> None:
    rows = [
        {"text": row["text"], "label": label} for row, label in zip(distinct(60), itertools.cycle(labels), strict=False)
    ]
    with pytest.raises(DataError, match=message):
        make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], task=task)


def test_a_separator_that_finds_nothing_is_told(tmp_path: Path) -> None:
    rows = [{**row, "label": row["label"] + "; " + "odd"} for row in distinct(60)]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], task="tag")
    assert any("No row has more than one label" in warning for warning in card_of(ctx.out)["warnings"])


def test_an_answer_in_words_is_that_of_whichever_column_the_corpus_has() -> None:
    assert answer_told({"text": "a", "label": "good"}) == "good"
    assert answer_told({"text": "a", "label": None, "turns": []}) == ""
    assert answer_told({"text": "a", "labels": ["price", "size"]}) == "price, size"
    assert answer_told({"text": "a", "labels": []}) == ""
    assert answer_told({"text": "a", "value": 0.0}) == "0"
