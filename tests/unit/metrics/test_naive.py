from __future__ import annotations

import random

import numpy as np
import pytest

from danlu.metrics.limits import MOST_NAIVE_ROWS
from danlu.metrics.naive import choose_rows, naive_split_score


def noise(distinct: int, copies: int, seed: int = 0) -> tuple[list[str], list[str], list[str]]:
    """Texts whose label is a coin toss: nothing to learn, only copies to remember."""
    draw = random.Random(seed)
    rows = []
    for number in range(distinct):
        text = " ".join(f"w{draw.randrange(400)}" for _ in range(8))
        rows += [(text, draw.choice(("a", "b")), f"c{number}")] * copies
    texts, labels, clusters = zip(*rows, strict=True)
    return list(texts), list(labels), list(clusters)


def test_planted_duplicates_are_revealed() -> None:
    found = naive_split_score(*noise(150, 4), seed=1, resamples=200)
    assert found["naive"]["value"] > 0.85
    assert found["clean"]["low"] < 0.55
    assert found["naive"]["low"] > found["clean"]["high"]
    assert found["straddling_share"] > 0.95
    assert found["rows"] == 600
    assert (found["metric"], found["model"]) == ("accuracy", "TF-IDF + logistic regression")


def test_without_duplicates_both_say_the_same() -> None:
    found = naive_split_score(*noise(400, 1), seed=1, resamples=200)
    assert found["straddling_share"] == 0.0
    assert found["naive"]["low"] < 0.5 < found["naive"]["high"] + 0.1
    assert found["clean"]["low"] < 0.5 < found["clean"]["high"] + 0.1


def test_near_duplicates_of_one_cluster_stay_on_one_side_of_the_honest_split() -> None:
    texts, labels, clusters = noise(150, 3)
    near = [f"{text} again{place % 3}" for place, text in enumerate(texts)]
    found = naive_split_score(near, labels, clusters, seed=1, resamples=200)
    assert found["naive"]["value"] > 0.85
    assert found["clean"]["value"] < 0.75


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = list(zip(*noise(60, 2), strict=True))
    shuffled = random.Random(5).sample(rows, len(rows))
    first, second = (
        naive_split_score(*(list(column) for column in zip(*order, strict=True)), seed=3, resamples=50)
        for order in (rows, shuffled)
    )
    assert first == second


def test_many_rows_are_drawn_with_their_duplicates() -> None:
    texts, labels, clusters = noise(300, 3)
    numbers = np.array([int(name[1:]) for name in clusters])
    chosen = choose_rows(numbers, np.arange(900), 1, most=300)
    rows = [row for row, kept in zip(zip(texts, labels, clusters, strict=True), chosen, strict=True) if kept]
    found = naive_split_score(*map(list, zip(*rows, strict=True)), seed=1, resamples=50, rows_available=900)
    assert (found["rows"], found["rows_available"]) == (300, 900)
    assert found["straddling_share"] > 0.9


@pytest.mark.parametrize("giant", [20_500, 100_000])
def test_a_giant_cluster_does_not_push_the_others_out(giant: int) -> None:
    clusters = np.concatenate([np.zeros(giant, dtype=np.int64), np.repeat(np.arange(1, 10_001), 2)])
    place = np.arange(len(clusters))
    for seed in range(3):
        chosen = choose_rows(clusters, place, seed)
        assert 0.99 * MOST_NAIVE_ROWS <= chosen.sum() <= MOST_NAIVE_ROWS
        share = giant / len(clusters)
        assert chosen[:giant].sum() == pytest.approx(share * MOST_NAIVE_ROWS, rel=0.01)
        drawn = np.bincount(clusters[chosen])[1:]
        assert set(drawn.tolist()) == {0, 2}
    order = np.random.default_rng(1).permutation(len(clusters))
    assert (choose_rows(clusters[order], place[order], 2) == chosen[order]).all()


def test_few_rows_are_all_taken() -> None:
    assert choose_rows(np.zeros(30, dtype=np.int64), np.arange(30), 1).all()


@pytest.mark.parametrize(
    ("texts", "labels", "clusters"),
    [
        ([], [], []),
        (["one"], ["a"], ["1"]),
        (["one", "one"], ["a", "b"], ["1", "1"]),
        (["one", "two", "three"], ["a", "b", "a"], ["1", "1", "1"]),
    ],
)
def test_too_little_to_measure_is_null(texts: list[str], labels: list[str], clusters: list[str]) -> None:
    found = naive_split_score(texts, labels, clusters, seed=1, resamples=50)
    assert found["clean"]["value"] is None
    assert found["rows"] == len(texts)


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 labels"):
        naive_split_score(["a"], ["x", "y"], ["1"], seed=1, resamples=10)
