"""A random forest (Breiman 2001, doi:10.1023/A:1010933404324), grown by scikit-learn and kept as plain arrays.

The trees lie end to end: of each node the feature it asks for (-1 in a leaf), the threshold, where the rows go that are
not above it and those that are, and what its rows say. So nothing has to be unpickled, and a few lines of numpy answer.

Shapes: N texts, F features, K columns of an answer, T trees, M nodes of all trees together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse import issparse
from sklearn.ensemble import RandomForestRegressor

from danlu.learning.classic.base import Aim, Fitting, Floats, Matrix, Rows
from danlu.learning.classic.config import RandomForestConfig
from danlu.learning.classic.files import FOREST

#: Trees that are grown before anybody is asked whether to go on.
_TREES_AT_ONCE = 10
#: Features that are looked at for a split: the square root of all for labels, a third for a number (Breiman 2001).
_FEATURES: dict[str, Any] = {"classify": "sqrt", "tag": "sqrt", "regress": 1 / 3}
#: Rows that are answered at once; sparse ones are written out for that.
_ROWS_AT_ONCE = 256
_NAMES = ("feature", "threshold", "below", "above", "value", "roots")


class Forest:
    """The nodes of all trees, by the names in `_NAMES`."""

    def __init__(self, nodes: dict[str, np.ndarray]) -> None:
        self._nodes = nodes
        leaves = int((nodes["feature"] < 0).sum())
        # Each inner node has a feature and a threshold, each leaf its values.
        self.parameters = 2 * (len(nodes["feature"]) - leaves) + leaves * nodes["value"].shape[1]

    @classmethod
    def fit(cls, rows: Rows, _validation: Rows, aim: Aim, config: RandomForestConfig, how: Fitting, /) -> Self:
        """Grow the trees; the validation rows are not looked at.

        Labels are learned as numbers, 1 where a row has one and else 0: the sum of their variances is Gini's impurity,
        and the mean of a leaf's rows the share that has each.
        """
        targets = np.eye(aim.columns)[rows.targets] if aim.task == "classify" else rows.targets.astype(np.float64)
        model = RandomForestRegressor(
            n_estimators=0,
            warm_start=True,
            min_samples_leaf=config.rows_in_leaf,
            max_features=_FEATURES[aim.task],
            random_state=how.seed,
            n_jobs=how.threads or None,
        )
        while model.n_estimators < config.trees:
            how.check()
            model.n_estimators = min(config.trees, model.n_estimators + _TREES_AT_ONCE)
            model.fit(rows.features, targets, sample_weight=rows.weights)
        return cls(_end_to_end([each.tree_ for each in model.estimators_]))

    def answers(self, features: Matrix) -> Floats:
        """See `Learned.answers`."""
        found = np.empty((features.shape[0], self._nodes["value"].shape[1]))
        for begin in range(0, len(found), _ROWS_AT_ONCE):
            part = features[begin : begin + _ROWS_AT_ONCE]
            dense = part.toarray() if issparse(part) else np.asarray(part)
            # Trees were grown on float32, so that they must be asked with it.
            found[begin : begin + _ROWS_AT_ONCE] = self._of(dense.astype(np.float32))
        return found

    def _of(self, features: np.ndarray) -> Floats:
        """Mean [N, K] over the trees of what stands in the leaf of each row [N, F]."""
        nodes = self._nodes
        rows = np.arange(len(features))[:, None]
        here = np.broadcast_to(nodes["roots"], (len(features), len(nodes["roots"])))  # [N, T]
        while True:
            asked = nodes["feature"][here]
            inner = asked >= 0
            if not inner.any():
                mean: Floats = nodes["value"][here].mean(axis=1, dtype=np.float64)
                return mean
            goes_below = features[rows, asked] <= nodes["threshold"][here]
            onwards = np.where(goes_below, nodes["below"][here], nodes["above"][here])
            here = np.where(inner, onwards, here)

    def save(self, folder: Path) -> None:
        """See `Learned.save`."""
        save_file(self._nodes, folder / FOREST)

    @classmethod
    def load(cls, folder: Path, _aim: Aim, _threads: int, /) -> Self:
        """See `Learned.load`."""
        try:
            tensors = load_file(folder / FOREST)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        return cls({name: tensors[name] for name in _NAMES})


def _end_to_end(trees: list[Any]) -> dict[str, np.ndarray]:
    """The nodes of scikit-learn's trees, one tree after the other."""
    sizes = np.array([tree.node_count for tree in trees])
    roots = np.cumsum(sizes) - sizes
    below = np.concatenate([tree.children_left + root for tree, root in zip(trees, roots, strict=True)])
    above = np.concatenate([tree.children_right + root for tree, root in zip(trees, roots, strict=True)])
    return {
        "feature": np.maximum(np.concatenate([tree.feature for tree in trees]), -1).astype(np.int32),
        "threshold": np.concatenate([tree.threshold for tree in trees]),
        "below": below.astype(np.int32),
        "above": above.astype(np.int32),
        "value": np.concatenate([tree.value[:, :, 0] for tree in trees]).astype(np.float32),
        "roots": roots.astype(np.int32),
    }
