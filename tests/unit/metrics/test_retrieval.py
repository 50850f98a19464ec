"""Searches against plain reckoning by hand, and against the objective that scores validation alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from danlu.learning.objectives.contrastive import mrr_at_10
from danlu.metrics.retrieval import (
    TextSearch,
    compare_searches,
    found_by_depth,
    retrieval,
    scores_by_query,
    search,
)


def random_units(count: int, seed: int, width: int = 8) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_ranks_are_those_of_a_plain_sort_with_ties_in_the_order_of_the_pool() -> None:
    random = np.random.default_rng(1)
    # Few different values, so that many are equal.
    queries = random.integers(0, 2, size=(40, 3)).astype(np.float64)
    pool = random.integers(0, 2, size=(30, 3)).astype(np.float64)
    right = [np.sort(random.choice(30, size=random.integers(1, 4), replace=False)) for _ in range(40)]
    found = search(queries, pool, right)
    sparse = search(csr_matrix(queries), csr_matrix(pool), right)
    for query, own in enumerate(right):
        values = queries[query] @ pool.T
        order = np.lexsort((np.arange(30), -values)).tolist()
        ranks = sorted(order.index(place) + 1 for place in own.tolist())
        assert found.ranks[query].tolist() == sparse.ranks[query].tolist() == ranks
        assert found.best[query] == order[0]
        assert found.similarity[query] == values.max()
        assert found.of_right[query] == values[own].max()
    assert found.first.tolist() == [ranks[0] for ranks in found.ranks]


def test_scores_by_hand() -> None:
    ranks = [np.array([1]), np.array([2, 12]), np.array([11]), np.array([1, 2, 4])]
    found = scores_by_query(ranks)
    assert found["recall_at_1"].tolist() == pytest.approx([1, 0, 0, 1 / 3])
    assert found["recall_at_5"].tolist() == pytest.approx([1, 0.5, 0, 1])
    assert found["recall_at_10"].tolist() == pytest.approx([1, 0.5, 0, 1])
    assert found["mrr_at_10"].tolist() == pytest.approx([1, 0.5, 0, 1])
    third = math.log2(3)
    ideal = [1, 1 + 1 / third, 1, 1 + 1 / third + 0.5]
    gains = [1, 1 / third, 0, 1 + 1 / third + 1 / math.log2(5)]
    assert found["ndcg_at_10"].tolist() == pytest.approx([gain / best for gain, best in zip(gains, ideal, strict=True)])
    assert [entry["share"] for entry in found_by_depth(ranks)] == [0.5, 0.75, 0.75, 0.75, 0.75, 1, 1, 1]
    whole = retrieval(ranks, resamples=200)
    assert whole["mrr_at_10"]["value"] == pytest.approx(2.5 / 4)
    low, high = whole["mrr_at_10"]["low"], whole["mrr_at_10"]["high"]
    assert low is not None and high is not None and low < 2.5 / 4 < high
    assert retrieval(ranks[:1])["mrr_at_10"] == {"value": 1.0, "low": None, "high": None}


def test_few_queries_prove_little() -> None:
    for rank, end in ((1, "high"), (50, "low")):
        found = retrieval([np.array([rank])] * 8, resamples=200)["recall_at_1"]
        assert found[end] == found["value"]
        assert found["low"] is not None and found["high"] is not None
        assert found["high"] - found["low"] > 0.2


def test_validation_and_test_score_alike() -> None:
    numbers = np.array([[0, 10], [1, 11], [1, 12], [2, 11], *([n, n + 10] for n in range(3, 40))])
    vectors = np.stack([random_units(len(numbers), 1), random_units(len(numbers), 2)], axis=1)
    vectors[:20, 1] = vectors[:20, 0] + 0.5 * vectors[:20, 1]
    # A text has one vector wherever it comes.
    vectors[2, 0], vectors[3, 1] = vectors[1, 0], vectors[1, 1]
    queries, texts = list(dict.fromkeys(numbers[:, 0].tolist())), list(dict.fromkeys(numbers[:, 1].tolist()))
    right = [
        np.array(sorted({texts.index(text) for query, text in numbers.tolist() if query == one})) for one in queries
    ]
    place = [
        [int(np.flatnonzero(numbers[:, side] == one)[0]) for one in every]
        for side, every in enumerate((queries, texts))
    ]
    found = search(vectors[place[0], 0], vectors[place[1], 1], right)
    ours = retrieval(found.ranks)["mrr_at_10"]["value"]
    assert ours is not None and 0.2 < ours < 0.9
    assert mrr_at_10(numbers, vectors) == pytest.approx(ours)


def test_a_clearly_better_search_is_told_from_an_equal_one() -> None:
    random = np.random.default_rng(3)
    good = [np.array([1 + int(random.integers(0, 2))]) for _ in range(200)]
    bad = [np.array([1 + int(random.integers(0, 9))]) for _ in range(200)]
    better = compare_searches(good, bad)
    assert better["metric"] == "mrr_at_10"
    assert better["significant"] and better["difference"]["value"] > 0
    same = compare_searches(good, good)
    assert not same["significant"] and same["difference"]["value"] == 0


def test_the_baseline_finds_chinese_and_english_by_their_words() -> None:
    pool = [
        "电子发票会发到您的邮箱",
        "签收后七天内可以退货",
        "the box ships within three days",
        "wipe it with a soft cloth",
    ]
    model = TextSearch().fit(pool)
    queries = ["怎么退货", "发票在哪里", "when does the box ship", "how to wipe the lamp with cloth", "☃"]
    found = search(model.vectors(queries), model.vectors(pool), [np.array([n]) for n in (1, 0, 2, 3, 0)])
    assert found.first.tolist()[:4] == [1, 1, 1, 1]
    assert found.similarity[4] == 0.0
    lengths = np.asarray(model.vectors(pool).multiply(model.vectors(pool)).sum(axis=1)).ravel()
    assert lengths.tolist() == pytest.approx([1.0] * 4, abs=1e-5)
    with pytest.raises(ValueError, match="at least one text"):
        TextSearch().fit([])
