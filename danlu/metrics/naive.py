"""What the score would have been without care: the leak that a random split of a file with duplicates hides.

A text that lies in the file twice lands, in a random split, once in train and once in test; the model then answers
from memory and the score says so little about new texts. This measures by how much, with the cheap baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from danlu.metrics.baseline import NAME, TextBaseline
from danlu.metrics.bootstrap import Score, resampled_sums, score

_TEST_SHARE = 0.1

#: More rows than this would take longer than the answer is worth; whole clusters are drawn, so that a drawn row keeps
#: its duplicates.
_MOST_ROWS = 40_000

Flags = NDArray[np.bool_]


def naive_split_score(
    texts: Sequence[str], labels: Sequence[str], clusters: Sequence[str], seed: int = 1, resamples: int = 1_000
) -> dict[str, Any]:
    """Accuracy of the baseline on a random split of all rows, beside that on distinct texts split by cluster.

    Call it with the rows before duplicates are dropped; equal and nearly equal texts share their cluster. For the
    honest half, equal texts count once, texts with several labels not at all, and no cluster is on both sides.
    `straddling_share` is the share of the random split's test rows whose cluster is also in its training part.
    The result does not depend on the order of the rows. A half that cannot be measured has None for its scores.
    """
    if not len(texts) == len(labels) == len(clusters):
        raise ValueError(f"Rows disagree: {len(texts)} texts, {len(labels)} labels, {len(clusters)} clusters")
    random = np.random.default_rng(seed)
    rows = _draw(sorted(zip(texts, labels, clusters, strict=True)), random)
    naive_test = np.zeros(len(rows), dtype=bool)
    naive_test[random.permutation(len(rows))[: _test_rows(len(rows))]] = True
    distinct = _distinct(rows)
    clean_test = _whole_clusters([cluster for _, _, cluster in distinct], _test_rows(len(distinct)), random)
    return {
        "metric": "accuracy",
        "model": NAME,
        "naive": _accuracy(rows, naive_test, seed, resamples),
        "clean": _accuracy(distinct, clean_test, seed, resamples),
        "rows": len(rows),
        "straddling_share": _straddling([cluster for _, _, cluster in rows], naive_test),
    }


Row = tuple[str, str, str]


def _draw(rows: list[Row], random: np.random.Generator) -> list[Row]:
    if len(rows) <= _MOST_ROWS:
        return rows
    drawn = _whole_clusters([cluster for _, _, cluster in rows], _MOST_ROWS, random)
    return [row for row, kept in zip(rows, drawn, strict=True) if kept]


def _test_rows(rows: int) -> int:
    return max(1, round(rows * _TEST_SHARE)) if rows > 1 else 0


def _whole_clusters(clusters: Sequence[str], wanted: int, random: np.random.Generator) -> Flags:
    """Which rows are in a random choice of whole clusters that together hold at most `wanted` rows."""
    if not clusters:
        return np.zeros(0, dtype=bool)
    _, member, sizes = np.unique(np.asarray(clusters, dtype=object), return_inverse=True, return_counts=True)
    chosen = np.zeros(len(sizes), dtype=bool)
    room = wanted
    for cluster in random.permutation(len(sizes)):
        if sizes[cluster] <= room:
            chosen[cluster] = True
            room -= int(sizes[cluster])
    return np.asarray(chosen[member])


def _distinct(rows: list[Row]) -> list[Row]:
    """One row for each text that has one label only; `rows` are sorted, so equal texts lie side by side."""
    by_text: dict[str, list[Row]] = {}
    for row in rows:
        by_text.setdefault(row[0], []).append(row)
    return [same[0] for same in by_text.values() if len({label for _, label, _ in same}) == 1]


def _accuracy(rows: list[Row], test: Flags, seed: int, resamples: int) -> Score:
    train = [row for row, held in zip(rows, test, strict=True) if not held]
    held_out = [row for row, held in zip(rows, test, strict=True) if held]
    if not train or not held_out:
        return score(float("nan"), None, 0)
    model = TextBaseline().fit([text for text, _, _ in train], [label for _, label, _ in train])
    best = model.probabilities([text for text, _, _ in held_out]).argmax(axis=1)
    hits = np.array([model.labels[k] == label for k, (_, label, _) in zip(best, held_out, strict=True)], dtype=float)
    samples = resampled_sums(hits.reshape(-1, 1), resamples, seed)[:, 0] / len(hits) if len(hits) > 1 else None
    return score(hits.mean(), samples, len(hits))


def _straddling(clusters: Sequence[str], test: Flags) -> float | None:
    in_train = {cluster for cluster, held in zip(clusters, test, strict=True) if not held}
    held_out = [cluster for cluster, held in zip(clusters, test, strict=True) if held]
    return sum(cluster in in_train for cluster in held_out) / len(held_out) if held_out else None
