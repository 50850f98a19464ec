"""Equal texts with different numbers, for tasks that foresee one: repeated measurements, not a contradiction.

Two people who give one review 3 and 4 stars are both right, and 3.5 is what squared error is smallest for. To drop such
texts, as is done with contradicting classes, would take the hard ones out of the test and flatter the score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from danlu.data.keys import Keys


def mean_of(numbers: Mapping[str, int]) -> str:
    """The mean of numbers as a corpus keeps them, each with how many rows have it, written in the same way."""
    count = sum(numbers.values())
    return repr(math.fsum(float(number) * times for number, times in numbers.items()) / count)


def averaged(keys: Keys) -> tuple[Keys, list[str]]:
    """The rows with one number for each text, the mean of those that its rows came with; and what people are told.

    Each row counts once, and the order of rows is of no matter.
    """
    pairs, rows = np.unique(np.stack([keys.text, keys.label], axis=1), axis=0, return_counts=True)
    several = np.bincount(pairs[:, 0], minlength=keys.texts) > 1
    if not several.any():
        return keys, []
    numbers: dict[int, dict[str, int]] = {}
    for (text, label), count in zip(pairs.tolist(), rows.tolist(), strict=True):
        if several[text]:
            numbers.setdefault(text, {})[keys.labels[label]] = count
    means = {text: mean_of(found) for text, found in numbers.items()}
    others = np.unique(keys.label[~several[keys.text]]).tolist()
    labels = tuple(sorted({*means.values(), *(keys.labels[label] for label in others)}))
    place = {label: number for number, label in enumerate(labels)}
    label = np.array([place.get(name, -1) for name in keys.labels], dtype=np.int64)[keys.label]
    torn = several[keys.text]
    mean = np.zeros(keys.texts, dtype=np.int64)
    mean[list(means)] = [place[value] for value in means.values()]
    label[torn] = mean[keys.text[torn]]
    return replace(keys, label=label, labels=labels), [_told(numbers, means, int(torn.sum()))]


def _told(numbers: Mapping[int, Mapping[str, int]], means: Mapping[int, str], rows: int) -> str:
    squares = math.fsum(
        count * (float(number) - float(means[text])) ** 2
        for text, found in numbers.items()
        for number, count in found.items()
    )
    spread = math.sqrt(squares / (rows - len(numbers)))
    texts = f"{len(numbers):,} text{'s' * (len(numbers) != 1)}"
    return (
        f"{texts} came with more than one number, in {rows:,} rows; each is kept with their mean. Numbers of one text "
        f"differ by {spread:.3g} (standard deviation): about so far off is even a perfect model."
    )
