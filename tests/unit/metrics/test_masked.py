"""Hidden tokens: their scores against plain sums, the baseline, and a paired comparison."""

from __future__ import annotations

import numpy as np
import pytest

from danlu.metrics.masked import TokenCounts, compare_masked, masked_scores, sums_of


def drawn(texts: int, chance: float, seed: int = 3) -> tuple[list[np.ndarray], list[np.ndarray]]:
    draw = np.random.default_rng(seed)
    sizes = draw.integers(1, 9, size=texts)
    return (
        [np.log(np.clip(draw.normal(chance, 0.05, size), 0.01, 0.99)) for size in sizes],
        [draw.random(size) < chance for size in sizes],
    )


def test_scores_are_over_tokens_and_intervals_over_texts() -> None:
    logs, right = drawn(200, 0.4)
    scores = masked_scores(sums_of(logs, right))
    every, hits = np.concatenate(logs), np.concatenate(right)
    assert scores["masked_accuracy"]["value"] == pytest.approx(hits.mean())
    assert scores["masked_perplexity"]["value"] == pytest.approx(np.exp(-every.mean()))
    for score in scores.values():
        assert score["low"] < score["value"] < score["high"]  # type: ignore[operator]
    (alone,) = (masked_scores(sums_of(logs[:1], right[:1]))["masked_accuracy"],)
    assert alone["low"] is None, "one text has no interval"
    assert masked_scores(sums_of([], []))["masked_perplexity"]["value"] is None


def test_the_baseline_says_how_frequent_a_token_is() -> None:
    counts = TokenCounts(6).fit([[1, 1, 2], [1, 3]])
    assert np.exp(counts.log_likelihood(np.arange(6))) == pytest.approx(
        [1 / 11, 4 / 11, 2 / 11, 2 / 11, 1 / 11, 1 / 11]
    )
    assert counts.right(np.array([1, 2, 1])).tolist() == [True, False, True]


def test_only_a_difference_that_chance_does_not_make_is_significant() -> None:
    better, worse, alike = (sums_of(*drawn(300, chance, seed)) for chance, seed in ((0.5, 1), (0.4, 1), (0.5, 2)))
    found = compare_masked(better, worse)
    assert found["metric"] == "masked_perplexity" and found["significant"]
    assert found["difference"]["value"] < 0
    assert not compare_masked(better, better)["significant"]
    assert abs(compare_masked(better, alike)["difference"]["value"]) < 0.1
