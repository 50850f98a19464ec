"""Evidence about an embedding model: whether what belongs to a query is found among all texts of the test part.

N test rows, each a query and a text that belongs to it; Q different queries, P different texts, the pool; D units.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from danlu.core.context import Context
from danlu.core.errors import UserError
from danlu.engines.table import load
from danlu.evaluate.config import EvaluateConfig
from danlu.evaluate.rows import Part
from danlu.metrics.retrieval import NAME, Search, TextSearch, compare_searches, found_by_depth, retrieval, search

_TEXTS_AT_ONCE = 64

#: Of a text in the list of errors, this many characters are shown.
_SHOWN_CHARACTERS = 500


class _Pool:
    """The different queries and texts of some rows, and which belong together.

    `queries` [Q] and `texts` [P] are rows of the part, the first of equal ones: ids are hashes, so their order says
    nothing. `right` has for each query the places in the pool of its texts.
    """

    def __init__(self, part: Part) -> None:
        query_of, self.queries = _first_of(part.texts)
        text_of, self.texts = _first_of(part.pairs)
        right: list[set[int]] = [set() for _ in self.queries]
        for query, text in zip(query_of, text_of, strict=True):
            right[query].add(text)
        self.right = [np.array(sorted(places), dtype=np.int64) for places in right]


def _first_of(texts: Sequence[str]) -> tuple[list[int], list[int]]:
    """The number of each text among the different ones, and where each of these comes first."""
    known: dict[str, int] = {}
    numbers: list[int] = []
    first: list[int] = []
    for place, text in enumerate(texts):
        if text not in known:
            known[text] = len(known)
            first.append(place)
        numbers.append(known[text])
    return numbers, first


class EmbedEvidence:
    """Test pairs, and what a model finds for their queries.

    The answers of a form are the vectors [N, 2, D] of each row's query and text.
    """

    #: The scores in which the forms of a model are compared.
    headline = ("recall_at_1", "mrr_at_10")

    def __init__(self, ctx: Context, config: EvaluateConfig, test: Part, labels: Sequence[str]) -> None:
        del labels  # the evidence of every task is made from the same four things
        self._ctx = ctx
        self._config = config
        self._test = test
        self._pool = _Pool(test)
        self._searched: tuple[np.ndarray, Search] | None = None

    def evidence(self, vectors: np.ndarray) -> dict[str, Any]:
        """The evidence about the form that answered all test rows with `vectors`."""
        found = self._search(vectors)
        return {
            "scores": self._scores(found),
            "queries": len(self._pool.queries),
            "pool": len(self._pool.texts),
            "found": found_by_depth(found.ranks),
            "per_class": {},
            "confusion": None,
            "calibration": None,
            "worst": self._worst(found),
        }

    def brief(self, vectors: np.ndarray) -> dict[str, Any]:
        """The headline scores of a form from its answers to the first rows, to compare forms on the same ones."""
        scores = self._scores(_search_in(_Pool(self._test.first(len(vectors))), vectors))
        return {"rows": len(vectors), "scores": {name: scores[name] for name in self.headline}}

    def table(self, vectors: np.ndarray) -> pa.Table:
        """`predictions.parquet`: for each query the ranks of its texts, and the row whose text was found first."""
        found = self._search(vectors)
        return pa.table(
            {
                "id": pa.array([self._test.ids[row] for row in self._pool.queries], pa.string()),
                "ranks": pa.array([ranks.tolist() for ranks in found.ranks], pa.list_(pa.int64())),
                "found": pa.array([self._test.ids[self._pool.texts[place]] for place in found.best], pa.string()),
                "cosine": pa.array(found.similarity, pa.float64()),
                "cosine_of_right": pa.array(found.of_right, pa.float64()),
            }
        )

    def baseline(self, vectors: np.ndarray, train: Part, seen: np.ndarray, rule: str) -> dict[str, Any]:
        """The baseline on the same queries and pool, compared with the model.

        It counts n-grams in the pool and in the training rows that the model has seen, and then in all of them.
        """
        ours = self._search(vectors)
        from_seen = self._baseline_from(train.where(seen), ours)
        from_all = from_seen if seen.all() else self._baseline_from(train, ours)
        return {"name": NAME, "rows_rule": rule, **from_seen, "all_rows": from_all}

    def _baseline_from(self, train: Part, ours: Search) -> dict[str, Any]:
        pool = [self._test.pairs[row] for row in self._pool.texts]
        queries = [self._test.texts[row] for row in self._pool.queries]
        with self._ctx.progress("fitting the baseline", total=len(queries), unit="queries") as bar:
            model = TextSearch().fit([*train.texts, *train.pairs, *pool])
            theirs = search(model.vectors(queries), model.vectors(pool), self._pool.right, bar.advance)
        return {
            "rows": len(train),
            "scores": self._scores(theirs),
            "found": found_by_depth(theirs.ranks),
            "comparison": compare_searches(ours.ranks, theirs.ranks, self._config.resamples, self._config.seed),
        }

    def answers(self, folder: Path, rows: int | None = None) -> np.ndarray:
        """Vectors [N, 2, D] that the form in `folder` gives the first `rows` test rows; None means all.

        Raises `UserError` when the model answers with something that is no number.
        """
        test = self._test.first(rows)
        texts = list(dict.fromkeys([*test.texts, *test.pairs]))
        found: list[np.ndarray] = []
        with (
            contextlib.closing(load(folder, self._ctx.threads)) as engine,
            self._ctx.progress(f"answering with {folder.name}", total=len(texts), unit="texts") as bar,
        ):
            for begin in range(0, len(texts), _TEXTS_AT_ONCE):
                found.append(engine.embed(texts[begin : begin + _TEXTS_AT_ONCE]))
                bar.advance(len(found[-1]))
        vectors = np.concatenate(found)
        wrong = int((~np.isfinite(vectors)).any(axis=1).sum())
        if wrong:
            raise UserError(
                f"The form {folder.name} answers {wrong} of {len(vectors)} test texts with something that is no "
                "number. Training has probably diverged: look at its loss, and lower train.learning_rate."
            )
        place = {text: number for number, text in enumerate(texts)}
        places = [[place[text] for text in side] for side in (test.texts, test.pairs)]
        return np.stack([vectors[side] for side in places], axis=1)

    def _search(self, vectors: np.ndarray) -> Search:
        """What the form that answered with `vectors` finds; looked for once."""
        if self._searched is None or self._searched[0] is not vectors:
            self._searched = (vectors, _search_in(self._pool, vectors))
        return self._searched[1]

    def _scores(self, found: Search) -> dict[str, Any]:
        return retrieval(found.ranks, self._config.resamples, self._config.seed)

    def _worst(self, found: Search) -> list[dict[str, Any]]:
        """The queries that most confidently find a wrong text first, the most similar one first; ties by id."""
        test, pool = self._test, self._pool
        wrong = np.flatnonzero(found.first > 1).tolist()
        wrong.sort(key=lambda query: (-found.similarity[query], test.ids[pool.queries[query]]))
        return [
            {
                "id": test.ids[pool.queries[query]],
                "text": _cut(test.texts[pool.queries[query]]),
                "label": _cut(test.pairs[pool.texts[pool.right[query][0]]]),
                "predicted": _cut(test.pairs[pool.texts[found.best[query]]]),
                "confidence": float(found.similarity[query]),
                "rank": int(found.first[query]),
            }
            for query in wrong[: self._config.worst_rows]
        ]


def _search_in(pool: _Pool, vectors: np.ndarray) -> Search:
    return search(vectors[pool.queries, 0], vectors[pool.texts, 1], pool.right)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
