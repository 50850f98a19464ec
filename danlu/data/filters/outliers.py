"""The rows farthest from all others, by the distance between their vectors.

Shapes: N rows, D dimensions, R reference rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

from danlu.core.errors import DataError

Vectors = npt.NDArray[np.float32]

#: Rows are compared with at most this many, so that time grows with the rows and not with their square.
MOST_REFERENCES = 20_000


def vectors_of(texts: Sequence[str], dimensions: int = 100, seed: int = 1) -> Vectors:
    """Vectors [N, D] of length 1 (or 0 for an empty text) from the texts alone, where there is no embedding model.

    TF-IDF of character n-grams of 1 to 3, which needs no words and so does for Chinese and English, then a truncated
    SVD to `dimensions` (fewer where the texts do not have as many). Rows come out equal up to rounding whatever the
    order of texts.
    """
    if len(texts) < 2:
        return np.zeros((len(texts), 1), dtype=np.float32)
    tfidf = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(1, 3), max_features=50_000, sublinear_tf=True, dtype=np.float32
    )
    try:
        weights = tfidf.fit_transform(texts)
    except ValueError:
        # No text has any character.
        return np.zeros((len(texts), 1), dtype=np.float32)
    size = min(dimensions, min(weights.shape) - 1)
    if size < 1:
        return np.asarray(weights.todense(), dtype=np.float32)
    reduced = TruncatedSVD(size, random_state=seed).fit_transform(weights)
    return unit(np.asarray(reduced, dtype=np.float32))


def unit(vectors: Vectors) -> Vectors:
    """`vectors` [N, D] scaled to length 1; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)


def distances(vectors: npt.ArrayLike, neighbours: int = 10) -> npt.NDArray[np.float64]:
    """Mean cosine distance [N] of each row of `vectors` [N, D] to its nearest `neighbours` other rows.

    A score by the k nearest neighbours (Ramaswamy, Rastogi and Shim 2000; the mean of the k distances as in Angiulli
    and Pizzuti 2002). Above `MOST_REFERENCES` rows, the neighbours are looked for among that many rows, drawn by a hash
    of their vectors, so that the order of rows does not matter. Raises `DataError` for vectors that are not finite.
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
    wanted = min(neighbours, len(reference) - 1)
    index = NearestNeighbors(n_neighbors=wanted + 1, algorithm="brute", metric="euclidean").fit(rows[reference])
    euclidean, found = index.kneighbors(rows)
    # A row is no neighbour of its own; where it is not among the references, the farthest found goes instead.
    own = reference[found] == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True
    others = euclidean[~own].reshape(len(rows), wanted)
    # Of vectors with length 1, half the squared distance is the cosine distance.
    return np.asarray((others.astype(np.float64) ** 2 / 2).mean(axis=1))


def _references(rows: Vectors) -> npt.NDArray[np.int64]:
    if len(rows) <= MOST_REFERENCES:
        return np.arange(len(rows))
    draws = np.array([hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows])
    return np.sort(np.argsort(draws, kind="stable")[:MOST_REFERENCES])


def outliers(vectors: npt.ArrayLike, share: float = 0.01, neighbours: int = 10) -> npt.NDArray[np.bool_]:
    """Flags [N] for the `share` of rows (rounded down) whose nearest neighbours are farthest away.

    Rows as far as the last one that would be flagged are not flagged when there is no room for all of them, so that the
    order of rows does not decide.
    """
    far = distances(vectors, neighbours)
    count = int(len(far) * share)
    if not count:
        return np.zeros(len(far), dtype=bool)
    limit = np.sort(far)[::-1][count] if count < len(far) else -1.0
    return np.asarray(far > limit)
