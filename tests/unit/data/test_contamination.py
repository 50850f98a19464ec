"""Contamination against brute force: every shared run and near duplicate, in whatever order rows come."""

from __future__ import annotations

import random
import re
import time

import pytest

from danlu.data.contamination import (
    HAN_GRAM,
    LEAST_HAN_GRAM,
    LEAST_WORD_GRAM,
    NEAR,
    NGRAM,
    WORD_GRAM,
    Report,
    contamination,
    passage,
)
from danlu.metrics.shingles import unit_hashes, unit_spans

WORDS = [f"word{number}" for number in range(3_000)]
HAN = [chr(0x4E00 + number) for number in range(2_000)]
BATCHES = (1, 7, 1_000)


def sentence(draw: random.Random, pool: list[str], count: int) -> list[str]:
    return [draw.choice(pool) for _ in range(count)]


def brute_force(train: list[str], reference: list[str]) -> set[int]:
    """Reference rows with a run of units in common with a training row, by sets of tuples."""

    def units(text: str) -> list[str]:
        return re.findall(r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+", text.lower())

    def runs(text: list[str], size: int) -> set[tuple[str, ...]]:
        return {tuple(text[start : start + size]) for start in range(len(text) - size + 1)}

    found = set()
    for row, text in enumerate(reference):
        own = units(text)
        han = 2 * sum(re.match("[\u4e00-\u9fff]", unit) is not None for unit in own) >= len(own)
        most, least = (HAN_GRAM, LEAST_HAN_GRAM) if han else (WORD_GRAM, LEAST_WORD_GRAM)
        size = min(most, len(own))
        if size >= least and any(runs(own, size) & runs(units(other), size) for other in train):
            found.add(row)
    return found


def texts(seed: int) -> tuple[list[str], list[str]]:
    """Training texts of which some quote reference rows: whole, in part, just enough or just too little."""
    draw = random.Random(seed)
    train, reference = [], []
    for number in range(60):
        pool, join = (WORDS, " ") if number % 2 else (HAN, "")
        size = WORD_GRAM if number % 2 else HAN_GRAM
        own = sentence(draw, pool, draw.randrange(5, 60))
        reference.append(join.join(own))
        quoted = own[: draw.choice([0, size - 1, size, size + 1, len(own)])]
        around = sentence(draw, pool, 40)
        train.append(join.join([*around[:20], *quoted, *around[20:]]))
    return train, reference


def in_batches(rows: list[str], count: int) -> list[list[str]]:
    return [rows[start : start + count] for start in range(0, len(rows), count)]


def test_rows_are_those_of_brute_force() -> None:
    train, reference = texts(1)
    expected = brute_force(train, reference)
    assert 10 < len(expected) < 55
    found = contamination(in_batches(train, 16), in_batches(reference, 16))
    assert set(found.contaminated.tolist()) == expected
    assert found.rows == found.ngram == len(expected)
    assert found.share == len(expected) / len(reference)
    assert {row for row in range(60) if brute_force([train[row]], reference)} == set(found.train_rows.tolist())


def by_text(found: Report, train: list[str], reference: list[str]) -> list[tuple[str, str, str, float, str]]:
    return [
        (reference[example.reference_row], train[example.train_row], example.kind, example.covered, example.passage)
        for example in found.examples
    ]


def test_order_and_batches_do_not_matter() -> None:
    train, reference = texts(2)
    train += train[:20]
    straight = contamination([train], [reference], examples=7)
    assert len(straight.examples) == 7
    draw = random.Random(3)
    for size in BATCHES:
        others, rows = draw.sample(train, len(train)), draw.sample(reference, len(reference))
        found = contamination(in_batches(others, size), in_batches(rows, size), examples=7)
        assert (found.rows, found.near, found.ngram) == (straight.rows, straight.near, straight.ngram)
        assert {rows[row] for row in found.contaminated} == {reference[row] for row in straight.contaminated}
        assert {others[row] for row in found.train_rows} == {train[row] for row in straight.train_rows}
        assert by_text(found, others, rows) == by_text(straight, train, reference)


def test_near_duplicates_count_where_no_run_is_long_enough() -> None:
    found = contamination([["nothing alike", "GREAT value, really!"]], [["great  value really", "something else"]])
    assert (found.rows, found.near, found.ngram) == (1, 1, 0)
    assert found.share == 0.5
    [example] = found.examples
    assert (example.reference_row, example.train_row, example.kind) == (0, 1, NEAR)
    assert example.passage == "great  value really"
    assert example.covered == 0.0


def test_an_example_shows_what_both_have_in_common() -> None:
    draw = random.Random(4)
    shared = sentence(draw, WORDS, 15)
    reference = " ".join(["before", *shared]) + ", after this and that"
    train = "Elsewhere: " + ", ".join(word.upper() for word in shared) + "; and so on"
    found = contamination([["other", train]], [[reference]])
    [example] = found.examples
    assert (example.kind, example.train_row) == (NGRAM, 1)
    assert example.passage == " ".join(shared)
    # Of the 20 units 8 runs of 13 can be made; the first and the last 5 have others in them.
    assert example.covered == pytest.approx(3 / 8)
    assert passage("a b", "a b") == ""


def test_empty_rows_and_nothing_at_all() -> None:
    assert contamination([], []).share == 0.0
    found = contamination([["", "!!!"]], [["", "???"]])
    assert (found.reference_rows, found.rows, found.near) == (2, 1, 1)
    assert contamination([], [["a"]]).rows == 0
    with pytest.raises(ValueError, match="threshold is 2"):
        contamination([], [["a"]], threshold=2)


def test_spans_are_those_of_units() -> None:
    for text in ["", "Mixed 中文 and English，words 混在一起!", "a1 b_c  d", "😀好😀", "…"]:
        spans = unit_spans(text)
        assert len(spans) == unit_hashes([text])[1][-1]
        assert all(text[start:end].strip() == text[start:end] != "" for start, end in spans)


def test_a_template_in_every_row_costs_no_more_than_the_rows() -> None:
    template = " ".join(WORDS[:20])
    texts = [f"{template} {' '.join(sentence(random.Random(row), WORDS, 20))}" for row in range(3_000)]
    start = time.process_time()
    report = contamination([texts[:1_000]], [texts[1_000:]], examples=3)
    # Each row with each other one was sixteen million pairs and half a minute.
    assert time.process_time() - start < 5.0
    assert (report.rows, report.near, len(report.train_rows), len(report.examples)) == (2_000, 0, 1_000, 3)
    assert {example.passage for example in report.examples} == {template}


def test_what_an_example_shows_is_masked() -> None:
    text = "Call 13800138000 or write to li.ming@example.com about the blue kettle and the lamp."
    (example,) = contamination([[text]], [[text]]).examples
    assert example.passage == "Call [PHONE] or write to [EMAIL] about the blue kettle and the lamp."
