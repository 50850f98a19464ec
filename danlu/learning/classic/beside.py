"""Cells beside a text, as features behind those of the text; see `danlu.core.columns` for how they are coded.

Numbers lie standardised with an indicator for each that is missing, a category as one feature for each place: as the
baselines have them. Shapes: N texts, F features of the text, M numeric and C categorical columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, issparse

from danlu.core.asked import Cell
from danlu.core.columns import Codes
from danlu.learning.asking import CATEGORIES, NUMBERS, coded
from danlu.learning.classic.base import Matrix


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Cells of N texts: `numbers` float32 [N, 2 M], each with its indicator behind it; `places` int64 [N, C]."""

    codes: Codes
    numbers: NDArray[np.float32]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, codes: Codes, rows: Sequence[Mapping[str, Cell]]) -> Cells:
        """The cells of N rows, by name."""
        found = coded(codes, rows)
        none = np.zeros((len(rows), 0))
        return cls(
            codes=codes,
            numbers=found.get(NUMBERS, none).astype(np.float32),
            places=found.get(CATEGORIES, none).astype(np.int64),
        )

    def behind(self, features: Matrix) -> Matrix:
        """The features [N, F] of the texts with those of the cells behind them, as sparse or dense as they were."""
        one_hot = [
            np.eye(column.size, dtype=np.float32)[self.places[:, number]]
            for number, column in enumerate(self.codes.categorical)
        ]
        beside = np.concatenate([self.numbers, *one_hot], axis=1)
        if issparse(features):
            return csr_matrix(hstack([features, csr_matrix(beside)], format="csr", dtype=np.float32))
        return np.concatenate([features, beside], axis=1, dtype=np.float32)


def width(codes: Codes) -> int:
    """How many features the cells have."""
    return 2 * len(codes.numeric) + sum(column.size for column in codes.categorical)
