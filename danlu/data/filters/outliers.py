"""The rows farthest from all others, by the distance between their vectors.

Texts stream by; in memory are some thousand of them that all are compared with, and a number for each row.

Shapes: N rows, D dimensions, R reference rows, K nearest of those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.neighbors import NearestNeighbors

from danlu.core.errors import DataError
from danlu.data.filters.config import OutlierFilter

Vectors = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Rows are compared with at most this many, so that time grows with the rows and not with their square.
MOST_REFERENCES = 20_000

#: Of long texts there are fewer references: what is learned of so many characters takes about 1 GiB.
MOST_CHARACTERS = 8_000_000


class TextVectors:
    """Vectors of texts, where there is no embedding model, by what the texts it was made with are like.

    TF-IDF of character n-grams of 1 to 3, which needs no words and so does for Chinese and English, then a truncated
    SVD to `dimensions` (fewer where the texts do not have as many).
    """

    def __init__(self, texts: Sequence[str], dimensions: int = 100, seed: int = 1) -> None:
        self._count: CountVectorizer | None = CountVectorizer(
            analyzer="char_wb", ngram_range=(1, 3), max_features=50_000, dtype=np.float32
        )
        self._weigh = TfidfTransformer(sublinear_tf=True)
        self._reduce: TruncatedSVD | None = None
        try:
            weights = self._weigh.fit_transform(self._count.fit_transform(texts))
        except ValueError:
            # No text has any character.
            self._count = None
            return
        size = min(dimensions, min(weights.shape) - 1)
        if size >= 1:
            # Of texts that are all alike it also divides by their variance, for a number that is not used here.
            with np.errstate(invalid="ignore"):
                self._reduce = TruncatedSVD(size, random_state=seed).fit(weights)

    def of(self, texts: Sequence[str]) -> tuple[Vectors, npt.NDArray[np.float64]]:
        """Vectors [N, D] of length 1, or 0 for a text that has nothing of the others, and how much of each they tell.

        That is the length of the part that the known n-grams are, if all n-grams of the text [N] make a length of 1.
        """
        if self._count is None or not len(texts):
            return np.zeros((len(texts), 1), dtype=np.float32), np.zeros(len(texts))
        counts = self._count.transform(texts)
        # A word of n characters with a space at each end has n + 2, n + 1 and n n-grams of 1, 2 and 3.
        words = [text.split() for text in texts]
        whole = np.array([3 * (sum(map(len, some)) + len(some)) for some in words], dtype=np.float64)
        told = np.sqrt(np.minimum(np.asarray(counts.sum(axis=1)).ravel() / np.maximum(whole, 1), 1.0))
        weights = self._weigh.transform(counts)
        if self._reduce is None:
            return unit(np.asarray(weights.todense(), dtype=np.float32)), told
        return unit(np.asarray(self._reduce.transform(weights), dtype=np.float32)), told


def unit(vectors: Vectors) -> Vectors:
    """`vectors` [N, D] scaled to length 1; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)


class Nearest:
    """The mean cosine distance of vectors to the nearest of some references [R, D], `neighbours` at most.

    A score by the k nearest neighbours (Ramaswamy, Rastogi and Shim 2000; the mean of the k distances as in Angiulli
    and Pizzuti 2002).
    """

    def __init__(self, references: Vectors, neighbours: int) -> None:
        """Needs two references or more, of length 1."""
        self._wanted = min(neighbours, len(references) - 1)
        self._index = NearestNeighbors(n_neighbors=self._wanted + 1, algorithm="brute", metric="euclidean")
        self._index.fit(references)

    def distances(self, vectors: Vectors, own: Integers) -> npt.NDArray[np.float64]:
        """For each vector [N]; `own` [N] is its number among the references, -1 where it is none of them."""
        euclidean, found = self._index.kneighbors(vectors)
        # A row is no neighbour of its own; where it is not among the references, the farthest found goes instead.
        mine = found == own[:, None]
        mine[~mine.any(axis=1), -1] = True
        others = euclidean[~mine].reshape(len(vectors), self._wanted)
        # Of vectors with length 1, half the squared distance is the cosine distance.
        return np.asarray((others.astype(np.float64) ** 2 / 2).mean(axis=1))


