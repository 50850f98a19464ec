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
from danlu.metrics.limits import MOST_NAIVE_ROWS

_TEST_SHARE = 0.1

#: A cluster with more than this share of the rows to draw is thinned; others are drawn whole or not at all.
_GIANT_SHARE = 0.05

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


def choose_rows(clusters: Integers, place: Integers, seed: int, most: int = MOST_NAIVE_ROWS) -> Flags:
    """Which rows [N] to hand to `naive_split_score`: about `most` of them, or all when there are no more.

    Whole clusters are drawn, so that a drawn row keeps its duplicates: rows drawn one by one would thin them out. A
    cluster that does not fit is passed over. A giant cluster keeps its share of the rows, which is still many copies.
    The choice depends on the numbers in `clusters` and on `place`, which orders rows, not on how the rows lie.
    """
    if len(clusters) <= most:
        return np.ones(len(clusters), dtype=bool)
    random = np.random.default_rng(seed)
    _, member, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    giant = sizes > max(1.0, most * _GIANT_SHARE)
    room = most
    chosen = np.zeros(len(clusters), dtype=bool)
    for cluster in np.flatnonzero(giant):
        rows = np.flatnonzero(member == cluster)
        rows = rows[np.argsort(place[rows], kind="stable")]
        kept = len(rows) * most // len(clusters)
        chosen[random.permutation(rows)[:kept]] = True
        room -= kept
    whole = _fitting(np.where(giant, most + 1, sizes), room, random)
    return np.asarray(chosen | whole[member])


def naive_split_score(
    texts: Sequence[str],
    labels: Sequence[str],
    clusters: Sequence[str],
    seed: int = 1,
    resamples: int = 1_000,
    rows_available: int | None = None,
) -> dict[str, Any]:
    """Accuracy of the baseline on a random split of all rows, beside that on distinct texts split by cluster.

    Call it with the rows before duplicates are dropped; equal and nearly equal texts share their cluster. Where the
    rows are a choice (`choose_rows`), `rows_available` says out of how many. For the
    honest half, equal texts count once, texts with several labels not at all, and no cluster is on both sides.
    `straddling_share` is the share of the random split's test rows whose cluster is also in its training part.
    The result does not depend on the order of the rows. A half that cannot be measured has None for its scores.
    """
    if not len(texts) == len(labels) == len(clusters):
        raise ValueError(f"Rows disagree: {len(texts)} texts, {len(labels)} labels, {len(clusters)} clusters")
    random = np.random.default_rng(seed)
    rows = sorted(zip(texts, labels, clusters, strict=True))
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
        "rows_available": len(rows) if rows_available is None else rows_available,
        "straddling_share": _straddling([cluster for _, _, cluster in rows], naive_test),
    }


Row = tuple[str, str, str]


def _test_rows(rows: int) -> int:
    return max(1, round(rows * _TEST_SHARE)) if rows > 1 else 0


def _whole_clusters(clusters: Sequence[str], wanted: int, random: np.random.Generator) -> Flags:
    """Which rows are in a random choice of whole clusters that together hold at most `wanted` rows."""
    if not clusters:
        return np.zeros(0, dtype=bool)
    _, member, sizes = np.unique(np.asarray(clusters, dtype=object), return_inverse=True, return_counts=True)
    return np.asarray(_fitting(sizes, wanted, random)[member])


def _fitting(sizes: Integers, room: int, random: np.random.Generator) -> Flags:
    """Which clusters of these sizes are taken, in random order, passing over those that do not fit any more."""
    chosen = np.zeros(len(sizes), dtype=bool)
    for cluster in random.permutation(len(sizes)):
        if sizes[cluster] <= room:
            chosen[cluster] = True
            room -= int(sizes[cluster])
        if room <= 0:
            break
    return chosen


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
