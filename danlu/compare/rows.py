"""The rows that everybody is asked about, and which of them a model has been trained on.

N rows of the run's part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from danlu.core.artifact import Artifact
from danlu.core.context import Context
from danlu.core.errors import DataError
from danlu.evaluate.rows import Part, read_part
from danlu.learning.corpus import read_rows
from danlu.metrics.leaks import leaked_rows

#: Parts of a corpus that a model knows: it learned from the first, its checkpoint was chosen by the second.
KNOWN_PARTS = ("train", "validation")


def part_of(corpus: Artifact, part: str) -> Part:
    """The rows of a part, in the order of their ids. Raises `DataError` where there are none."""
    found = read_part(corpus, part)
    if not len(found):
        raise DataError(
            f"The corpus {corpus.fingerprint[:12]} has no {part} rows to ask about. Raise data.split.{part} in its "
            "recipe, or name another part with --part."
        )
    return found


def seen(ctx: Context, corpus: Artifact, rows: Part, threshold: float | None) -> dict[str, np.ndarray]:
    """For each of `KNOWN_PARTS` of `corpus`, which rows bool [N] are in it, counted from the texts.

    `threshold`: the similarity from which two texts are the same; None compares them to the letter. Of a pair it is
    enough that one of its texts is there.
    """
    texts, owners = _texts(rows)
    found = {}
    for part in KNOWN_PARTS:
        known = [
            text for values in read_rows(corpus.folder, part, ["text", "pair"]).values() for text in values if text
        ]
        hits = np.zeros(len(rows), dtype=bool)
        hits[owners[_places(ctx, known, texts, threshold)]] = True
        found[part] = hits
    return found


def _texts(rows: Part) -> tuple[list[str], np.ndarray]:
    """All texts of the rows, and the row that each belongs to."""
    texts = [*rows.texts, *rows.pairs]
    return texts, np.arange(len(texts)) % len(rows)


def _places(ctx: Context, known: Sequence[str], texts: Sequence[str], threshold: float | None) -> np.ndarray:
    if not known:
        return np.zeros(0, dtype=np.int64)
    if threshold is None:
        there = set(known)
        return np.array([place for place, text in enumerate(texts) if text in there], dtype=np.int64)
    with ctx.progress("looking for rows a model was trained on", total=len(known), unit="texts") as bar:
        pairs = leaked_rows(known, texts, threshold, advance=bar.advance)
    return np.array(sorted({place for _, place in pairs}), dtype=np.int64)
