"""Scores of a model that gives a text any number of labels, and the cheap model it has to beat.

A label holds where its probability reaches the label's threshold (`danlu.metrics.thresholds`), chosen on other rows.
Shapes: N rows, K labels, R resamples.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from danlu.core.asked import Question
from danlu.core.baseline import PENALTY, SOLVER
from danlu.core.tasks import TASKS
from danlu.metrics.baseline import TextFeatures
from danlu.metrics.bootstrap import (
    Floats,
    Score,
    mean_of_known,
    ratio,
    resampled_sums,
    running_sums,
    score,
    weights,
)
from danlu.metrics.paired import mcnemar, verdict
from danlu.metrics.proportions import both, mean_ends, with_ends
from danlu.metrics.scores import Integers, macro_f1
from danlu.metrics.thresholds import Flags, indicators

NAME = TASKS["tag"].baseline

#: A probability of 0 for what is there would cost infinitely much; engines answer in float32.
_SMALLEST = float(np.finfo(np.float32).eps)

_BY_LABEL = ("precision", "recall", "f1", "average_precision")


def multilabel(
    probabilities: NDArray[np.floating],
    truth: Flags,
    labels: Sequence[str],
    thresholds: NDArray[np.floating],
    resamples: int = 1_000,
    seed: int = 1,
) -> dict[str, Any]:
    """All scores, `{"scores", "per_class"}` as the evidence has them, each with a 95 % bootstrap interval.

    `probabilities` and `truth` [N, K], `thresholds` [K]. Micro scores count decisions over all labels together, macro
    scores are means over the labels that occur in `truth`. subset_accuracy is the share of rows whose labels are all
    right, hamming_loss the share of wrong decisions among N K, log_loss the mean negative log-probability of a decision
    in nats. average_precision is that of the ranking by probability, mean over labels; it needs no threshold.

    Raises `ValueError` when the shapes disagree or a probability is not a finite number.
    """
    answers = np.asarray(probabilities, dtype=np.float64)
    if answers.shape != truth.shape or answers.shape[1:] != (len(labels),):
        raise ValueError(f"probabilities {answers.shape} and truth {truth.shape} must both be (rows, {len(labels)})")
    if not np.isfinite(answers).all():
        raise ValueError(f"{int((~np.isfinite(answers)).any(axis=1).sum())} rows of probabilities are not finite")
    rows, size = answers.shape
    features = _row_features(answers, truth, answers >= thresholds)
    point = _from_sums(np.asarray(features.sum(axis=0), dtype=np.float64).reshape(1, -1), size)
    ranked = _rankings(answers, truth)
    point["by average_precision"] = _average_precisions(ranked, size, np.ones((rows, 1)))
    drawn: dict[str, Floats] = {}
    if rows > 1 and resamples > 0:
        drawn = _from_sums(resampled_sums(features, resamples, seed), size)
        blocks = weights(rows, resamples, seed)
        drawn["by average_precision"] = np.concatenate([_average_precisions(ranked, size, block) for block in blocks])
    for found in (point, drawn) if drawn else (point,):
        found["average_precision"] = mean_of_known(found["by average_precision"])
    scores = {
        name: score(value[0], drawn.get(name), rows) for name, value in point.items() if not name.startswith("by ")
    }
    per_class = {
        label: {
            name: score(point[f"by {name}"][0, k], drawn[f"by {name}"][:, k] if drawn else None, rows)
            for name in _BY_LABEL
        }
        | {"support": int(truth[:, k].sum()), "threshold": float(thresholds[k])}
        for k, label in enumerate(labels)
    }
    _put_ends(scores, per_class, truth.sum(axis=0), (answers >= thresholds).sum(axis=0), rows)
    return {"scores": scores, "per_class": per_class}


def _put_ends(
    scores: dict[str, Score],
    per_class: dict[str, dict[str, Any]],
    support: NDArray[np.integer],
    given: NDArray[np.integer],
    rows: int,
) -> None:
    """Give an interval to scores whose resamples were all equal; in place. `support` and `given` [K] are rows."""
    for found, there, said in zip(per_class.values(), support.tolist(), given.tolist(), strict=True):
        found["recall"] = with_ends(found["recall"], there)
        found["precision"] = with_ends(found["precision"], said)
        found["f1"] = both(found["f1"], found["precision"], found["recall"])
        # So many pairs of a row with the label and one without are independent of one another.
        found["average_precision"] = with_ends(found["average_precision"], min(there, rows - there))
    known = [found for found, there in zip(per_class.values(), support.tolist(), strict=True) if there]
    for name in _BY_LABEL:
        whole = name if name == "average_precision" else f"macro_{name}"
        scores[whole] = mean_ends(scores[whole], [found[name] for found in known])
    scores["micro_recall"] = with_ends(scores["micro_recall"], int(support.sum()))
    scores["micro_precision"] = with_ends(scores["micro_precision"], int(given.sum()))
    scores["micro_f1"] = both(scores["micro_f1"], scores["micro_precision"], scores["micro_recall"])
    # Decisions about one text hang together: texts count.
    for name in ("subset_accuracy", "hamming_loss"):
        scores[name] = with_ends(scores[name], rows)


def compare_taggers(ours: Flags, theirs: Flags, truth: Flags, resamples: int = 1_000, seed: int = 1) -> dict[str, Any]:
    """Difference in macro F1 (ours - theirs) of two sets of decisions [N, K] on the same rows.

    `{"metric", "test", "difference", "p_value", "significant", "micro_f1": {"difference"}, "subset_accuracy":
    {"difference", ...McNemar}}`.
    """
    rows, size = truth.shape
    found = []
    for decided in (ours, theirs):
        features = _counts(truth, decided)
        whole = np.asarray(features.sum(axis=0), dtype=np.float64).reshape(1, -1)
        drawn = resampled_sums(features, resamples, seed) if rows > 1 else np.zeros((0, 3 * size))
        found.append((whole, drawn))
    (our_whole, our_drawn), (their_whole, their_drawn) = found
    value = macro_f1(our_whole)[0] - macro_f1(their_whole)[0]
    result = verdict("macro_f1", value, macro_f1(our_drawn) - macro_f1(their_drawn), rows)
    micro = _micro_f1(our_whole)[0] - _micro_f1(their_whole)[0]
    result["micro_f1"] = {"difference": score(micro, _micro_f1(our_drawn) - _micro_f1(their_drawn), rows)}
    mine, other = (ours == truth).all(axis=1), (theirs == truth).all(axis=1)
    gain = (mine.astype(np.float64) - other).reshape(-1, 1)
    gains = resampled_sums(gain, resamples, seed)[:, 0] / rows if rows > 1 else None
    result["subset_accuracy"] = {
        "difference": score(gain.mean() if rows else np.nan, gains, rows),
        **mcnemar(mine, other),
    }
    return result


def _counts(truth: Flags, decided: Flags) -> csr_matrix:
    """Per row, which of the 3K counts of `macro_f1` it adds to, [N, 3K]."""
    parts = [csr_matrix(part, dtype=np.float64) for part in (truth, decided, truth & decided)]
    return csr_matrix(hstack(parts, format="csr"))


def _row_features(answers: Floats, truth: Flags, decided: Flags) -> csr_matrix:
    """What each row adds to the sums, [N, 3K + 4]: the counts of `macro_f1`, all right, wrong decisions, loss, 1."""
    wrong = (truth != decided).sum(axis=1)
    loss = -np.log(np.clip(np.where(truth, answers, 1.0 - answers), _SMALLEST, 1.0)).mean(axis=1)
    whole = csr_matrix(np.stack([wrong == 0, wrong, loss, wrong >= 0], axis=1))
    return csr_matrix(hstack([_counts(truth, decided), whole], format="csr"))


def _from_sums(sums: Floats, size: int) -> dict[str, Floats]:
    """Every score but average precision from `sums` [R, 3K + 4]: [R] each, and [R, K] for those "by" label."""
    counts = sums[:, : 3 * size]
    support, predicted, right = np.split(counts, 3, axis=1)
    exact, wrong, loss, rows = sums[:, 3 * size :].T
    occurs = support > 0
    precision = np.where(occurs, right / np.maximum(predicted, 1.0), np.nan)
    recall = ratio(right, support)
    return {
        "micro_f1": _micro_f1(counts),
        "macro_f1": macro_f1(counts),
        "micro_precision": ratio(right.sum(axis=1), predicted.sum(axis=1)),
        "micro_recall": ratio(right.sum(axis=1), support.sum(axis=1)),
        "macro_precision": mean_of_known(precision),
        "macro_recall": mean_of_known(recall),
        "subset_accuracy": ratio(exact, rows),
        "hamming_loss": ratio(wrong, rows * size),
        "log_loss": ratio(loss, rows),
        "by precision": precision,
        "by recall": recall,
        "by f1": np.where(occurs, ratio(2.0 * right, support + predicted), np.nan),
    }


def _micro_f1(counts: Floats) -> Floats:
    support, predicted, right = np.split(counts, 3, axis=-1)
    return ratio(2.0 * right.sum(axis=-1), support.sum(axis=-1) + predicted.sum(axis=-1))


@dataclass(frozen=True)
class _Ranking:
    """Rows by falling probability of label `k`, and where the rows that have it are among them.

    For each row that has it, `upto` counts the rows, and `hits` those with the label, that stand or fall with it or
    before it: rows of equal probability do so together.
    """

    k: int
    order: Integers
    having: Integers
    upto: Integers
    hits: Integers


def _rankings(answers: Floats, truth: Flags) -> list[_Ranking]:
    """Of each label that some row has."""
    found = []
    for k in np.flatnonzero(truth.any(axis=0)).tolist():
        order = np.argsort(-answers[:, k], kind="stable")
        having = order[truth[order, k]]
        upto, hits = (np.searchsorted(-answers[rows, k], -answers[having, k], "right") for rows in (order, having))
        found.append(_Ranking(k, order, having, upto, hits))
    return found


def _average_precisions(rankings: Sequence[_Ranking], size: int, drawn: Floats) -> Floats:
    """Average precision of each label [R, K] under each column of the weights `drawn` [N, R]; NaN without positives.

    The sum over thresholds of precision times the recall gained there (as in scikit-learn's `average_precision_score`,
    without interpolation).
    """
    found = np.full((drawn.shape[1], size), np.nan)
    for r, sample in enumerate(drawn.T):  # one at a time: what it takes stays in the processor's cache
        for one in rankings:
            gained = sample.take(one.having)
            hits, seen = running_sums(gained), running_sums(sample.take(one.order))
            precision = hits.take(one.hits) / np.maximum(seen.take(one.upto), 1.0)
            found[r, one.k] = gained @ precision / hits[-1] if hits[-1] else np.nan
    return found


class TagBaseline:
    """A logistic regression for each label on TF-IDF features; deterministic."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self._features = TextFeatures()
        self._models: list[LogisticRegression | float] = []
        #: Whether every solver came to its end; if not, the baseline is weaker than it could be.
        self.converged = True

    def fit(self, texts: Sequence[Question], rows: Sequence[Sequence[str]], labels: Sequence[str]) -> Self:
        """Learn which of `labels` a text has. A label that all rows have, or none, is learnt as what it is."""
        self.labels = list(labels)
        truth = indicators(rows, labels)
        features = self._features.fit(texts)
        for k in range(len(labels)):
            share = float(truth[:, k].mean())
            if share in {0.0, 1.0}:
                self._models.append(share)
                continue
            model = LogisticRegression(C=PENALTY, **SOLVER)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # said by `converged`
                model.fit(features, truth[:, k])
            self.converged = self.converged and int(np.max(model.n_iter_)) < SOLVER["max_iter"]
            self._models.append(model)
        return self

    def probabilities(self, texts: Sequence[Question]) -> Floats:
        """Probabilities [N, K], each label's by itself."""
        answers = np.zeros((len(texts), len(self.labels)))
        if not len(texts):
            return answers
        features = self._features.of(texts)
        for k, model in enumerate(self._models):
            answers[:, k] = model if isinstance(model, float) else model.predict_proba(features)[:, 1]
        return answers
