"""Leaks against brute force: every pair at the threshold, and no other."""

from __future__ import annotations

import itertools
import random
import time

import pytest

from danlu.metrics.leaks import folded, folded_hashes, leaked_rows
from danlu.metrics.shingles import shingles

TEMPLATE = [f"frame{number}" for number in range(30)]


def texts_of(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    base = [[f"w{draw.randrange(300)}" for _ in range(draw.randrange(3, 40))] for _ in range(count)]
    copies = [[word if draw.random() > 0.04 else "other" for word in draw.choice(base)] for _ in range(count)]
    return [" ".join(words) for words in base + copies]


def brute_force(train: list[str], held_out: list[str], threshold: float) -> list[tuple[int, int]]:
    hashes, bounds = shingles([*train, *held_out])
    sets = [set(hashes[start:end].tolist()) for start, end in itertools.pairwise(bounds)]
    return [
        (i, j)
        for i, one in enumerate(sets[: len(train)])
        for j, other in enumerate(sets[len(train) :])
        if len(one & other) >= threshold * len(one | other)
    ]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 1.0])
def test_pairs_are_those_of_brute_force(threshold: float) -> None:
    texts = texts_of(3, 150)
    random.Random(4).shuffle(texts)
    train, held_out = texts[:220], texts[220:]
    expected = brute_force(train, held_out, threshold)
    assert len(expected) > 5
    assert leaked_rows(train, held_out, threshold) == expected


def test_texts_of_one_template_are_compared_whole() -> None:
    draw = random.Random(5)
    texts = [" ".join([*TEMPLATE, *(f"x{draw.randrange(10**6)}" for _ in range(6))]) for _ in range(400)]
    edited = " ".join(["changed", *texts[7].split()[1:]])
    assert (7, 0) in leaked_rows(texts, [edited], 0.9)
    assert leaked_rows(texts, [edited], 0.9) == brute_force(texts, [edited], 0.9)


def test_case_width_spaces_and_signs_do_not_hide_a_leak() -> None:
    train = ["Great value!", "!!!", "性价比很高", "ＯＫ"]
    assert leaked_rows(train, ["great  value", " !!! ", "???", "性价比 很高。", "ok"], 0.8) == [
        (0, 0),
        (1, 1),
        (2, 3),
        (3, 4),
    ]


def test_nothing_leaks_from_or_into_nothing() -> None:
    assert leaked_rows([], ["a"], 0.8) == []
    assert leaked_rows(["a"], [], 0.8) == []
    with pytest.raises(ValueError, match="threshold is 0"):
        leaked_rows(["a"], ["a"], 0.0)


def test_many_rows_take_seconds() -> None:
    draw = random.Random(6)
    words = [f"w{number}" for number in range(3_000)]
    texts = [" ".join(draw.choices(words, k=20)) for _ in range(12_000)]
    held_out = [*texts[:50], *(" ".join(draw.choices(words, k=20)) for _ in range(1_500))]
    seen: list[int] = []
    started = time.process_time()
    found = leaked_rows(texts, held_out, 0.8, advance=seen.append)
    assert time.process_time() - started < 5
    assert found == [(number, number) for number in range(50)]
    assert sum(seen) == len(texts)


def test_texts_that_are_equal_when_folded_have_one_hash() -> None:
    alike = [
        ["Ｇｒｅａｔ  value！", "great value!", " GREAT\tVALUE!\n", "great\u3000value!"],
        ["Café ﬁn ①㎡", "cafe\u0301 fin 1m2", "CAFÉ FIN 1M²"],
        ["한국어", "\u1112\u1161\u11ab국어"],
        ["Straße", "STRASSE"],
        ["ABC\ud800", "abc\ud800"],
    ]
    for texts in alike:
        assert len({folded(text) for text in texts}) == 1
        assert len(set(folded_hashes(texts).tolist())) == 1
    apart = ["", "a", "b", "ab", "ba", "aab", "great value", "great value!", *(texts[0] for texts in alike[1:])]
    assert len(set(folded_hashes(apart).tolist())) == len(apart)
    # Equal hashes are not enough: white space between two words is not nothing.
    assert leaked_rows(["!! !"], ["! !!"], 0.8) == []
    assert folded_hashes(["!! !"]) == folded_hashes(["! !!"])
