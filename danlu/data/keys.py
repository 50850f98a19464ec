"""What is known of every cleaned row without its text: a few numbers each, so that all rows fit in memory at once.

Rows are numbered by where they lie in the cleaned files, which may differ from run to run; every choice between rows
is therefore made by `place` (where the row came from) or by content, never by that number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from scipy.sparse.csgraph import connected_components

from danlu.data import near
from danlu.data.config import NearConfig
from danlu.data.tables import batches

Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Number = TypeVar("Number", np.int64, np.uint64)

LABEL_CONFLICT = "label_conflict"
EXACT_DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"
NEAR_TEST = "near_test"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Arrays over the cleaned rows [N].

    `place` orders rows as they came. `text` numbers distinct texts from 0, in the order of their hashes. `label`
    indexes `labels`, which are sorted; without labels all are 0. `characters` is the length of the text.
    `contents` [T] holds the first 64 bits of each distinct text's hash.
    """

    place: Integers
    text: Integers
    label: Integers
    characters: Integers
    labels: tuple[str, ...]
    contents: Hashes

    @property
    def texts(self) -> int:
        """How many distinct texts there are."""
        return len(self.contents)


def read_keys(folder: Path) -> Keys:
    """The keys of the cleaned rows in `folder` (schema `CLEAN`)."""
    place: list[Integers] = []
    high: list[Hashes] = []
    low: list[Hashes] = []
    characters: list[Integers] = []
    label: list[Integers] = []
    known: dict[str, int] = {}
    for batch in batches(folder, ["place", "label", "content", "text"]):
        place.append(batch.column("place").to_numpy())
        contents = batch.column("content").to_pylist()
        high.append(np.array([int(content[:16], 16) for content in contents], dtype=np.uint64))
        low.append(np.array([int(content[16:32], 16) for content in contents], dtype=np.uint64))
        characters.append(np.array([len(text) for text in batch.column("text").to_pylist()], dtype=np.int64))
        found = [known.setdefault(value or "", len(known)) for value in batch.column("label").to_pylist()]
        label.append(np.array(found, dtype=np.int64))
    labels = tuple(sorted(known))
    position = {value: number for number, value in enumerate(labels)}
    rank = np.array([position[value] for value in known], dtype=np.int64)
    text, contents = _number(_joined(high, np.uint64), _joined(low, np.uint64))
    return Keys(
        place=_joined(place, np.int64),
        text=text,
        label=rank[_joined(label, np.int64)] if labels else np.zeros(0, dtype=np.int64),
        characters=_joined(characters, np.int64),
        labels=labels,
        contents=contents,
    )


def _joined(parts: list[npt.NDArray[Number]], kind: type[Number]) -> npt.NDArray[Number]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)


def _number(high: Hashes, low: Hashes) -> tuple[Integers, Hashes]:
    """Rank of each 128-bit hash among the distinct ones, and the upper half of each distinct one."""
    order = np.lexsort((low, high))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
    text = np.empty(len(order), dtype=np.int64)
    text[order] = np.cumsum(new) - 1
    return text, high[order][new]


def first_rows(keys: Keys, rows: Flags, group: Integers) -> Flags:
    """Of the marked rows, the one of each group that came first."""
    chosen = np.flatnonzero(rows)
    order = chosen[np.lexsort((keys.place[chosen], group[chosen]))]
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.diff(group[order]) != 0
    kept = np.zeros(len(rows), dtype=bool)
    kept[order[first]] = True
    return kept


def without_conflicts(keys: Keys, policy: str) -> Flags:
    """Which rows stay when equal texts carry different labels.

    `drop` keeps none of such rows, `keep` all; `majority` those with the label that most of the equal texts carry,
    and none when two labels are equally frequent.
    """
    rows = np.ones(len(keys.text), dtype=bool)
    if policy == "keep" or not keys.texts:
        return rows
    count = len(keys.labels)
    pairs, votes = np.unique(keys.text * count + keys.label, return_counts=True)
    text = pairs // count
    variants = np.bincount(text, minlength=keys.texts)
    if policy == "drop":
        return np.asarray(variants[keys.text] == 1)
    most = np.zeros(keys.texts, dtype=np.int64)
    np.maximum.at(most, text, votes)
    winners = votes == most[text]
    clear = np.bincount(text[winners], minlength=keys.texts) == 1
    allowed = pairs[winners & clear[text]]
    return np.isin(keys.text * count + keys.label, allowed)


@dataclass(frozen=True, kw_only=True)
class Links:
    """Pairs [P, 2] of distinct texts, by number, that are nearly equal; the smaller number comes first.

    `compared`: pairs whose similarity was computed. `truncated`: shingles that too many texts have for all of those
    to be compared.
    """

    pairs: Integers
    compared: int = 0
    truncated: int = 0


def find_links(folder: Path, keys: Keys, config: NearConfig, advance: Callable[[int], None]) -> Links:
    """The near duplicates among the distinct texts of the cleaned rows.

    `advance(n)` is called after every `n` rows.
    """
    if not config.near:
        return Links(pairs=np.zeros((0, 2), dtype=np.int64))
    bands = near.bands_for(config.threshold)
    signatures = np.zeros((keys.texts, bands.count + 1), dtype=np.uint64)
    first = first_rows(keys, np.ones(len(keys.text), dtype=bool), keys.text)
    for start, texts in _texts(folder):
        positions = np.flatnonzero(first[start : start + len(texts)])
        if len(positions):
            found = near.band_hashes([texts[position] for position in positions], bands)
            signatures[keys.text[start + positions]] = found
        advance(len(texts))

    def texts_of(numbers: Integers) -> Sequence[str]:
        wanted = np.zeros(keys.texts, dtype=bool)
        wanted[numbers] = True
        chosen = first & wanted[keys.text]
        found: dict[int, str] = {}
        for start, texts in _texts(folder):
            for position in np.flatnonzero(chosen[start : start + len(texts)]):
                found[int(keys.text[start + position])] = texts[position]
        return [found[int(number)] for number in numbers]

    groups = near.cluster(signatures, texts_of, config.threshold)
    others = np.flatnonzero(groups.of_text != np.arange(keys.texts))
    pairs = np.stack([groups.of_text[others], others], axis=1)
    return Links(pairs=pairs, compared=groups.pairs, truncated=groups.truncated)


def clusters_of(pairs: Integers, texts: int) -> Integers:
    """The cluster of each distinct text [T]: the smallest number of a text that links lead to."""
    graph = sparse.coo_matrix((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(texts, texts))
    count, component = connected_components(graph, directed=False)
    lowest = np.full(count, texts, dtype=np.int64)
    np.minimum.at(lowest, component, np.arange(texts))
    return lowest[component]


def _texts(folder: Path) -> Iterator[tuple[int, list[str]]]:
    start = 0
    for batch in batches(folder, ["text"]):
        texts = batch.column("text").to_pylist()
        yield start, texts
        start += len(texts)
