"""Training rows that say again what a held-out row says, found anew from the texts: clusters may have missed some."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from danlu.data.split import TEST, TRAIN, VALIDATION
from danlu.data.tables import batches
from danlu.metrics.leaks import leaked_rows

#: So many training texts are compared at a time, so that memory stays flat.
_ROWS_AT_ONCE = 100_000

Flags = npt.NDArray[np.bool_]


def leaking_rows(folder: Path, part: npt.NDArray[np.int8], threshold: float, advance: Callable[[int], None]) -> Flags:
    """Which of the cleaned rows [N] in `folder` are in train and equal or nearly equal to a held-out one.

    `part` [N] are the parts of the rows. `advance(n)` is called after every `n` comparisons of a held-out text with
    all training texts at hand.
    """
    held_out = list(_texts(folder, (part == VALIDATION) | (part == TEST)))
    rows = np.flatnonzero(part == TRAIN)
    leaking = np.zeros(len(part), dtype=bool)
    for start, texts in _portions(_texts(folder, part == TRAIN)):
        pairs = leaked_rows(texts, held_out, threshold, advance=advance)
        leaking[rows[[start + row for row, _ in pairs]]] = True
    return leaking


def count_leaks(corpus: Path, threshold: float, advance: Callable[[int], None]) -> int:
    """Rows of validation and test that are also in train, equal or nearly so, counted in the written files."""
    held_out = [text for name in ("validation", "test") for text in _texts(corpus / name)]
    leaked: set[int] = set()
    for _, texts in _portions(_texts(corpus / "train")):
        leaked.update(place for _, place in leaked_rows(texts, held_out, threshold, advance=advance))
    return len(leaked)


def _texts(folder: Path, wanted: Flags | None = None) -> Iterator[str]:
    start = 0
    for batch in batches(folder, ["text"]):
        texts = batch.column(0).to_pylist()
        inside = None if wanted is None else wanted[start : start + len(texts)]
        start += len(texts)
        yield from texts if inside is None else (texts[place] for place in np.flatnonzero(inside))


def _portions(texts: Iterator[str]) -> Iterator[tuple[int, Sequence[str]]]:
    start, portion = 0, []
    for text in texts:
        portion.append(text)
        if len(portion) == _ROWS_AT_ONCE:
            yield start, portion
            start, portion = start + len(portion), []
    if portion:
        yield start, portion
