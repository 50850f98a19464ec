"""Scores of a classifier and of a language model, each with a 95 % bootstrap interval.

Nearly every score is a function of sums over the test rows: a resample is a weight per row, so the sums of all
resamples are one matrix product (see `bootstrap`). The area under the ROC curve is the exception: it needs ranks.

Two things that a plain bootstrap gets wrong on few rows are mended. A label that a resample lacks keeps its score from
all rows in the macro means: without that, a mean over fewer labels would pass for a better or worse model. And where
all resamples give the same score, as of a model without a mistake, the interval is Wilson's (see `proportions`).

Shapes: N rows, K labels, R resamples, B bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from danlu.metrics.bootstrap import (
    Floats,
    Score,
    mean_of_known,
    number,
    ratio,
    resampled_sums,
    running_sums,
    score,
    weights,
)
from danlu.metrics.proportions import both, mean_ends, with_ends

Integers = NDArray[np.int64]

#: Equal-width bins of confidence, as in Guo et al. 2017, "On Calibration of Modern Neural Networks".
BINS = 15

#: A probability of 0 for the right label would cost infinitely much; engines answer in float32.
_SMALLEST = float(np.finfo(np.float32).eps)

_BY_LABEL = ("precision", "recall", "f1")


def classification(
    probabilities: NDArray[np.floating],
    truth: NDArray[np.integer] | Sequence[int],
    labels: Sequence[str],
    resamples: int = 1_000,
    seed: int = 1,
) -> dict[str, Any]:
    """All scores of a classifier: `{"scores", "per_class", "confusion", "calibration"}` as the evidence has them.

    `probabilities` [N, K], `truth` [N] positions in `labels`. Macro scores are means over the labels that occur in
    `truth`; a label that is never predicted has precision 0; what does not exist (a label without test rows, the
    ROC curve of a single label) is None. log_loss is in nats.

    Raises `ValueError` when the shapes disagree or a probability is not a finite number.
    """
    answers, right = _checked(probabilities, truth, labels)
    rows, size = answers.shape
    features = _row_features(answers, right)
    sums = np.asarray(features.sum(axis=0), dtype=np.float64).reshape(1, -1)
    point = _from_sums(sums, size)
    ranked = _ranked(answers, right)
    point["roc_auc"] = _roc_auc(ranked, np.ones((rows, 1)))
    drawn: dict[str, Floats] = {}
    if rows > 1 and resamples > 0:
        drawn = _from_sums(resampled_sums(features, resamples, seed), size, whole=point)
        drawn["roc_auc"] = np.concatenate([_roc_auc(ranked, block) for block in weights(rows, resamples, seed)])
        drawn["ece"] = _without_bias(drawn["ece"], float(point["ece"][0]))
    by_label = {name: (point.pop(name), drawn.pop(name, None)) for name in _BY_LABEL}
    scores = {name: score(value[0], drawn.get(name), rows) for name, value in point.items()}
    support = np.bincount(right, minlength=size)
    per_class = {
        label: {
            name: score(value[0, k], None if samples is None else samples[:, k], rows)
            for name, (value, samples) in by_label.items()
        }
        | {"support": int(support[k])}
        for k, label in enumerate(labels)
    }
    if drawn:
        _widen(scores, per_class, support, sums[0, size : 2 * size])
    return {
        "scores": scores,
        "per_class": per_class,
        "confusion": {"labels": list(labels), "matrix": _confusion(answers, right)},
        "calibration": {"ece": scores["ece"], "bins": _bins(answers, right)},
    }


def generation(
    log_likelihood: Sequence[float],
    tokens: Sequence[int],
    characters: Sequence[int],
    resamples: int = 1_000,
    seed: int = 1,
) -> dict[str, Score]:
    """Scores of a language model from one entry a document; whole documents are resampled.

    `log_likelihood` in nats and `tokens` count the end-of-document event as one prediction; `characters` do not,
    since the reader sees none: bits_per_character is what it costs to write the document down, its end included,
    over its visible characters, and so compares models whose tokens differ. perplexity is per token.
    """
    sums = np.stack([np.asarray(column, dtype=np.float64) for column in (log_likelihood, tokens, characters)], axis=1)
    rows = len(sums)
    point = language_scores(sums.sum(axis=0, keepdims=True))
    drawn = language_scores(resampled_sums(sums, resamples, seed)) if rows > 1 and resamples > 0 else {}
    return {name: score(value[0], drawn.get(name), rows) for name, value in point.items()}


def macro_f1(counts: Floats, whole: Floats | None = None) -> Floats:
    """Macro F1 from `counts` [..., 3K]: rows by truth, rows by prediction, rows right, each by label.

    Of resamples, `whole` [3K] are the counts of all rows: a label that a resample lacks keeps its F1 from there.
    """
    return mean_of_known(_known(_f1(counts), None if whole is None else _f1(whole)))


def _f1(counts: Floats) -> Floats:
    """F1 by label [..., K]; NaN for a label that no row has."""
    support, predicted, right = np.split(counts, 3, axis=-1)
    return np.asarray(np.where(support > 0, ratio(2.0 * right, support + predicted), np.nan))


def _known(values: Floats, whole: Floats | None) -> Floats:
    """`values` [..., K] of resamples, from `whole` [K] where a resample lacks the label."""
    return values if whole is None else np.asarray(np.where(np.isfinite(values), values, whole))


def _widen(
    scores: dict[str, Score], per_class: dict[str, dict[str, Any]], support: Integers, predicted: Floats
) -> None:
    """Give scores whose resamples are all equal an interval that few rows can bear, in place.

    `support` and `predicted` [K] count rows by truth and by prediction.
    """
    rows = int(support.sum())
    for (label, found), there, given in zip(per_class.items(), support.tolist(), predicted.tolist(), strict=True):
        found["recall"] = with_ends(found["recall"], there)
        # Precision is 0 by convention where nothing was given this label: there is nothing to be sure of.
        found["precision"] = with_ends(found["precision"], round(given))
        found["f1"] = both(found["f1"], found["precision"], found["recall"])
        per_class[label] = found
    known = [(found, there) for found, there in zip(per_class.values(), support.tolist(), strict=True) if there]
    scores["accuracy"] = with_ends(scores["accuracy"], rows)
    for name in _BY_LABEL:
        scores[f"macro_{name}"] = mean_ends(scores[f"macro_{name}"], [found[name] for found, _ in known])
    shares = [there / rows for _, there in known]
    scores["weighted_f1"] = mean_ends(scores["weighted_f1"], [found["f1"] for found, _ in known], shares)
    # So many pairs of a row with the label and one without are independent of one another.
    pairs = min((min(there, rows - there) for _, there in known), default=0)
    scores["roc_auc"] = with_ends(scores["roc_auc"], pairs)


def count_features(predicted: Integers, truth: Integers, size: int) -> csr_matrix:
    """Per row, which of the 3K counts of `macro_f1` it adds to, [N, 3K]."""
    rows = np.arange(len(truth))
    hits = predicted == truth
    row = np.concatenate([rows, rows, rows[hits]])
    column = np.concatenate([truth, size + predicted, 2 * size + truth[hits]])
    return csr_matrix((np.ones(len(row)), (row, column)), shape=(len(truth), 3 * size))


def _checked(
    probabilities: NDArray[np.floating], truth: NDArray[np.integer] | Sequence[int], labels: Sequence[str]
) -> tuple[Floats, Integers]:
    answers = np.asarray(probabilities, dtype=np.float64)
    right = np.asarray(truth, dtype=np.int64)
    if answers.ndim != 2 or answers.shape != (len(right), len(labels)):
        raise ValueError(
            f"probabilities have the shape {answers.shape}; expected ({len(right)}, {len(labels)}): one row a text, "
            "one column a label"
        )
    if not np.isfinite(answers).all():
        raise ValueError(f"{int((~np.isfinite(answers)).any(axis=1).sum())} rows of probabilities are not finite")
    if len(right) and not (right.min() >= 0 and right.max() < len(labels)):
        raise ValueError(f"truth goes from {right.min()} to {right.max()}, but there are {len(labels)} labels")
    return answers, right


def _row_features(answers: Floats, right: Integers) -> csr_matrix:
    """What each row adds to the sums, [N, 3K + 1 + 2B]: the counts of `macro_f1`, loss, confidence and hits by bin."""
    rows, size = answers.shape
    predicted = answers.argmax(axis=1)
    total = answers.sum(axis=1)
    loss = -np.log(np.clip(answers[np.arange(rows), right] / np.where(total > 0, total, 1.0), _SMALLEST, 1.0))
    counts = count_features(predicted, right, size).tocoo()
    confidence, hits, bins = _confidence(answers, right)
    each = np.arange(rows)
    row = np.concatenate([counts.row, each, each, each])
    column = np.concatenate([counts.col, np.full(rows, 3 * size), 3 * size + 1 + bins, 3 * size + 1 + BINS + bins])
    value = np.concatenate([counts.data, loss, confidence, hits])
    return csr_matrix((value, (row, column)), shape=(rows, 3 * size + 1 + 2 * BINS))


def _from_sums(sums: Floats, size: int, whole: dict[str, Floats] | None = None) -> dict[str, Floats]:
    """Every score but roc_auc from `sums` [R, 3K + 1 + 2B]: [R] each, and [R, K] for those by label.

    Of resamples, `whole` are the scores of all rows, by label [1, K], for the labels that a resample lacks.
    """
    counts, loss = sums[:, : 3 * size], sums[:, 3 * size]
    confidence, hits = np.split(sums[:, 3 * size + 1 :], 2, axis=1)
    support, predicted, right = np.split(counts, 3, axis=1)
    rows = support.sum(axis=1)
    occurs = support > 0
    recall = ratio(right, support)
    precision = np.where(occurs, right / np.maximum(predicted, 1.0), np.nan)
    f1 = _f1(counts)

    def mean(name: str, values: Floats) -> Floats:
        return mean_of_known(_known(values, None if whole is None else whole[name][0]))

    return {
        "accuracy": ratio(right.sum(axis=1), rows),
        "macro_f1": mean("f1", f1),
        "weighted_f1": ratio((np.nan_to_num(f1) * support).sum(axis=1), rows),
        "macro_precision": mean("precision", precision),
        "macro_recall": mean("recall", recall),
        "log_loss": ratio(loss, rows),
        "ece": ratio(np.abs(confidence - hits).sum(axis=1), rows),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }


@dataclass(frozen=True)
class _Ranked:
    """One label against the rest: rows without it by its probability, and rows that have it, by place.

    `below` and `up_to` count, for each row that has it, those without it that are below and that are no higher.
    """

    others: Integers
    having: Integers
    below: Integers
    up_to: Integers


def _ranked(answers: Floats, right: Integers) -> list[_Ranked]:
    """Each label that some rows have and some have not; of two labels the second, since both have the same area."""
    size = answers.shape[1]
    found = []
    for k in range(1, 2) if size == 2 else range(size):
        having, others = np.flatnonzero(right == k), np.flatnonzero(right != k)
        if not len(having) or not len(others):
            continue
        others = others[np.argsort(answers[others, k], kind="stable")]
        below, up_to = (np.searchsorted(answers[others, k], answers[having, k], side) for side in ("left", "right"))
        found.append(_Ranked(others, having, below, up_to))
    return found


def _roc_auc(labels: Sequence[_Ranked], drawn: Floats) -> Floats:
    """Area under the ROC curve for each column of the weights `drawn` [N, R]: one label against the rest, mean [R].

    The share of (right, wrong) pairs that the probability orders rightly, a tie counting half (Mann and Whitney 1947).
    """
    areas = np.full((drawn.shape[1], len(labels)), np.nan)
    for r, sample in enumerate(drawn.T):  # one at a time: what it takes stays in the processor's cache
        for place, label in enumerate(labels):
            sums, with_it = running_sums(sample.take(label.others)), sample.take(label.having)
            wins = with_it @ (sums.take(label.below) + sums.take(label.up_to)) / 2.0
            pairs = with_it.sum() * sums[-1]
            areas[r, place] = wins / pairs if pairs else np.nan
    return mean_of_known(areas)


def _without_bias(samples: Floats, value: float) -> Floats:
    """Calibration error is a sum of absolute values: resampling noise only adds to it. Take its mean off again."""
    return np.asarray(np.maximum(samples - (samples.mean() - value), 0.0))


def _confidence(answers: Floats, right: Integers) -> tuple[Floats, Floats, Integers]:
    """Per row: the highest probability, whether it was right (1.0 or 0.0), and its bin."""
    confidence = answers.max(axis=1, initial=0.0)
    hits = (answers.argmax(axis=1) == right).astype(np.float64)
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    return confidence, hits, bins


def _bins(answers: Floats, right: Integers) -> list[dict[str, Any]]:
    confidence, hits, bins = _confidence(answers, right)
    rows = np.bincount(bins, minlength=BINS)
    means = [ratio(np.bincount(bins, weights=values, minlength=BINS), rows) for values in (confidence, hits)]
    return [
        {
            "low": b / BINS,
            "high": (b + 1) / BINS,
            "rows": int(rows[b]),
            "confidence": number(means[0][b]),
            "accuracy": number(means[1][b]),
        }
        for b in range(BINS)
    ]


def _confusion(answers: Floats, right: Integers) -> list[list[int]]:
    size = answers.shape[1]
    cells = np.bincount(right * size + answers.argmax(axis=1), minlength=size * size)
    return [[int(count) for count in row] for row in cells.reshape(size, size)]


def language_scores(sums: Floats) -> dict[str, Floats]:
    """Scores from `sums` [R, 3] of log-likelihood, tokens and characters; a huge perplexity overflows to None."""
    log_likelihood, tokens, characters = sums.T
    with np.errstate(over="ignore"):
        return {
            "perplexity": np.exp(-ratio(log_likelihood, tokens)),
            "bits_per_character": ratio(-log_likelihood / math.log(2.0), characters),
        }
