"""Units, runs and shingles: the same whatever else is in the batch."""

from __future__ import annotations

import itertools
import random

import numpy as np

from danlu.metrics import shingles as module
from danlu.metrics.shingles import run_hashes, shingle_sequences, shingles, unit_hashes

TEXTS = [
    "",
    "one",
    "one two three two one",
    "ONE, two; three",
    "中文和English混在一起",
    "好",
    "!!!",
    "Ünïcödé ﬁ ①",
    "a" * 300,
    "\ud800 lone",
]


def units_of(text: str) -> list[int]:
    return unit_hashes([text])[0].tolist()


def test_units_do_not_depend_on_neighbours() -> None:
    hashes, bounds, single = unit_hashes(TEXTS)
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        assert hashes[start:end].tolist() == units_of(TEXTS[number])
    assert single.tolist() == [0, 0, 0, 0, 7, 1, 0, 0, 0, 0]
    assert units_of("one two")[0] == units_of("two, ONE")[1]
    assert len({*units_of("ab ba a b aa bb abab")}) == 7


def test_runs_are_those_of_the_units() -> None:
    hashes, bounds, _ = unit_hashes(TEXTS)
    for size in (1, 2, 3, 5):
        runs, own = run_hashes(hashes, bounds, size)
        expected: dict[tuple[int, ...], int] = {}
        for number, (start, end) in enumerate(itertools.pairwise(bounds)):
            units = hashes[start:end].tolist()
            windows = [tuple(units[place : place + size]) for place in range(len(units) - size + 1)]
            values = runs[own[number] : own[number + 1]].tolist()
            assert len(values) == len(windows)
            for window, value in zip(windows, values, strict=True):
                assert expected.setdefault(window, value) == value
        assert len(set(expected.values())) == len(expected)


def test_the_size_of_parts_does_not_matter() -> None:
    draw = random.Random(1)
    texts = [" ".join(draw.choices(["alpha", "beta", "gamma", "好", "的"], k=draw.randrange(30))) for _ in range(300)]
    texts[100] = "long " * 400
    whole = [hashes for _, _, hashes, _ in shingle_sequences(texts)]
    parts = [hashes for text in texts for _, _, hashes, _ in shingle_sequences([text])]
    assert np.concatenate(whole).tolist() == np.concatenate(parts).tolist()


def test_a_text_longer_than_a_part_is_one_text() -> None:
    words = [f"w{number}" for number in range(module._CHARACTERS_AT_ONCE // 4)]
    long = " ".join(words)
    assert len(long) > module._CHARACTERS_AT_ONCE
    hashes, bounds = shingles(["short text", long, "short text"])
    assert np.diff(bounds).tolist() == [1, len(words) - 1, 1]
    assert hashes[0] == hashes[-1]
    assert (np.diff(hashes[1:-1].astype(np.int64)) > 0).all()


def test_a_shingle_is_there_once_in_a_set() -> None:
    hashes, bounds = shingles(["a b a b a b", "b a", ""])
    assert np.diff(bounds).tolist() == [2, 1, 1]
    assert hashes[2] in hashes[:2]
