"""The features of the baselines: of a text alone, and of what stands beside it, so that they know what the model knows.

Of a pair of texts a linear model sees the n-grams of each, by themselves, and five numbers from 0 to 1 that say how
much the two share (`OVERLAPS`): without these it could not tell whether they mean the same.

Shapes: N questions, F features.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import csr_matrix, hstack

from danlu.core.asked import Asked, Cell, Question, as_asked
from danlu.core.columns import Codes
from danlu.metrics.bootstrap import Floats

#: What a pair's texts share, in the order of `overlaps`: the cosine of their TF-IDF vectors; the Jaccard similarity of
#: their sets of units; the share of the first one's units that the second has, and the other way round; the shorter
#: length over the longer. Units are words, and of Chinese each character.
OVERLAPS = ("cosine", "jaccard", "first_in_second", "second_in_first", "length_ratio")

#: A word, or a single Han character: Chinese has no spaces, and a segmenter would choose in our place.
UNIT = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")


class BesideFeatures:
    """What the questions hold beside the n-grams of their first text; all hold the same parts. Deterministic.

    Cells are coded as the model's are, by the rows the baseline learns from (`danlu.core.columns`): numbers
    standardised, with an indicator for a missing one; a category as one feature for each place.
    """

    def __init__(self) -> None:
        self._codes: Codes | None = None

    def fit(self, asked: Sequence[Question], tfidf: csr_matrix) -> csr_matrix:
        """Learn from the questions, at least one, and return the features [N, F] of all they hold.

        `tfidf`: of `every_text(asked)`, a row each.
        """
        cells = [as_asked(question).columns for question in asked]
        if any(one is not None for one in cells):
            self._codes = codes_of([one or {} for one in cells])
        return self.of(asked, tfidf)

    def of(self, asked: Sequence[Question], tfidf: csr_matrix) -> csr_matrix:
        """Features [N, F] of other questions, with the TF-IDF of every text of theirs."""
        found = [as_asked(question) for question in asked]
        parts = [tfidf]
        if tfidf.shape[0] > len(found):
            # First and second text by themselves, and what they share.
            parts = [tfidf[: len(found)], tfidf[len(found) :]]
            parts.append(csr_matrix(overlaps(found, *parts)))
        if self._codes is not None:
            parts.append(csr_matrix(cell_features(self._codes, [one.columns or {} for one in found])))
        return tfidf if len(parts) == 1 else csr_matrix(hstack(parts, format="csr", dtype=np.float32))


def codes_of(rows: Sequence[Mapping[str, Cell]]) -> Codes:
    """The codes by rows of cells; a column is of the kind of what it holds."""
    kinds = {name: isinstance(cell, str) for row in rows for name, cell in row.items() if cell is not None}
    return Codes.of(
        rows,
        sorted(name for name, word in kinds.items() if not word),
        sorted(name for name, word in kinds.items() if word),
    )


def cell_features(codes: Codes, rows: Sequence[Mapping[str, Cell]]) -> Floats:
    """Of each row the numbers and indicators, and 1 at the place of each category's value: [N, 2 M + places]."""
    numbers = np.array([codes.numbers(row) for row in rows]).reshape(len(rows), 2 * len(codes.numeric))
    places = np.array([codes.categories(row) for row in rows], np.int64).reshape(len(rows), len(codes.categorical))
    one_hot = [np.eye(column.size)[places[:, number]] for number, column in enumerate(codes.categorical)]
    return np.concatenate([numbers, *one_hot], axis=1)


def every_text(asked: Sequence[Question]) -> list[str]:
    """The texts of N questions, and behind them the second ones, where the questions are pairs.

    One vocabulary for both: only then can the vectors of the two be compared.
    """
    found = [as_asked(question) for question in asked]
    return [*(one.text for one in found), *(one.pair for one in found if one.pair is not None)]


def overlaps(asked: Sequence[Asked], first: csr_matrix, second: csr_matrix) -> Floats:
    """`OVERLAPS` of each pair [N, 5], from 0 to 1; `first` and `second` [N, F] are the TF-IDF of its texts."""
    found = np.zeros((len(asked), len(OVERLAPS)))
    lengths = [np.sqrt(side.multiply(side).sum(axis=1)).A1 for side in (first, second)]
    product = lengths[0] * lengths[1]
    dots = first.multiply(second).sum(axis=1).A1
    found[:, 0] = np.divide(dots, product, out=np.zeros(len(asked)), where=product > 0)
    for row, one in enumerate(asked):
        ours, theirs = (set(UNIT.findall(text.lower())) for text in (one.text, one.pair or ""))
        shared = len(ours & theirs)
        found[row, 1] = shared / max(1, len(ours | theirs))
        found[row, 2] = shared / max(1, len(ours))
        found[row, 3] = shared / max(1, len(theirs))
        found[row, 4] = min(len(one.text), len(one.pair or "")) / max(1, len(one.text), len(one.pair or ""))
    return found
