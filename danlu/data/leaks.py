"""Training rows that say again what a held-out row says, found anew from the texts: clusters may have missed some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from danlu.data.split import TEST, TRAIN, VALIDATION
from danlu.data.tables import batches
from danlu.metrics.leaks import HeldOut

#: Characters of held-out texts that are prepared at once, which bounds the memory. All training texts are read anew for
#: each such portion.
_HELD_OUT_CHARACTERS = 128_000_000

Flags = npt.NDArray[np.bool_]


def leaking_rows(folder: Path, part: npt.NDArray[np.int8], threshold: float, advance: Callable[[int], None]) -> Flags:
    """Which of the cleaned rows [N] in `folder` are in train and equal or nearly equal to a held-out one.

    `part` [N] are the parts of the rows. `advance(n)` is called after every `n` training texts that were compared with
    the held-out texts at hand.
    """
    leaking = np.zeros(len(part), dtype=bool)
    for portion in portions(texts_in([folder], (part == VALIDATION) | (part == TEST))):
        held_out = HeldOut(portion, threshold)
        for rows, texts in texts_in([folder], part == TRAIN):
            leaking[rows[held_out.leaks(texts)[:, 0]]] = True
            advance(len(texts))
    return leaking


def count_leaks(corpus: Path, threshold: float, advance: Callable[[int], None]) -> int:
    """Rows of validation and test that are also in train, equal or nearly so, counted in the written files."""
    leaked = 0
    for portion in portions(texts_in([corpus / "validation", corpus / "test"])):
        held_out = HeldOut(portion, threshold)
        found: set[int] = set()
        for _, texts in texts_in([corpus / "train"]):
            found.update(held_out.leaks(texts)[:, 1].tolist())
            advance(len(texts))
        leaked += len(found)
    return leaked


def texts_in(folders: Iterable[Path], wanted: Flags | None = None) -> Iterator[tuple[npt.NDArray[np.int64], list[str]]]:
    """`(rows, texts)` of the wanted rows of all folders together, some thousand at a time."""
    start = 0
    for folder in folders:
        for batch in batches(folder, ["text"]):
            rows = np.arange(start, start + batch.num_rows)
            start += batch.num_rows
            if wanted is not None:
                inside = wanted[rows]
                rows, batch = rows[inside], batch.filter(inside)
            if len(rows):
                yield rows, batch.column(0).to_pylist()


def portions(texts: Iterable[tuple[npt.NDArray[np.int64], list[str]]]) -> Iterator[list[str]]:
    """The texts of `texts_in`, as many at a time as may be prepared as held-out ones at once."""
    portion: list[str] = []
    characters = 0
    for _, some in texts:
        portion += some
        characters += sum(map(len, some))
        if characters >= _HELD_OUT_CHARACTERS:
            yield portion
            portion, characters = [], 0
    if portion:
        yield portion
