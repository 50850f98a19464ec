"""Train, validation and test: stratified by label, whole clusters only, fixed by hash."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from danlu.core.errors import DataError

Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)


@dataclass(frozen=True, kw_only=True)
class _Stratum:
    """The clusters of one label in the order of their hashes: their numbers and their sizes in rows."""

    clusters: Integers
    sizes: Integers


def split(*, cluster: Integers, label: Integers, order: Hashes, validation: float, test: float) -> npt.NDArray[np.int8]:
    """The part of each row [R]: 0 train, 1 validation, 2 test.

    `cluster` [R] and `label` [R] are numbers; `order[c]` is a hash of cluster c that nothing but its content and the
    seed decides. A cluster belongs to the label that most of its rows carry. For each label, clusters are taken in
    the order of their hashes until the part has its share of rows; a label with two clusters is in train and test,
    with three or more in every part. Raises `DataError` when a part would be empty.
    """
    part = np.zeros(int(cluster.max()) + 1, dtype=np.int8)
    for stratum in _strata(cluster, label, order):
        part[stratum.clusters] = _share_out(stratum.sizes, validation, test)
    _fill_validation(part, np.unique(cluster), order)
    result = part[cluster]
    for number, name in enumerate(PARTS):
        if not (result == number).any():
            raise DataError(
                f"The data cannot be split: nothing is left for {name}. {len(np.unique(cluster))} groups of different "
                f"texts with {len(np.unique(label))} labels came; give at least three different texts for each label."
            )
    return np.asarray(result)


def _strata(cluster: Integers, label: Integers, order: Hashes) -> list[_Stratum]:
    labels = int(label.max()) + 1
    pairs, votes = np.unique(cluster * labels + label, return_counts=True)
    clusters, voted = pairs // labels, pairs % labels
    # Most votes first; of equals the smaller label.
    ranking = np.lexsort((voted, -votes, clusters))
    clusters, voted, votes = clusters[ranking], voted[ranking], votes[ranking]
    first = np.ones(len(clusters), dtype=bool)
    first[1:] = np.diff(clusters) != 0
    sizes = np.bincount(cluster)
    strata = []
    for number in np.unique(voted[first]):
        members = clusters[first][voted[first] == number]
        members = members[np.lexsort((members, order[members]))]
        strata.append(_Stratum(clusters=members, sizes=sizes[members]))
    return strata


def _share_out(sizes: Integers, validation: float, test: float) -> npt.NDArray[np.int8]:
    """The part of each cluster of a stratum; `sizes` are in the order in which clusters are to be taken."""
    part = np.zeros(len(sizes), dtype=np.int8)
    rows = int(sizes.sum())
    for number, share, least_clusters in ((TEST, test, 2), (VALIDATION, validation, 3)):
        if len(sizes) < least_clusters:
            continue
        quota = max(1, round(rows * share))
        taken = 0
        for index in np.flatnonzero(part == TRAIN):
            if taken + sizes[index] <= quota:
                part[index] = number
                taken += int(sizes[index])
                if taken == quota:
                    break
        if not taken:
            # Every cluster is larger than the quota: the smallest, so that the part is not empty.
            free = np.flatnonzero(part == TRAIN)
            part[free[np.argmin(sizes[free])]] = number
    return part


def _fill_validation(part: npt.NDArray[np.int8], clusters: Integers, order: Hashes) -> None:
    """Where no label has three clusters, half of the test clusters become validation."""
    if (part[clusters] == VALIDATION).any():
        return
    held = clusters[part[clusters] == TEST]
    held = held[np.lexsort((held, order[held]))]
    part[held[: len(held) // 2]] = VALIDATION


def order_of(contents: Hashes, seed: int) -> Hashes:
    """A shuffling hash of each content hash and the seed (splitmix64)."""
    mask = (1 << 64) - 1
    start = np.uint64((seed * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03) & mask)
    value = contents ^ start
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)))
