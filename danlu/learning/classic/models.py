"""What is learned over n-grams: one class a kind, in a table, each kept in files that hold numbers alone.

Shapes: N texts, F features, K labels.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from danlu.core.lazy import need
from danlu.learning.classic.config import GradientBoostingConfig, LogisticConfig
from danlu.learning.classic.files import TREES, WEIGHTS

_ITERATIONS = 1_000

#: Steps into which a weight is cut before trees are grown. On 4,000 Chinese reviews 15 took 0.7 of the time of 255, and
#: boosting had 82.3 % right on 2,000 others, against 81.5 %.
_BINS = 15
#: Memory for the counts of the leaves that are still to be split.
_POOL_MIB = 256


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Features [N, F] and the place of each row's label among K, int64 [N]; `weights` float64 [N] or None."""

    features: csr_matrix
    labels: np.ndarray
    weights: np.ndarray | None = None


class Learned(Protocol):
    """A model over n-grams."""

    #: How many numbers it has learned.
    parameters: int

    def probabilities(self, features: csr_matrix) -> np.ndarray:
        """Probabilities float64 [N, K], each row summing to 1."""
        ...

    def save(self, folder: Path) -> None:
        """Write it into `folder`; the same model gives the same bytes."""
        ...

    @classmethod
    def load(cls, folder: Path, threads: int, /) -> Self:
        """What `save` wrote; raises `OSError` or `ValueError` where that cannot be read."""
        ...


class Linear:
    """Weights [K, F] and biases [K]; the probabilities are the softmax over the labels."""

    def __init__(self, weights: np.ndarray, biases: np.ndarray) -> None:
        self._weights = weights
        self._biases = biases
        self.parameters = weights.size + biases.size

    @classmethod
    def fit(
        cls, rows: Rows, _validation: Rows, labels: int, config: LogisticConfig, seed: int, _threads: int, /
    ) -> Self:
        """Logistic regression by L-BFGS; the validation rows are not looked at."""
        model = LogisticRegression(C=config.penalty, max_iter=_ITERATIONS, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(rows.features, rows.labels, sample_weight=rows.weights)
        # A label without a training row is never the answer; of two labels scikit-learn keeps one row of weights.
        weights = np.zeros((labels, rows.features.shape[1]))
        biases = np.full(labels, -np.inf)
        binary = len(model.classes_) == 2
        weights[model.classes_] = np.vstack([np.zeros_like(model.coef_), model.coef_]) if binary else model.coef_
        biases[model.classes_] = np.append(0.0, model.intercept_) if binary else model.intercept_
        return cls(weights, biases)

    def probabilities(self, features: csr_matrix) -> np.ndarray:
        """See `Learned.probabilities`."""
        logits = features @ self._weights.T + self._biases
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
        return found

    def save(self, folder: Path) -> None:
        """See `Learned.save`."""
        save_file({"weights": self._weights, "biases": self._biases}, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path, _threads: int, /) -> Self:
        """See `Learned.load`."""
        try:
            tensors = load_file(folder / WEIGHTS)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        return cls(tensors["weights"], tensors["biases"])


class Trees:
    """LightGBM's trees, in its text form."""

    def __init__(self, booster: Any, threads: int) -> None:
        self._booster = booster
        self._threads = threads
        # Each inner node has a feature and a threshold, each leaf a value.
        leaves = int(booster.trees_to_dataframe()["left_child"].isna().sum()) if booster.num_trees() else 0
        self.parameters = leaves + 2 * (leaves - booster.num_trees())

    @classmethod
    def fit(
        cls, rows: Rows, validation: Rows, labels: int, config: GradientBoostingConfig, seed: int, threads: int, /
    ) -> Self:
        """Gradient boosting; the number of rounds is that with the least validation loss."""
        settings = _settings(config, labels, seed, threads) | {"learning_rate": config.learning_rate}
        return cls(_grow(settings, rows, validation, config.rounds, config.patience), threads)

    def probabilities(self, features: csr_matrix) -> np.ndarray:
        """See `Learned.probabilities`."""
        found = np.asarray(self._booster.predict(features, num_threads=self._threads), dtype=np.float64)
        if found.ndim == 1:  # of two labels the trees foresee the second
            return np.column_stack([1.0 - found, found])
        total: np.ndarray = found / found.sum(axis=1, keepdims=True)
        return total

    def save(self, folder: Path) -> None:
        """See `Learned.save`."""
        (folder / TREES).write_text(self._booster.model_to_string(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, threads: int, /) -> Self:
        """See `Learned.load`."""
        lightgbm = need("lightgbm", extra="classic")
        text = (folder / TREES).read_text(encoding="utf-8")
        try:
            return cls(lightgbm.Booster(model_str=text), threads)
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(str(error)) from error


def _settings(config: GradientBoostingConfig, labels: int, seed: int, threads: int) -> dict[str, Any]:
    aim: dict[str, Any] = {"objective": "binary"} if labels == 2 else {"objective": "multiclass", "num_class": labels}
    return aim | {
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.rows_in_leaf,
        # Rows in the order they come and histograms in one piece: the same trees each time, on any number of threads.
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "num_threads": threads,
        "max_bin": _BINS,
        "histogram_pool_size": _POOL_MIB,
        "verbosity": -1,
    }


def _grow(settings: dict[str, Any], rows: Rows, validation: Rows | None, rounds: int, patience: int) -> Any:
    lightgbm = need("lightgbm", extra="classic")
    data = lightgbm.Dataset(rows.features, label=rows.labels, weight=rows.weights, free_raw_data=False)
    stopping = validation is not None and patience > 0
    held_out = (
        [lightgbm.Dataset(validation.features, label=validation.labels, weight=validation.weights, reference=data)]
        if stopping and validation is not None
        else []
    )
    callbacks = [lightgbm.early_stopping(patience, verbose=False)] if stopping else []
    booster = lightgbm.train(settings, data, num_boost_round=rounds, valid_sets=held_out, callbacks=callbacks)
    if stopping and 0 < booster.best_iteration < booster.current_iteration():
        # Only the rounds up to the best one are kept, so that what is saved is what answers.
        return lightgbm.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))
    return lightgbm.Booster(model_str=booster.model_to_string())


@dataclass(frozen=True)
class Kind:
    """One kind of model: `fit(rows, validation, labels, config, seed, threads)` and how it is read again."""

    name: str
    fit: Any
    model: type[Learned]


KINDS: dict[str, Kind] = {
    "logistic": Kind("TF-IDF + logistic regression", Linear.fit, Linear),
    "gradient_boosting": Kind("TF-IDF + gradient-boosted trees", Trees.fit, Trees),
}
