"""Over- and under-sampling of training rows, and SMOTE over their vectors. For training rows only.

Shapes: N rows, D numbers for each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from danlu.core.errors import DataError
from danlu.core.lazy import need
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


def smote(
    vectors: npt.ArrayLike, labels: Sequence[str], seed: int, *, target: Target = "largest", neighbours: int = 5
) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Vectors [M, D] and labels [M]: the given ones [N, D], then new ones of the classes below `target`.

    A new vector lies between a row and one of its nearest `neighbours` of the same class (SMOTE: Chawla et al. 2002,
    arXiv:1106.1813; by imbalanced-learn). Which new ones come out does not depend on the order of rows. Raises
    `DataError` for a class with one row, which has no neighbour, and for vectors that are not finite or do not match;
    `MissingDependency` without imbalanced-learn.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(labels):
        raise DataError(
            f"{len(labels):,} labels came with vectors of shape {rows.shape}; expected one row for each label."
        )
    if not np.isfinite(rows).all():
        raise DataError("Vectors hold NaN or infinity. SMOTE needs finite numbers; fill or drop what is missing first.")
    classes, sizes = _classes(labels)
    names = np.unique(np.asarray(labels, dtype=str))
    wanted = np.maximum(_round(_UP[target](sizes)), sizes)
    if alone := [str(names[place]) for place in np.flatnonzero((wanted > sizes) & (sizes < 2))]:
        raise DataError(
            f"SMOTE needs two rows of a class to lie between, and there is one of {', '.join(map(repr, alone))}. Add "
            "rows, merge the class with another, or use balance.method: oversample."
        )
    made: list[npt.NDArray[np.float64]] = []
    made_labels: list[str] = []
    for number in np.flatnonzero(wanted > sizes).tolist():
        new = _between(rows[classes == number], int(wanted[number] - sizes[number]), neighbours, seed)
        made.append(new)
        made_labels += [str(names[number])] * len(new)
    return np.concatenate([rows, *made]), [*map(str, labels), *made_labels]


def _between(rows: npt.NDArray[np.float64], count: int, neighbours: int, seed: int) -> npt.NDArray[np.float64]:
    """`count` new rows between those of one class [n, D], n > 1, whatever their order."""
    library = need("imblearn.over_sampling", extra="balance")
    digests = np.array([hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in rows])
    rows = rows[np.argsort(digests, kind="stable")]
    sampler = library.SMOTE(
        sampling_strategy={0: len(rows) + count},
        k_neighbors=min(neighbours, len(rows) - 1),
        random_state=seed % 2**32,
    )
    # The sampler wants a second class, which it does not look at.
    everything, _ = sampler.fit_resample(np.concatenate([rows, rows[:1]]), [0] * len(rows) + [1])
    return np.asarray(everything[len(rows) + 1 :], dtype=np.float64)


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
