"""New rows for small classes, between rows that are neighbours (SMOTE: Chawla et al. 2002, doi:10.1613/jair.953).

imbalanced-learn makes them. Where cells stand beside the vectors it is the paper's SMOTE-NC: numbers lie between those
of two rows, and a category, or whether a number is missing, is that of most neighbours.

Shapes: N rows, F features, K classes, M numeric and C categorical columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from danlu.core.errors import DataError
from danlu.core.lazy import need
from danlu.learning.classic.base import Rows
from danlu.learning.classic.beside import Cells
from danlu.learning.classic.config import SmoteConfig

Sizes = NDArray[np.float64]

#: The size that smaller classes are brought up to, from the sizes of all that have rows: as `data.balance` has them.
_TARGETS: dict[str, Callable[[Sizes], Sizes]] = {
    "largest": lambda sizes: np.full(len(sizes), sizes.max()),
    "mean": lambda sizes: np.full(len(sizes), sizes.mean()),
    "median": lambda sizes: np.full(len(sizes), np.median(sizes)),
    "square_root": lambda sizes: np.sqrt(sizes * sizes.max()),
}


def wanted(sizes: Sequence[float], target: str) -> list[int]:
    """The size of each class [K] with its new rows; one without rows gets none."""
    known = np.asarray(sizes, dtype=np.float64)
    found = known.copy()
    there = known > 0
    if there.any():
        found[there] = np.maximum(np.floor(_TARGETS[target](known[there]) + 0.5), known[there])
    return [int(size) for size in found]


def with_new_rows(
    rows: Rows, labels: Sequence[str], config: SmoteConfig, seed: int, cells: Cells | None = None
) -> tuple[Rows, Cells | None, dict[str, dict[str, int]]]:
    """The training rows and their cells with new ones behind them, and how many rows each class had that got `new`.

    `rows.features` are vectors, without what `cells` make of themselves. The new rows depend on the seed and the rows
    alone. Raises `DataError` for a class that has not one row more than `neighbours`, where it should get new ones.
    """
    sizes = np.bincount(rows.targets, minlength=len(labels)).tolist()
    sought = {place: size for place, size in enumerate(wanted(sizes, config.target)) if size > sizes[place]}
    few = [place for place in sought if sizes[place] <= config.neighbours]
    if few:
        named = ", ".join(f"{labels[place]!r} ({sizes[place]:,})" for place in few[:5])
        raise DataError(
            f"model.classic.smote.neighbours is {config.neighbours}, so that a class needs {config.neighbours + 1} "
            f"training rows; too few have: {named}. Collect more rows of it, lower neighbours (to at most the rows "
            "less one), or leave smote out and set train.class_weights: balanced."
        )
    if not sought:
        return rows, cells, {}
    library = need("imblearn.over_sampling", extra="classic")
    how = {"sampling_strategy": sought, "k_neighbors": config.neighbours, "random_state": seed}
    made = {labels[place]: {"rows": sizes[place], "new": sought[place] - sizes[place]} for place in sorted(sought)}
    if cells is None:
        features, targets = library.SMOTE(**how).fit_resample(rows.features, rows.targets)
        return replace(rows, features=features, targets=targets, given=len(rows.targets)), None, made
    vectors, first = rows.features, rows.features.shape[1]
    behind = first + cells.numbers.shape[1]
    words = [*range(first + 1, behind, 2), *range(behind, behind + cells.places.shape[1])]  # indicators, and places
    table = np.concatenate([vectors, cells.numbers, cells.places], axis=1)
    found, targets = library.SMOTENC(categorical_features=words, **how).fit_resample(table, rows.targets)
    numbers = found[:, first:behind].astype(np.float32)
    numbers[:, 0::2][numbers[:, 1::2] > 0] = 0.0  # a missing number is the mean, as everywhere
    evened = replace(cells, numbers=numbers, places=found[:, behind:].astype(np.int64))
    features = found[:, :first].astype(np.float32)
    return replace(rows, features=features, targets=targets, given=len(rows.targets)), evened, made
