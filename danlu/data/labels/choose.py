"""Which unlabelled rows are worth a person's time: those that the model is unsure of, no two of them alike."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: So many rows for each one wanted are looked at for diversity, the most uncertain ones: the factor 10 of Zhdanov 2019.
_POOL = 10

_DIMENSIONS = 64
_MOST_FEATURES = 30_000


def uncertainty(probabilities: Floats) -> Floats:
    """How unsure a model is of each row [N]: 1 less the margin between its two likeliest labels, from 0 to 1.

    `probabilities` [N, K]. "Best versus second best" of Joshi, Porikli and Papanikolopoulos 2009; entropy would be
    swayed by many labels that are out of the question.
    """
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    ranked = np.sort(probabilities, axis=1)
    return np.asarray(1.0 - (ranked[:, -1] - ranked[:, -2]))


def most_informative(texts: Sequence[str], probabilities: Floats, count: int, seed: int = 1) -> list[int]:
    """Positions of at most `count` of the N texts, the most uncertain first.

    The most uncertain tenfold are grouped into `count` clusters, weighted by uncertainty, and the text nearest to
    the centre of each is taken: Zhdanov 2019, "Diverse mini-batch Active Learning", arXiv:1901.05954. Near
    duplicates fall into one cluster, so that nobody labels the same text twice.
    """
    unsure = uncertainty(probabilities)
    ranked = sorted(range(len(texts)), key=lambda row: (-unsure[row], texts[row]))
    first = {texts[row]: row for row in reversed(ranked)}
    pool = [row for row in ranked if first[texts[row]] == row][: _POOL * count]
    if len(pool) <= count:
        return pool
    vectors = text_vectors([texts[row] for row in pool], seed)
    chosen = _central(vectors, unsure[pool], count, seed)
    return [pool[place] for place in chosen]


def text_vectors(texts: Sequence[str], seed: int = 1) -> Floats:
    """Unit vectors [N, D] of texts, equal for texts with the same character n-grams: TF-IDF and truncated SVD."""
    vectorizer = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), sublinear_tf=True, max_features=_MOST_FEATURES, dtype=np.float32
    )
    features = vectorizer.fit_transform(texts)
    dimensions = min(_DIMENSIONS, min(features.shape) - 1)
    if dimensions < 2:
        return np.asarray(features.todense(), dtype=np.float64)
    reduced = TruncatedSVD(dimensions, random_state=seed).fit_transform(features)
    return np.asarray(normalize(reduced), dtype=np.float64)


def _central(vectors: Floats, weights: Floats, count: int, seed: int) -> list[int]:
    """Positions of the vector nearest to each of `count` weighted centres, in ascending order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different vectors than centres: fewer are chosen
        model = KMeans(count, n_init=1, random_state=seed).fit(vectors, sample_weight=weights + 1e-6)
    distance = np.linalg.norm(vectors - model.cluster_centers_[model.labels_], axis=1)
    # Rounded, so that equal texts are equally far and the more uncertain one, which comes first, is taken.
    order = np.lexsort((np.arange(len(vectors)), distance.round(9), model.labels_))
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.diff(model.labels_[order]) != 0
    return sorted(int(place) for place in order[first])