def text_outliers(
    texts: Callable[[], Iterable[tuple[Integers, Sequence[str]]]],
    lengths: Integers,
    draws: npt.NDArray[np.uint64],
    config: OutlierFilter,
    seed: int,
) -> Flags:
    """Flags [N] for the rows whose texts are farthest from others; see `farthest`.

    `texts()` yields `(rows, texts)` of all rows, some at a time, and is called twice. `lengths` [N] are in characters.
    Where there are too many, rows are compared with those of least `draws` [N].
    """
    order = np.argsort(draws, kind="stable")[:MOST_REFERENCES]
    references = order[: max(2, int(np.searchsorted(np.cumsum(lengths[order]), MOST_CHARACTERS, side="right")))]
    own = np.full(len(draws), -1, dtype=np.int64)
    own[references] = np.arange(len(references))
    chosen: list[str] = [""] * len(references)
    for rows, found in texts():
        for place in np.flatnonzero(own[rows] >= 0).tolist():
            chosen[own[rows[place]]] = found[place]
    if len(chosen) < 2:
        return np.zeros(len(draws), dtype=bool)
    vectors = TextVectors(chosen, config.dimensions, seed)
    nearest = Nearest(vectors.of(chosen)[0], config.neighbours)
    del chosen
    far = np.zeros(len(draws))
    for rows, found in texts():
        of_rows, told = vectors.of(found)
        # What no reference has is at a right angle to all of them.
        far[rows] = 1 - told * (1 - nearest.distances(of_rows, own[rows]))
    return farthest(far, config.share)


def farthest(far: npt.NDArray[np.float64], share: float) -> Flags:
    """Flags [N] for the `share` of rows (rounded down) that are farthest away.

    Rows as far as the last one that would be flagged are not flagged when there is no room for all of them, so that the
    order of rows does not decide.
    """
    count = int(len(far) * share)
    if not count:
        return np.zeros(len(far), dtype=bool)
    limit = np.sort(far)[::-1][count] if count < len(far) else -1.0
    return np.asarray(far > limit)


def outliers(vectors: npt.ArrayLike, share: float = 0.01, neighbours: int = 10) -> Flags:
    """`farthest` of the rows of `vectors` [N, D]."""
    return farthest(distances(vectors, neighbours), share)


def distances(vectors: npt.ArrayLike, neighbours: int = 10) -> npt.NDArray[np.float64]:
    """Mean cosine distance [N] of each row of `vectors` [N, D] to its nearest `neighbours` other rows.

    Above `MOST_REFERENCES` rows, the neighbours are looked for among that many rows, drawn by a hash of their vectors,
    so that the order of rows does not matter. Raises `DataError` for vectors that are not finite.
    """
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.ndim != 2:
        raise DataError(f"Vectors of shape {rows.shape} came; expected one row of numbers for each text: [N, D].")
    if not np.isfinite(rows).all():
        raise DataError(
            f"{int((~np.isfinite(rows)).any(axis=1).sum()):,} of {len(rows):,} vectors hold NaN or infinity. Every "
            "text needs a vector of finite numbers."
        )
    if len(rows) < 2:
        return np.zeros(len(rows))
    rows = unit(rows)
    reference = _references(rows)
    own = np.full(len(rows), -1, dtype=np.int64)
    own[reference] = np.arange(len(reference))
    return Nearest(rows[reference], neighbours).distances(rows, own)


def _references(rows: Vectors) -> npt.NDArray[np.int64]:
    if len(rows) <= MOST_REFERENCES:
        return np.arange(len(rows))
    draws = np.array([hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows])
    return np.sort(np.argsort(draws, kind="stable")[:MOST_REFERENCES])
