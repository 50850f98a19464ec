"""Over- and under-sampling of training rows. For training rows only.

N rows, K classes. New rows between others (SMOTE) are made of vectors, which no corpus has: `danlu.learning.classic`
makes them in training. Of texts, new rows come from `danlu.data.augment`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from danlu.core.errors import DataError
from danlu.data.balance.config import Target
from danlu.data.sides import scramble

Integers = npt.NDArray[np.int64]

#: One for each row: names, or numbers of names.
Labels = Sequence[str] | npt.NDArray[np.integer[Any]]
Keys = Sequence[str] | npt.NDArray[np.uint64] | None

#: The stream of draws for rows that are repeated or left out; see `danlu.data.sides.scramble`.
_STREAM = 8

#: The size each class should have, from the sizes of all: [K] -> [K]. The square root keeps the largest as it is.
_UP: dict[Target, Callable[[Integers], npt.NDArray[np.float64]]] = {
    "largest": lambda sizes: np.full(len(sizes), sizes.max(), dtype=np.float64),
    "mean": lambda sizes: np.full(len(sizes), sizes.mean()),
    "median": lambda sizes: np.full(len(sizes), np.median(sizes)),
    "square_root": lambda sizes: np.sqrt(sizes * float(sizes.max())),
}
_DOWN: dict[Target, Callable[[Integers], npt.NDArray[np.float64]]] = {
    "largest": lambda sizes: np.full(len(sizes), sizes.min(), dtype=np.float64),
    "mean": _UP["mean"],
    "median": _UP["median"],
    "square_root": lambda sizes: np.sqrt(sizes * float(sizes.min())),
}


def oversample(labels: Labels, target: Target, seed: int, *, keys: Keys = None, most_repeats: int = 10) -> Integers:
    """Indexes of rows, in order and with repeats, so that no class is smaller than `target` says.

    Every row is there at least once, and no row of a class more than once more often than another of it; which rows get
    the one repeat more is decided by a hash of the seed and the row's key. With `keys` (what rows say, or hashes of it;
    by default their places), the choice does not depend on the order of rows, and a row that is added changes few
    others. No row is used more than `most_repeats` times.
    """
    classes, sizes = _classes(labels)
    wanted = np.maximum(_round(_UP[target](sizes)), sizes)
    return _repeated(classes, sizes, np.minimum(wanted, sizes * most_repeats), _hashes(keys, len(labels), seed))


def undersample(labels: Labels, target: Target, seed: int, *, keys: Keys = None) -> Integers:
    """Indexes of rows, in order and each once, so that no class is larger than `target` says.

    With the target `largest`, every class comes down to the smallest. Which rows stay is decided as in `oversample`.
    """
    classes, sizes = _classes(labels)
    wanted = np.minimum(np.maximum(_round(_DOWN[target](sizes)), 1), sizes)
    return _repeated(classes, sizes, wanted, _hashes(keys, len(labels), seed))


def _classes(labels: Labels) -> tuple[Integers, Integers]:
    """The number of each row's class [N], and the size of each class [K]."""
    if not len(labels):
        raise DataError("No rows came to balance.")
    _, classes, sizes = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    return classes.astype(np.int64), sizes.astype(np.int64)


def _round(sizes: npt.NDArray[np.float64]) -> Integers:
    return np.asarray(np.floor(sizes + 0.5).astype(np.int64))


def _hashes(keys: Keys, rows: int, seed: int) -> npt.NDArray[np.uint64]:
    if keys is not None and len(keys) != rows:
        raise DataError(f"{len(keys):,} keys came for {rows:,} labels; expected one for each.")
    if isinstance(keys, np.ndarray):
        return scramble(keys, seed, _STREAM)
    names = map(str, range(rows)) if keys is None else keys
    drawn = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(drawn), dtype=">u8").astype(np.uint64)


def _repeated(classes: Integers, sizes: Integers, wanted: Integers, hashes: npt.NDArray[np.uint64]) -> Integers:
    """Indexes in order: each row of a class of size n as often as `wanted` // n, and the first by hash once more."""
    rank = np.empty(len(classes), dtype=np.int64)
    order = np.lexsort((hashes, classes))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank[order] = np.arange(len(classes)) - starts[classes[order]]
    times = wanted // sizes
    extra = wanted % sizes
    repeats = times[classes] + (rank < extra[classes])
    return np.repeat(np.arange(len(classes), dtype=np.int64), repeats)
