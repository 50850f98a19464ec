"""The unit of what a regression learns: numbers with mean 0 and standard deviation 1, and back to the user's unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Mean and standard deviation of the training rows' numbers, in the user's unit."""

    mean: float
    std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Scale:
        """The scale of `values` [N]; where all are equal the deviation counts as 1, so that nothing is divided by 0."""
        mean, std = float(np.mean(values)), float(np.std(values))
        # Equal numbers differ from their mean by rounding.
        return cls(mean=mean, std=std if std > 1e-12 * abs(mean) else 1.0)

    def standardised(self, values: Sequence[float]) -> np.ndarray:
        """`values` [N] as float32 with mean 0 and standard deviation 1 over the training rows."""
        return ((np.asarray(values, dtype=np.float64) - self.mean) / self.std).astype(np.float32)

    def restored(self, standardised: np.ndarray) -> np.ndarray:
        """Standardised numbers in the user's unit, float32."""
        return (standardised.astype(np.float64) * self.std + self.mean).astype(np.float32)
