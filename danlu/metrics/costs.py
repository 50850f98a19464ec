"""From which confidence on a model should answer, when a mistake costs this much and a person that much.

The rule is Chow's: hand over what is likely to cost more than a person does (Chow 1970, IEEE Transactions on
Information Theory 16, 41-46). Where the line runs is chosen on validation rows rather than taken from the
probabilities, which need not be calibrated; what it saves is measured on test rows.

Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from danlu.metrics.bootstrap import Floats, resampled_sums, score


def matrix(labels: Sequence[str], mistake: float, others: Mapping[str, Mapping[str, float]]) -> Floats:
    """What each answer costs, [K, K] true label by answer: 0 on the diagonal, `mistake` but for `others`.

    Raises `ValueError` that names a label of `others` that is not among `labels`.
    """
    costs = mistake * (1.0 - np.eye(len(labels)))
    for truth, answers in others.items():
        for answer, cost in answers.items():
            for label in (truth, answer):
                if label not in labels:
                    raise ValueError(f"{label!r} is no label here; there are {', '.join(map(repr, labels))}")
            costs[list(labels).index(truth), list(labels).index(answer)] = cost
    return costs


def best_threshold(confidence: Floats, losses: Floats, person: float) -> float | None:
    """The confidence from which on to answer, so that these rows cost least; None is never.

    `losses` [N] is what the model's answer costs, `person` what it costs to ask one. Of equally good ones the highest,
    which answers fewest; it lies midway between two confidences that occur, or at the lowest of all.
    """
    if not len(confidence):
        return None
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    saved = np.cumsum(person - losses[order])[ends]
    if saved.max() <= 0.0:
        return None
    best = int(np.argmax(saved >= saved.max() - 1e-12))
    below = ranked[ends[best] + 1] if best + 1 < len(ends) else ranked[ends[best]]
    return float((ranked[ends[best]] + below) / 2.0)


def what_it_costs(
    probabilities: NDArray[np.floating],
    truth: NDArray[np.integer],
    costs: Floats,
    person: float,
    threshold: float | None,
    resamples: int = 1_000,
    seed: int = 1,
) -> dict[str, Any]:
    """The mean cost of a text on test rows: `{"threshold", "coverage", "cost", "model", "person", "saved"}`.

    `cost` when the model answers from `threshold` on and a person the rest, `model` when it answers all, `person` when
    a person does; each `{"value", "low", "high"}` but the last. `saved`: what the threshold saves against the cheaper
    one of the two, in pairs on the same resamples.
    """
    answers, right = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    rows = len(right)
    losses = costs[right, answers.argmax(axis=1)]
    answered = np.zeros(rows, dtype=bool) if threshold is None else answers.max(axis=1) >= threshold
    mixed = np.where(answered, losses, person)
    drawn = resampled_sums(np.stack([mixed, losses], axis=1), resamples, seed) / rows if rows > 1 else None
    cost, model = (
        score(values.mean(), None if drawn is None else drawn[:, place], rows)
        for place, values in enumerate((mixed, losses))
    )
    other = losses if losses.mean() < person else np.full(rows, person)
    other_drawn = None if drawn is None else (drawn[:, 1] if losses.mean() < person else np.full(len(drawn), person))
    saved = score(
        (other - mixed).mean(), None if drawn is None or other_drawn is None else other_drawn - drawn[:, 0], rows
    )
    coverage = float(answered.mean())
    return {
        "threshold": threshold,
        "coverage": coverage,
        "cost": cost,
        "model": model,
        "person": person,
        "saved": saved,
    }
