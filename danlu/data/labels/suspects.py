"""Labels that are probably wrong: confident learning over probabilities of a model that never saw the row.

The cheap baseline is trained k times, each time without one fold, and asked about that fold; near duplicates are in
one fold, or a wrong label would be confirmed by its own copy. cleanlab then counts which labels the model confidently
denies (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels",
arXiv:1911.00068).

Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from danlu.core.lazy import need
from danlu.metrics.baseline import TextBaseline

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

FOLDS = 5

#: A label with fewer clusters than this cannot be judged: too few of its rows are left to learn it from.
LEAST_CLUSTERS = 10


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A row whose label is probably wrong.

    `row`: its position in what was asked about. `quality`: how well the label fits, from 0 (surely wrong) to 1: the
    probability of the given label less that of the likeliest other one, brought to that range (cleanlab's
    "normalized margin").
    """

    row: int
    given: str
    suggested: str
    quality: float


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What was found: the suspects, worst first, and how many rows could not be judged, by label."""

    suspects: list[Suspect]
    not_judged: dict[str, int]


def suspects(
    texts: Sequence[str],
    labels: Sequence[str],
    clusters: Sequence[str],
    seed: int = 1,
    advance: Callable[[int], None] = lambda _folds: None,
) -> Judgement:
    """Which of these rows probably carry a wrong label.

    `clusters`: rows with the same one (near duplicates) are never on both sides of a fold. `advance(n)` is called
    after every `n` of the `FOLDS` folds. The result does not depend on the order of the rows. Raises
    `MissingDependency` without cleanlab, and `ValueError` when the rows disagree in number.
    """
    if not len(texts) == len(labels) == len(clusters):
        raise ValueError(f"Rows disagree: {len(texts)} texts, {len(labels)} labels, {len(clusters)} clusters")
    need("cleanlab", extra="labels")  # before minutes are spent on folds
    rare = _rare(labels, clusters)
    not_judged = {label: count for label, count in sorted(Counter(labels).items()) if label in rare}
    rows = [row for row in range(len(texts)) if labels[row] not in rare]
    rows.sort(key=lambda row: (clusters[row], texts[row], labels[row]))
    known = sorted({labels[row] for row in rows})
    if len(known) < 2:
        return Judgement(suspects=[], not_judged=dict(sorted(Counter(labels).items())))
    given = np.array([known.index(labels[row]) for row in rows], dtype=np.int64)
    probabilities = out_of_fold(
        [texts[row] for row in rows], [labels[row] for row in rows], [clusters[row] for row in rows], seed, advance
    )
    flagged, quality = confidently_wrong(given, probabilities)
    others = probabilities.copy()
    others[np.arange(len(rows)), given] = -1.0
    best = others.argmax(axis=1)
    found = [
        Suspect(
            row=rows[place],
            given=known[given[place]],
            suggested=known[best[place]],
            quality=float(quality[place]),
        )
        for place in np.flatnonzero(flagged)
    ]
    found.sort(key=lambda suspect: (suspect.quality, texts[suspect.row]))
    return Judgement(suspects=found, not_judged=not_judged)


def _rare(labels: Sequence[str], clusters: Sequence[str]) -> set[str]:
    different = Counter(label for label, _ in set(zip(labels, clusters, strict=True)))
    return {label for label, count in different.items() if count < LEAST_CLUSTERS}


def confidently_wrong(given: Integers, probabilities: Floats) -> tuple[Flags, Floats]:
    """Which rows [N] cleanlab takes for mislabelled, and the quality of every label [N].

    `given` [N] are positions in the K columns of `probabilities`, which come from a model that did not see the row.
    """
    filters: Any = need("cleanlab.filter", extra="labels")
    rank: Any = need("cleanlab.rank", extra="labels")
    quality = rank.get_label_quality_scores(given, probabilities, method="normalized_margin")
    # One process: others would be forked, which ends badly beside the threads of other libraries.
    flagged = filters.find_label_issues(given, probabilities, filter_by="prune_by_noise_rate", n_jobs=1)
    return np.asarray(flagged, dtype=bool), np.asarray(quality, dtype=np.float64)


def out_of_fold(
    texts: Sequence[str],
    labels: Sequence[str],
    clusters: Sequence[str],
    seed: int = 1,
    advance: Callable[[int], None] = lambda _folds: None,
) -> Floats:
    """The baseline's probabilities [N, K] for rows that it did not learn from; columns are the sorted labels."""
    known = sorted(set(labels))
    fold = folds(labels, clusters, seed)
    answers = np.zeros((len(texts), len(known)))
    for number in range(FOLDS):
        learn, ask = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(learn) and len(ask):
            model = TextBaseline().fit(_at(texts, learn), _at(labels, learn))
            answers[ask] = model.probabilities(_at(texts, ask), known)
        advance(1)
    return answers


def _at(values: Sequence[str], rows: Integers) -> list[str]:
    return [values[row] for row in rows.tolist()]


def folds(labels: Sequence[str], clusters: Sequence[str], seed: int = 1) -> Integers:
    """The fold [N] of each row, 0 to `FOLDS` - 1: whole clusters, each label spread evenly, shuffled by `seed`.

    A cluster counts for the label that most of its rows carry.
    """
    names, member = np.unique(np.asarray(clusters, dtype=object), return_inverse=True)
    known, number = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
    pairs, votes = np.unique(member * len(known) + number, return_counts=True)
    label_of = np.zeros(len(names), dtype=np.int64)
    by_votes = np.argsort(votes, kind="stable")  # the most votes are written last
    label_of[pairs[by_votes] // len(known)] = pairs[by_votes] % len(known)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    dealt = np.lexsort((shuffled, label_of))
    fold = np.empty(len(names), dtype=np.int64)
    fold[dealt] = np.arange(len(names)) % FOLDS
    return np.asarray(fold[member])
