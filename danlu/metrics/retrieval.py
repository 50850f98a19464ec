"""How well a search finds what belongs to a query: where in the list of all texts the right ones stand.

Q queries, P texts in the pool, D features of each; a query has one right text or more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, issparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from danlu.core.tasks import TASKS
from danlu.metrics.baseline import FEATURES, features_for
from danlu.metrics.bootstrap import Floats, Score, resampled_sums, score
from danlu.metrics.paired import verdict
from danlu.metrics.proportions import with_ends

NAME = TASKS["embed"].baseline

Integers = NDArray[np.int64]

#: Queries are taken so many at a time that their similarities to the pool stay below this many numbers (128 MiB).
_SIMILARITIES_AT_ONCE = 1 << 24

#: Depths at which the share of queries is told whose first right text is found there.
DEPTHS = (1, 2, 3, 5, 10, 20, 50, 100)


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a search of Q queries found.

    `ranks`: for each query the ranks of its right texts, from 1, rising. `best` [Q] is the place in the pool of the
    text that was found first, `similarity` [Q] its similarity, and `of_right` [Q] that of the best right text.
    """

    ranks: list[Integers]
    best: Integers
    similarity: Floats
    of_right: Floats

    @property
    def first(self) -> Integers:
        """The rank of the first right text of each query [Q]."""
        return np.array([ranks[0] for ranks in self.ranks], dtype=np.int64)


def search(queries: Any, pool: Any, right: Sequence[Integers], advance: Callable[[int], None] | None = None) -> Search:
    """Look for every query in the pool by the product of features `queries` [Q, D] and `pool` [P, D].

    Both are arrays, or both SciPy sparse matrices; with rows of length 1 the product is the cosine. `right` names for
    each query the places in the pool of the texts that belong to it, at least one. Of equally similar texts the one
    that comes first in the pool is found first, so let its order say nothing. `advance(n)` is called after `n` queries.
    """
    ranks: list[Integers] = []
    best, similarity, of_right = [], [], []
    at_once = max(1, _SIMILARITIES_AT_ONCE // max(1, pool.shape[0]))
    turned, sparse = pool.T, issparse(pool)
    for start in range(0, queries.shape[0], at_once):
        found: Any = queries[start : start + at_once] @ turned
        table = np.asarray(found.todense() if sparse else found)
        for row, own in zip(table, right[start : start + at_once], strict=True):
            values = row[own]
            above = np.array(
                [(row > value).sum() + (row[:place] == value).sum() for place, value in zip(own, values, strict=True)]
            )
            ranks.append(np.sort(1 + above.astype(np.int64)))
            of_right.append(float(values.max()))
        best.append(table.argmax(axis=1))
        similarity.append(table.max(axis=1))
        if advance is not None:
            advance(len(table))
    return Search(
        ranks=ranks,
        best=np.concatenate(best).astype(np.int64),
        similarity=np.concatenate(similarity).astype(np.float64),
        of_right=np.array(of_right),
    )


def scores_by_query(ranks: Sequence[Integers]) -> dict[str, Floats]:
    """Each score for each query [Q]; a score of a search is their mean.

    `recall_at_k`: share of the right texts among the first k. `mrr_at_10`: 1 / rank of the first right one, 0 beyond
    10 (Voorhees 1999, TREC-8). `ndcg_at_10`: sum of 1 / log2(1 + rank) over the right ones among the first 10, divided
    by what it would be were they first (Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418).
    """
    found: dict[str, list[float]] = {f"recall_at_{depth}": [] for depth in (1, 5, 10)}
    found |= {"mrr_at_10": [], "ndcg_at_10": []}
    for own in ranks:
        for depth in (1, 5, 10):
            found[f"recall_at_{depth}"].append(float((own <= depth).mean()))
        found["mrr_at_10"].append(1.0 / int(own[0]) if own[0] <= 10 else 0.0)
        gain = (1.0 / np.log2(1.0 + own[own <= 10])).sum()
        ideal = (1.0 / np.log2(2.0 + np.arange(min(len(own), 10)))).sum()
        found["ndcg_at_10"].append(float(gain / ideal))
    return {name: np.array(values) for name, values in found.items()}


def retrieval(ranks: Sequence[Integers], resamples: int = 1_000, seed: int = 1) -> dict[str, Score]:
    """Scores of a search, with intervals: queries are resampled, the pool stays.

    Where all queries have one score, the interval is Wilson's for a proportion: few queries prove little.
    """
    by_query = scores_by_query(ranks)
    values = np.stack(list(by_query.values()), axis=1)
    rows = len(values)
    drawn = resampled_sums(values, resamples, seed) / rows if rows > 1 and resamples > 0 else None
    return {
        name: with_ends(score(column.mean(), None if drawn is None else drawn[:, place], rows), rows)
        for place, (name, column) in enumerate(by_query.items())
    }


def found_by_depth(ranks: Sequence[Integers]) -> list[dict[str, float]]:
    """For each of `DEPTHS` the share of queries whose first right text is among so many."""
    first = np.array([own[0] for own in ranks])
    return [{"depth": depth, "share": float((first <= depth).mean())} for depth in DEPTHS]


def compare_searches(
    ours: Sequence[Integers], theirs: Sequence[Integers], resamples: int = 1_000, seed: int = 1
) -> dict[str, Any]:
    """Difference in MRR at 10 (ours - theirs) of two searches of the same queries in the same pool.

    `{"metric", "test", "difference", "p_value", "significant"}`, as for other tasks.
    """
    gain = scores_by_query(ours)["mrr_at_10"] - scores_by_query(theirs)["mrr_at_10"]
    rows = len(gain)
    drawn = resampled_sums(gain.reshape(-1, 1), resamples, seed)[:, 0] / rows if rows > 1 else np.zeros(0)
    return verdict("mrr_at_10", float(gain.mean()), drawn, rows)


class TextSearch:
    """The cheap search that every expensive one has to beat: cosine of TF-IDF vectors of n-grams.

    Characters of Chinese, words (and, of few texts, characters) of text with spaces, as the baseline of classify.
    """

    def __init__(self) -> None:
        self._vectorizers: list[TfidfVectorizer] = []

    def fit(self, texts: Sequence[str]) -> TextSearch:
        """Learn which n-grams are rare. Raises `ValueError` without texts."""
        if not texts:
            raise ValueError("Expected at least one text to count n-grams in, got none")
        self._vectorizers = [
            TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **options).fit(texts)
            for options in FEATURES[features_for(texts)]
        ]
        return self

    def vectors(self, texts: Sequence[str]) -> csr_matrix:
        """Sparse rows of length 1 (0 for a text without a known n-gram), [N, F]; kinds of n-grams weigh alike."""
        parts = [vectorizer.transform(texts) for vectorizer in self._vectorizers]
        return csr_matrix(normalize(hstack(parts, format="csr")))
