"""Scores of a model that foresees hidden tokens, and the cheap model it has to beat: how frequent each token is.

Shapes: N texts, M hidden tokens of one, R resamples, V tokens in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from danlu.core.tasks import TASKS
from danlu.metrics.bootstrap import Floats, Score, ratio, resampled_sums, score
from danlu.metrics.paired import verdict

NAME = TASKS["fill"].baseline

Integers = NDArray[np.int64]


class TokenCounts:
    """Foresees every hidden token alike: the more frequent, the more probable; one is added to each count (Laplace)."""

    def __init__(self, size: int) -> None:
        """`size` is V."""
        self._counts = np.ones(size, dtype=np.int64)

    def fit(self, texts: Iterable[Sequence[int]]) -> Self:
        """Count the tokens of texts."""
        for ids in texts:
            self._counts += np.bincount(np.asarray(ids, dtype=np.int64), minlength=len(self._counts))
        return self

    def log_likelihood(self, ids: Integers) -> Floats:
        """Natural logarithm of the probability of each token."""
        return np.asarray(np.log(self._counts[ids] / self._counts.sum()))

    def right(self, ids: Integers) -> NDArray[np.bool_]:
        """Whether each is the most frequent one."""
        return np.asarray(ids == self._counts.argmax())


def sums_of(log_likelihood: Sequence[Floats], right: Sequence[NDArray[np.bool_]]) -> Floats:
    """For each text [N, 3]: log-likelihood in nats, tokens foreseen rightly, hidden tokens."""
    rows = [(logs.sum(), hits.sum(), len(logs)) for logs, hits in zip(log_likelihood, right, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def masked_scores(sums: Floats, resamples: int = 1_000, seed: int = 1) -> dict[str, Score]:
    """Share of hidden tokens that are foreseen, and perplexity of one, from `sums_of`; whole texts are resampled."""
    point = _scores(sums.sum(axis=0, keepdims=True))
    drawn = _scores(resampled_sums(sums, resamples, seed)) if len(sums) > 1 and resamples > 0 else {}
    return {name: score(value[0], drawn.get(name), len(sums)) for name, value in point.items()}


def compare_masked(ours: Floats, theirs: Floats, resamples: int = 1_000, seed: int = 1) -> dict[str, Any]:
    """Difference in perplexity of a hidden token (ours - theirs; less is better) on the same hidden tokens."""
    whole = [_scores(sums.sum(axis=0, keepdims=True))["masked_perplexity"][0] for sums in (ours, theirs)]
    drawn = [np.zeros(0), np.zeros(0)]
    if len(ours) > 1:
        drawn = [_scores(resampled_sums(sums, resamples, seed))["masked_perplexity"] for sums in (ours, theirs)]
    return verdict("masked_perplexity", whole[0] - whole[1], drawn[0] - drawn[1], len(ours))


def _scores(sums: Floats) -> dict[str, Floats]:
    """From sums [R, 3]."""
    log_likelihood, right, tokens = sums.T
    with np.errstate(over="ignore"):
        return {"masked_accuracy": ratio(right, tokens), "masked_perplexity": np.exp(-ratio(log_likelihood, tokens))}
