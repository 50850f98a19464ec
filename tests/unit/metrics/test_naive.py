from __future__ import annotations

import random

import pytest

from danlu.metrics import naive
from danlu.metrics.naive import naive_split_score


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


def test_many_rows_are_drawn_with_their_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naive, "_MOST_ROWS", 300)
    found = naive_split_score(*noise(300, 3), seed=1, resamples=50)
    assert found["rows"] == 300
    assert found["straddling_share"] > 0.9


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
