"""What every kind of model without training of a neural network has in common.

Shapes: N texts, F features, K columns of an answer: one for each label; one for regress.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from danlu.core.tasks import TaskName

Floats = NDArray[np.float64]

#: Features [N, F]: sparse where they are n-grams, dense where they are vectors.
Matrix = csr_matrix | NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Features [N, F] and what each row is to be answered with; `weights` float64 [N] or None.

    `given`: so many of the rows, the first ones, were given, and the others made of them; None is all.

    `targets` are, for classify, the place of each row's label, int64 [N]; for tag which labels it has, bool [N, K]; for
    regress its number, standardised, float64 [N].
    """

    features: Matrix
    targets: np.ndarray
    weights: np.ndarray | None = None
    given: int | None = None


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What is to be learned: the task, and K."""

    task: TaskName
    columns: int


def _never() -> None:
    """Nobody asks for a stop."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How a model is fitted: the seed of what is drawn, CPU threads, whom the fit asks and whom it tells.

    `check` raises when the fit should stop; it is called between rounds. `warn` is told what people should know.
    """

    seed: int
    threads: int
    check: Callable[[], None] = _never
    warn: Callable[[str], None] = warnings.warn


class Learned(Protocol):
    """A model over features."""

    #: How many numbers it has learned.
    parameters: int

    def answers(self, features: Matrix) -> Floats:
        """Answers [N, K]: probabilities, which sum to 1 for classify, or the standardised number of regress."""
        ...

    def save(self, folder: Path) -> None:
        """Write it into `folder`; the same model gives the same bytes."""
        ...

    @classmethod
    def load(cls, folder: Path, aim: Aim, threads: int, /) -> Self:
        """What `save` wrote; raises `OSError` or `ValueError` where that cannot be read."""
        ...


def _softmax(logits: Floats) -> Floats:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = odds / odds.sum(axis=1, keepdims=True)
    return found


def _sigmoid(logits: Floats) -> Floats:
    with np.errstate(over="ignore"):  # of large negative numbers the odds overflow, and the answer is 0 rightly
        found: Floats = 1.0 / (1.0 + np.exp(-logits))
    return found


#: From a model's linear answers [N, K] to those of the task.
LINKS: dict[TaskName, Callable[[Floats], Floats]] = {
    "classify": _softmax,
    "tag": _sigmoid,
    "regress": lambda values: values,
}
