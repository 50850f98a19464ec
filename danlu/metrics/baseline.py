"""The cheap model that every expensive one has to beat: TF-IDF of n-grams and logistic regression.

It fits 30,000 short texts in seconds on one core, and on many tasks a small team has, it is enough: then a large
model is not needed, and the evidence says so.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from danlu.core.asked import Question
from danlu.core.baseline import PENALTY, SOLVER
from danlu.core.tasks import TASKS
from danlu.metrics.beside import BesideFeatures, every_text
from danlu.metrics.bootstrap import Floats

NAME = TASKS["classify"].baseline

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_LETTER = re.compile(r"\w")

#: From this share of Han characters among the letters, texts are taken for Chinese: no spaces between words.
_HAN_SHARE = 0.3

#: An n-gram of one text alone teaches nothing about others, but a small corpus has little else.
_SMALL_ROWS = 1_000

#: Up to this many texts, spaced scripts also get character n-grams, meant for misspellings. On English messages they
#: gained nothing that can be told from chance (6,400 texts: 72.7 % against 72.2 %; 33,000: 76.7 % against 76.4 %), and
#: from 33,000 they cost 25 s against 8 s on one core.
_CHARACTERS_UP_TO = 10_000

#: n-grams by script. Punctuation counts as a word: in short messages it carries mood.
_WORDS: dict[str, Any] = {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\w+|[^\w\s]"}
FEATURES: dict[str, tuple[dict[str, Any], ...]] = {
    "han": ({"analyzer": "char", "ngram_range": (1, 3)},),
    "latin": (
        _WORDS,
        {"analyzer": "char_wb", "ngram_range": (2, 5), "max_features": 60_000},
    ),
    "latin, many": (_WORDS,),
}


def features_for(texts: Sequence[str], sample: int = 2_000) -> str:
    """The key of `FEATURES` for these texts, by their number and a look at the first `sample` of them."""
    seen = "".join(text[:500] for text in texts[:sample])
    letters = len(_LETTER.findall(seen))
    if letters and len(_HAN.findall(seen)) / letters >= _HAN_SHARE:
        return "han"
    return "latin" if len(texts) <= _CHARACTERS_UP_TO else "latin, many"


def options_for(texts: Sequence[str]) -> list[dict[str, Any]]:
    """The n-grams that suit these texts: sets of options of scikit-learn's `TfidfVectorizer`, one set a kind."""
    fewest = 2 if len(texts) >= _SMALL_ROWS else 1
    return [{"min_df": fewest, **options} for options in FEATURES[features_for(texts)]]


class TextFeatures:
    """TF-IDF of word and character n-grams for text with spaces, of character n-grams for Chinese; deterministic.

    What else is asked beside a text has features too: `danlu.metrics.beside`.
    """

    def __init__(self) -> None:
        self._vectorizers: list[TfidfVectorizer] = []
        self._beside = BesideFeatures()

    def fit(self, asked: Sequence[Question]) -> csr_matrix:
        """Learn from texts, or questions with more than a text, at least one; returns their features [N, F]."""
        texts = every_text(asked)
        self._vectorizers = [
            TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **options) for options in options_for(texts)
        ]
        found = [vectorizer.fit_transform(texts) for vectorizer in self._vectorizers]
        return self._beside.fit(asked, csr_matrix(hstack(found, format="csr")))

    def of(self, asked: Sequence[Question]) -> csr_matrix:
        """Features [N, F] of other questions."""
        texts = every_text(asked)
        found = [vectorizer.transform(texts) for vectorizer in self._vectorizers]
        return self._beside.of(asked, csr_matrix(hstack(found, format="csr")))


class TextBaseline:
    """A logistic regression on `TextFeatures`; deterministic."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self._features = TextFeatures()
        self._model: LogisticRegression | None = None
        #: Whether the solver came to its end; if not, the baseline is weaker than it could be.
        self.converged = True

    def fit(self, texts: Sequence[Question], labels: Sequence[str]) -> Self:
        """Learn from one label a text, or question. A single label is learnt as what it is: always that label.

        Raises `ValueError` without rows, and when texts and labels differ in number.
        """
        if not texts or len(texts) != len(labels):
            raise ValueError(f"Expected as many labels as texts and at least one, got {len(texts)} and {len(labels)}")
        self.labels = sorted(set(labels))
        if len(self.labels) == 1:
            return self
        features = self._features.fit(texts)
        self._model = LogisticRegression(C=PENALTY, **SOLVER)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said by `converged`
            self._model.fit(features, list(labels))
        self.converged = int(np.max(self._model.n_iter_)) < SOLVER["max_iter"]
        return self

    def probabilities(self, texts: Sequence[Question], labels: Sequence[str] | None = None) -> Floats:
        """Probabilities [N, K] with columns as in `labels` (default `self.labels`); 0 for a label never learnt."""
        wanted = list(self.labels if labels is None else labels)
        answers = np.zeros((len(texts), len(wanted)))
        known = [wanted.index(label) for label in self.labels]
        if self._model is None:
            answers[:, known] = 1.0
        elif len(texts):
            answers[:, known] = self._model.predict_proba(self._features.of(texts))
        return answers
