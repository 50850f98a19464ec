"""Is one model better than another on the same test rows, or is it chance?

Both see the same rows, so the comparison is paired: what is hard for one is mostly hard for the other, and only
the rows on which they differ speak.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, chi2

from danlu.metrics.bootstrap import Floats, Score, resampled_sums, score
from danlu.metrics.scores import Integers, count_features, language_scores, macro_f1

#: Below this p-value a difference is called significant.
LEVEL = 0.05

#: Up to this many differing rows the exact test is taken; above, the chi-squared one is as good.
_EXACT_UP_TO = 1_000


def mcnemar(ours: NDArray[np.bool_] | Sequence[bool], theirs: NDArray[np.bool_] | Sequence[bool]) -> dict[str, Any]:
    """McNemar's test (1947) on whether each row was answered rightly by us and by them.

    Under chance each row that only one of them gets right is a fair coin: exact two-sided binomial test, or, for
    many such rows, chi-squared with Edwards' continuity correction (1948). Returns `{"test", "p_value",
    "only_ours", "only_theirs"}`: rows that only we, only they, get right.
    """
    mine, other = np.asarray(ours, dtype=bool), np.asarray(theirs, dtype=bool)
    if mine.shape != other.shape:
        raise ValueError(f"A paired test needs the same rows; got {mine.shape} and {other.shape}")
    only_ours, only_theirs = int((mine & ~other).sum()), int((~mine & other).sum())
    differing = only_ours + only_theirs
    if differing <= _EXACT_UP_TO:
        test = "McNemar, exact"
        chance = float(binomtest(only_ours, differing).pvalue) if differing else 1.0
    else:
        test = "McNemar, chi-squared with continuity correction"
        statistic = max(abs(only_ours - only_theirs) - 1, 0) ** 2 / differing
        chance = float(chi2.sf(statistic, 1))
    return {"test": test, "p_value": chance, "only_ours": only_ours, "only_theirs": only_theirs}


def compare_classifiers(
    ours: NDArray[np.floating],
    theirs: NDArray[np.floating],
    truth: NDArray[np.integer] | Sequence[int],
    resamples: int = 1_000,
    seed: int = 1,
) -> dict[str, Any]:
    """Difference in macro F1 (ours - theirs) of two sets of probabilities [N, K] on the same rows.

    `{"metric", "test", "difference", "p_value", "significant", "accuracy": {"difference", ...McNemar}}`.
    """
    right = np.asarray(truth, dtype=np.int64)
    size = ours.shape[1]
    mine, other = ours.argmax(axis=1), theirs.argmax(axis=1)

    def f1(predicted: Integers) -> tuple[Floats, Floats]:
        features = count_features(predicted, right, size)
        counts = np.asarray(features.sum(axis=0), dtype=np.float64).reshape(1, -1)
        drawn = resampled_sums(features, resamples, seed) if len(right) > 1 else np.zeros((0, 3 * size))
        return macro_f1(counts), macro_f1(drawn, counts[0])

    (our_value, our_samples), (their_value, their_samples) = f1(mine), f1(other)
    result = verdict("macro_f1", our_value[0] - their_value[0], our_samples - their_samples, len(right))
    our_hits, their_hits = (mine == right).astype(np.float64), (other == right).astype(np.float64)
    gain = (our_hits - their_hits).reshape(-1, 1)
    drawn = resampled_sums(gain, resamples, seed)[:, 0] / len(right) if len(right) > 1 else None
    result["accuracy"] = {
        "difference": score(gain.mean() if len(gain) else np.nan, drawn, len(right)),
        **mcnemar(our_hits > 0, their_hits > 0),
    }
    return result


def compare_language_models(
    ours: Sequence[float] | NDArray[np.floating],
    theirs: Sequence[float] | NDArray[np.floating],
    characters: Sequence[int] | NDArray[np.integer],
    resamples: int = 1_000,
    seed: int = 1,
) -> dict[str, Any]:
    """Difference in bits per character (ours - theirs; less is better) from log-likelihoods in nats by document."""
    letters = np.asarray(characters, dtype=np.float64)
    pair = [np.stack([np.asarray(values, dtype=np.float64), letters, letters], axis=1) for values in (ours, theirs)]
    whole = [language_scores(sums.sum(axis=0, keepdims=True))["bits_per_character"] for sums in pair]
    drawn = [np.zeros(0), np.zeros(0)]
    if len(letters) > 1:
        drawn = [language_scores(resampled_sums(sums, resamples, seed))["bits_per_character"] for sums in pair]
    return verdict("bits_per_character", whole[0][0] - whole[1][0], drawn[0] - drawn[1], len(letters))


def verdict(metric: str, value: float, samples: Floats, rows: int) -> dict[str, Any]:
    """The result of a comparison, from the difference and that of each resample: below `LEVEL` it is significant."""
    chance = _two_sided(samples)
    difference: Score = score(value, samples, rows)
    return {
        "metric": metric,
        "test": "paired bootstrap",
        "difference": difference,
        "p_value": chance,
        "significant": chance is not None and chance < LEVEL and difference["value"] != 0.0,
    }


def _two_sided(samples: Floats) -> float | None:
    """Twice the smaller share of resamples on one side of zero, counting one more on each: never 0.

    This inverts the percentile interval (Efron and Tibshirani 1993, chapter 15): the p-value is below 0.05 where
    the 95 % interval leaves zero out.
    """
    kept = samples[np.isfinite(samples)]
    if not len(kept):
        return None
    smaller = min(int((kept <= 0).sum()), int((kept >= 0).sum()))
    return min(1.0, 2.0 * (smaller + 1) / (len(kept) + 1))
