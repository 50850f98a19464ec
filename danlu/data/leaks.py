"""Training rows that say again what a held-out row says, found anew from the texts: clusters may have missed some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from danlu.data.pairs import texts_of
from danlu.data.split import TEST, TRAIN, VALIDATION
from danlu.metrics.leaks import HeldOut

#: Characters of held-out texts that are prepared at once, which bounds the memory. All training texts are read anew for
#: each such portion.
_HELD_OUT_CHARACTERS = 128_000_000

Flags = npt.NDArray[np.bool_]


def leaking_rows(folder: Path, part: npt.NDArray[np.int8], threshold: float, advance: Callable[[int], None]) -> Flags:
    """Which of the cleaned rows [N] in `folder` are in train and equal or nearly equal to a held-out one.

    Of a pair it is enough that one of its texts is. `part` [N] are the parts of the rows. `advance(n)` is called after
    every `n` training texts that were compared with the held-out texts at hand.
    """
    leaking = np.zeros(len(part), dtype=bool)
    for _, portion in portions(texts_in([folder], (part == VALIDATION) | (part == TEST))):
        held_out = HeldOut(portion, threshold)
        for rows, texts in texts_in([folder], part == TRAIN):
            leaking[rows[held_out.leaks(texts)[:, 0]]] = True
            advance(len(texts))
    return leaking


def count_leaks(corpus: Path, threshold: float, advance: Callable[[int], None]) -> int:
    """Rows of validation and test that are also in train, equal or nearly so, counted in the written files.

    Of a pair it is enough that one of its texts is.
    """
    leaked = 0
    for rows, portion in portions(texts_in([corpus / "validation", corpus / "test"])):
        held_out = HeldOut(portion, threshold)
        found: set[int] = set()
        for _, texts in texts_in([corpus / "train"]):
            found.update(rows[held_out.leaks(texts)[:, 1]].tolist())
            advance(len(texts))
        leaked += len(found)
    return leaked


def texts_in(folders: Iterable[Path], wanted: Flags | None = None) -> Iterator[tuple[npt.NDArray[np.int64], list[str]]]:
    """`(rows, texts)` of the wanted rows of all folders together, some thousand at a time; of a pair both its texts."""
    start = 0
    for folder in folders:
        last = -1
        for inside, found in texts_of(folder):
            last = int(inside[-1]) if len(inside) else last
            rows, texts = inside + start, found
            if wanted is not None:
                chosen = wanted[rows]
                rows, texts = rows[chosen], [text for text, one in zip(found, chosen.tolist(), strict=True) if one]
            if len(rows):
                yield rows, texts
        start += last + 1


def portions(
    texts: Iterable[tuple[npt.NDArray[np.int64], list[str]]],
) -> Iterator[tuple[npt.NDArray[np.int64], list[str]]]:
    """`(rows, texts)` of `texts_in`, as many at a time as may be prepared as held-out ones at once."""
    portion: list[str] = []
    rows: list[npt.NDArray[np.int64]] = []
    characters = 0
    for numbers, some in texts:
        portion += some
        rows.append(numbers)
        characters += sum(map(len, some))
        if characters >= _HELD_OUT_CHARACTERS:
            yield np.concatenate(rows), portion
            portion, rows, characters = [], [], 0
    if portion:
        yield np.concatenate(rows), portion
