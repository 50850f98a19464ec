"""Linear models: logistic regression, one for all labels or one a label, and ridge regression.

Shapes: N texts, F features, K columns of an answer.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold

from danlu.core.baseline import ALPHA_FOLDS, ALPHA_ROWS, ALPHAS, PENALTY, RIDGE_SOLVER, SOLVER
from danlu.learning.classic.base import LINKS, Aim, Fitting, Floats, Matrix, Rows
from danlu.learning.classic.config import LogisticConfig, RidgeConfig
from danlu.learning.classic.files import WEIGHTS

#: Inverse strengths of the penalty that are tried over dense vectors, and on how many rows.
PENALTIES = (1.0, 4.0, 16.0, 64.0)
PENALTY_ROWS = 4_000
_FOLDS = 3
_LEAST = np.finfo(np.float32).tiny


class Linear:
    """Weights [K, F] and biases [K], and what the task makes of their sums."""

    def __init__(self, weights: Floats, biases: Floats, aim: Aim) -> None:
        self._weights = weights
        self._biases = biases
        self._link = LINKS[aim.task]
        self.parameters = weights.size + biases.size

    @classmethod
    def logistic(cls, rows: Rows, _validation: Rows, aim: Aim, config: LogisticConfig, how: Fitting, /) -> Self:
        """Logistic regression by L-BFGS, as the baselines are fitted; the validation rows are not looked at."""
        if aim.task == "classify":
            penalty = _penalty(config, rows, rows.targets, how)
            weights, biases = _classes(rows, aim.columns, penalty, how)
            return cls(weights, biases, aim)
        weights, biases = np.zeros((aim.columns, rows.features.shape[1])), np.zeros(aim.columns)
        for label, truth in enumerate(rows.targets.T):
            how.check()
            if truth.all() or not truth.any():  # a label that all rows have, or none, is learned as what it is
                biases[label] = np.inf if truth.all() else -np.inf
                continue
            penalty = _penalty(config, rows, truth.astype(np.int64), how)
            model = _fitted(rows.features, truth, None, penalty, how)
            weights[label], biases[label] = model.coef_[0], model.intercept_[0]
        return cls(weights, biases, aim)

    @classmethod
    def ridge(cls, rows: Rows, _validation: Rows, aim: Aim, config: RidgeConfig, how: Fitting, /) -> Self:
        """Ridge regression, as the baseline is fitted; the validation rows are not looked at."""
        alpha = choose_alpha(rows.features, rows.targets, how) if config.alpha == "auto" else config.alpha
        model = _ridge(rows.features, rows.targets, alpha)
        return cls(np.asarray(model.coef_, dtype=np.float64)[None], np.array([model.intercept_], np.float64), aim)

    def answers(self, features: Matrix) -> Floats:
        """See `Learned.answers`."""
        found: Floats = features @ self._weights.T + self._biases
        return self._link(found)

    def save(self, folder: Path) -> None:
        """See `Learned.save`."""
        save_file({"weights": self._weights, "biases": self._biases}, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path, aim: Aim, _threads: int, /) -> Self:
        """See `Learned.load`."""
        try:
            tensors = load_file(folder / WEIGHTS)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        return cls(tensors["weights"], tensors["biases"], aim)


def choose_alpha(features: Matrix, targets: Floats, how: Fitting) -> float:
    """The strength among `ALPHAS` with the least squared error on rows that were held out, every row once."""
    rows = min(len(targets), ALPHA_ROWS)
    if rows < ALPHA_FOLDS:
        return ALPHAS[len(ALPHAS) // 2]
    errors, fold = np.zeros(len(ALPHAS)), np.arange(rows) % ALPHA_FOLDS
    for held_out in range(ALPHA_FOLDS):
        ours, theirs = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
        for place, alpha in enumerate(ALPHAS):
            how.check()
            model = _ridge(features[ours], targets[ours], alpha)
            errors[place] += np.square(model.predict(features[theirs]) - targets[theirs]).sum()
    return ALPHAS[int(errors.argmin())]


def _ridge(features: Matrix, targets: Floats, alpha: float) -> Any:
    solver: dict[str, Any] = RIDGE_SOLVER if issparse(features) else {"solver": "cholesky"}
    return Ridge(alpha=alpha, **solver).fit(features, targets)


def _classes(rows: Rows, labels: int, penalty: float, how: Fitting) -> tuple[Floats, Floats]:
    """Weights [K, F] and biases [K] of one regression over all labels.

    A label without a training row is never the answer; of two labels scikit-learn keeps one row of weights.
    """
    model = _fitted(rows.features, rows.targets, rows.weights, penalty, how)
    weights = np.zeros((labels, rows.features.shape[1]))
    biases = np.full(labels, -np.inf)
    binary = len(model.classes_) == 2
    weights[model.classes_] = np.vstack([np.zeros_like(model.coef_), model.coef_]) if binary else model.coef_
    biases[model.classes_] = np.append(0.0, model.intercept_) if binary else model.intercept_
    return weights, biases


def _fitted(features: Matrix, truth: np.ndarray, weights: np.ndarray | None, penalty: float, how: Fitting) -> Any:
    model = LogisticRegression(C=penalty, random_state=how.seed, **SOLVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said in words of ours
        model.fit(features, truth, sample_weight=weights)
    if int(np.max(model.n_iter_)) >= SOLVER["max_iter"]:
        how.warn(
            f"Logistic regression stopped after {SOLVER['max_iter']} steps before it had converged: the model may "
            "be weaker than it could be. A smaller model.classic.penalty converges sooner."
        )
    return model


def _penalty(config: LogisticConfig, data: Rows, truth: np.ndarray, how: Fitting) -> float:
    """The inverse strength that the recipe names, or that which auto means.

    Over vectors the best depends on how an encoder scales them, so that it is chosen: by the mean log-loss over held
    out thirds of the first rows, which lie in no order. Rows that were made of others are left out: one of them tells
    what the rows are that it lies between.
    """
    if config.penalty != "auto":
        return config.penalty
    features, rows = data.features, min(len(truth) if data.given is None else data.given, PENALTY_ROWS)
    counts = np.unique(truth[:rows], return_counts=True)[1]
    if issparse(features) or len(counts) < 2 or counts.min() < _FOLDS:
        return PENALTY
    losses, quiet = np.zeros(len(PENALTIES)), replace(how, warn=lambda _: None)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=how.seed)
    for learned, held_out in folds.split(truth[:rows], truth[:rows]):
        for place, penalty in enumerate(PENALTIES):
            how.check()
            model = _fitted(features[learned], truth[learned], None, penalty, quiet)
            chances = model.predict_proba(features[held_out]).astype(np.float64)
            right = np.searchsorted(model.classes_, truth[held_out])
            # A weak penalty may be so sure of what is wrong that the chance of the right answer is rounded to 0.
            losses[place] -= np.log(np.maximum(chances[np.arange(len(held_out)), right], _LEAST)).sum()
    return PENALTIES[int(losses.argmin())]
