"""Corpus rows that are questions as examples: what the objectives of classify, tag and regress share.

N rows of a part.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from danlu.learning.asking import SECOND, cells_of, coded, encode_asked
from danlu.learning.batching import Examples
from danlu.learning.objectives.base import Facts, Rows


def lengths(facts: Facts, rows: Rows) -> list[int]:
    """Tokens of each question, uncut: of a pair those of both texts."""
    return [len(row) for row in encode_asked(facts.tokenizer, rows["text"], _pairs(rows), None).rows]


def examples(facts: Facts, rows: Rows, max_length: int, labels: np.ndarray) -> Examples:
    """The rows as examples whose `labels` [N, ...] are what they are to be answered with."""
    encoded = encode_asked(facts.tokenizer, rows["text"], _pairs(rows), max_length)
    columns = {"labels": labels}
    if facts.codes is not None:
        columns |= coded(facts.codes, cells_of(rows))
    if facts.two_segments and len(encoded.second):
        columns[SECOND] = encoded.second
    return Examples.from_rows(encoded.rows, columns=columns)


def _pairs(rows: Rows) -> Any:
    return rows.get("pair") or None
