"""Scores of several targets of one text together, and whether a model beats another on all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from danlu.metrics.bootstrap import Score

#: What the comparison of all targets together is measured in.
METRIC = "gain"


def _turned(score: Score, unit: float, start: float = 1.0) -> Score:
    """`start` less an error in `unit`; its low end is that of the largest error."""
    ends = {"value": "value", "low": "high", "high": "low"}
    return {name: None if (error := score[end]) is None else start - error / unit for name, end in ends.items()}


#: How good a target is by its scores, 1 at best, by its task; `unit` is the standard deviation of the training rows'
#: numbers. The same as what picks the checkpoint (`danlu.learning.objectives.base.HeadLoss.quality`).
QUALITIES: dict[str, Callable[[Mapping[str, Score], float], Score]] = {
    "classify": lambda scores, _: scores["macro_f1"],
    "tag": lambda scores, _: scores["average_precision"],
    "regress": lambda scores, unit: _turned(scores["mae"], unit),
}

#: How much better a model is on a target, in the unit of its quality or near it: macro F1 for labels.
_GAINS: dict[str, Callable[[Score, float], Score]] = {
    "classify": lambda difference, _: difference,
    "tag": lambda difference, _: difference,
    "regress": lambda difference, unit: _turned(difference, unit, start=0.0),
}


def of_all(scores: Sequence[Score]) -> Score:
    """The mean of scores, from the mean of their low ends to that of their high ends; no value where one has none.

    That is 95 % where the targets rise and fall together, and wider else: their rows differ, so no resample is common.
    """
    found: Score = {}
    for name in ("value", "low", "high"):
        values = [score[name] for score in scores]
        known = [value for value in values if value is not None]
        found[name] = sum(known) / len(known) if known and len(known) == len(values) else None
    return found


def together(
    comparisons: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, str], units: Mapping[str, float]
) -> dict[str, Any]:
    """The comparisons of each target, and what they come to.

    `difference` is the mean gain over the targets, above 0 where the model is better. `p_value` is the largest of the
    targets': whoever claims to be better on every one of them needs no correction for their number, for the claim is
    wrong as soon as one of them is (the intersection-union test; Berger 1982, Technometrics 24, 295-300). `significant`
    says that they all differ, and in the same direction.
    """
    gains = {name: _GAINS[tasks[name]](one["difference"], units[name]) for name, one in comparisons.items()}
    chances = [one["p_value"] for one in comparisons.values()]
    signs = {(gain["value"] or 0.0) > 0.0 for gain in gains.values()}
    return {
        "metric": METRIC,
        "test": "each target by itself",
        "difference": of_all(list(gains.values())),
        "p_value": None if None in chances else max(chances),
        "significant": all(one["significant"] for one in comparisons.values()) and len(signs) == 1,
        "targets": {name: dict(one) for name, one in comparisons.items()},
    }
