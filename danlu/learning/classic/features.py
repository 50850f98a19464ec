"""Texts as rows of numbers: n-gram weights (TF-IDF), kept as plain lists and numbers, or the vectors of an encoder.

Shapes: N texts, F features.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from danlu.learning.classic.base import Matrix
from danlu.learning.classic.files import NGRAMS

#: What makes vectors [N, F] of N texts: an engine's `embed`.
Embed = Callable[[Sequence[str]], np.ndarray]


class Features(Protocol):
    """What a model reads of a text."""

    #: What it is, for people: "TF-IDF" in "TF-IDF + logistic regression".
    name: str
    #: What one feature is called, for people, in the plural.
    unit: str

    @property
    def count(self) -> int:
        """F."""
        ...

    def of(self, texts: Sequence[str]) -> Matrix:
        """Features [N, F] of N texts, each by itself."""
        ...

    def save(self, folder: Path) -> None:
        """Write into `folder` what makes them, as far as it is not kept there by others."""
        ...


class Vectors:
    """The vectors of a frozen encoder, which is a form of its own beside the model."""

    name = "frozen embeddings"
    unit = "numbers a vector"

    def __init__(self, embed: Embed, dimensions: int) -> None:
        self._embed = embed
        self.count = dimensions

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors float32 [N, F] of length 1."""
        return self._embed(texts)

    def save(self, folder: Path) -> None:
        """Nothing: who made the encoder's form wrote it."""


class Ngrams:
    """One or several kinds of n-grams side by side, each weighed by how rare it is among the texts of `fit`."""

    name = "TF-IDF"
    unit = "n-grams"

    def __init__(self, vectorizers: Sequence[TfidfVectorizer], options: Sequence[Mapping[str, Any]]) -> None:
        self._vectorizers = list(vectorizers)
        self._options = [dict(each) for each in options]

    @classmethod
    def fit(cls, texts: Sequence[str], options: Sequence[Mapping[str, Any]]) -> Self:
        """Learn the n-grams of `texts`; `options` are those of scikit-learn's `TfidfVectorizer`, one set a kind.

        Raises `ValueError` where the texts have no n-gram at all.
        """
        return cls([_vectorizer(each).fit(texts) for each in options], options)

    @property
    def count(self) -> int:
        """F, over all kinds."""
        return sum(len(each.vocabulary_) for each in self._vectorizers)

    def of(self, texts: Sequence[str]) -> csr_matrix:
        """Weights float32 [N, F]."""
        return csr_matrix(hstack([each.transform(texts) for each in self._vectorizers], format="csr"))

    def save(self, folder: Path) -> None:
        """Write the n-grams, in the order of their columns, and what makes them."""
        kinds = [
            {
                "options": options,
                "ngrams": sorted(each.vocabulary_, key=each.vocabulary_.__getitem__),
                "inverse_document_frequency": [float(value) for value in each.idf_],
            }
            for each, options in zip(self._vectorizers, self._options, strict=True)
        ]
        (folder / NGRAMS).write_text(json.dumps(kinds, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote; raises `OSError`, `ValueError` or `KeyError` where that cannot be read."""
        kinds = json.loads((folder / NGRAMS).read_text(encoding="utf-8"))
        vectorizers = []
        for kind in kinds:
            vectorizer = _vectorizer(kind["options"], vocabulary=kind["ngrams"])
            vectorizer.idf_ = np.array(kind["inverse_document_frequency"], dtype=np.float32)
            vectorizers.append(vectorizer)
        return cls(vectorizers, [kind["options"] for kind in kinds])


def _vectorizer(options: Mapping[str, Any], **more: Any) -> TfidfVectorizer:
    spans = {"ngram_range": tuple(options["ngram_range"])} if "ngram_range" in options else {}
    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **{**options, **spans}, **more)
