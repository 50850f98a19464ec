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
import pyarrow as pa
import pyarrow.compute as pc

from danlu.core.errors import UserError
from danlu.data import near
from danlu.data.config import DataConfig
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
        upper, lower = _halves(batch.column("content"))
        high.append(upper)
        low.append(lower)
        characters.append(pc.utf8_length(batch.column("text")).to_numpy(zero_copy_only=False).astype(np.int64))
        found = pc.fill_null(batch.column("label"), "").dictionary_encode()
        numbers = [known.setdefault(value, len(known)) for value in found.dictionary.to_pylist()]
        label.append(np.array(numbers, dtype=np.int64)[found.indices.to_numpy(zero_copy_only=False)])
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


def _halves(contents: pa.Array) -> tuple[Hashes, Hashes]:
    """The first and the second 64 bits of hashes of 64 hex digits."""
    text = contents.cast(pa.string())
    width = 64
    start, end = np.frombuffer(text.buffers()[1], dtype=np.int32)[text.offset : text.offset + len(text) + 1][[0, -1]]
    if end - start != width * len(text) or text.null_count:
        raise ValueError(f"{len(text):,} hashes came that are not of {width} hex digits each.")
    digits = np.frombuffer(text.buffers()[2], dtype=np.uint8)[start:end].reshape(-1, width)[:, :32]
    # '0' to '9' are 0x30 and up, 'a' to 'f' 0x61 and up.
    values = (digits & 15) + 9 * (digits >> 6)
    halves = ((values[:, ::2] << 4) | values[:, 1::2]).reshape(-1, 2, 8).view(">u8")
    return halves[:, 0, 0].astype(np.uint64), halves[:, 1, 0].astype(np.uint64)


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


#: What is preferred of several rows that say the same: the row with the smallest number, and of equals the first.
_PREFERENCES: dict[str, Callable[[Keys, Integers | None], Integers]] = {
    "first": lambda keys, _: np.zeros(len(keys.place), dtype=np.int64),
    "longest": lambda keys, _: ~keys.characters,
    "newest": lambda keys, time: ~_times(keys, time),
}

#: The time of a row that has none: before all others.
NO_TIME = np.iinfo(np.int64).min


def _times(keys: Keys, time: Integers | None) -> Integers:
    if time is None:
        raise UserError(
            "Of duplicates the newest row is to be kept, but the rows have no time. Name the column with the time in "
            "the recipe, or keep the longest or the first row."
        )
    if len(time) != len(keys.place):
        raise ValueError(f"{len(time):,} times came for {len(keys.place):,} rows.")
    return time


def chosen_rows(keys: Keys, rows: Flags, group: Integers, policy: str, time: Integers | None = None) -> Flags:
    """Of the marked rows [N], the one of each group that is kept: `first`, `longest` or `newest`.

    `first` is the row that came first (`place`), `longest` the one with most characters, `newest` the one with the
    largest `time` [N] (any unit; `NO_TIME` where it is not known). Of equals, the first. Nothing depends on where rows
    happen to lie. Raises `UserError` for `newest` without times, `ValueError` for another policy.
    """
    if policy not in _PREFERENCES:
        raise ValueError(f"The policy is {policy!r}; it must be one of {', '.join(_PREFERENCES)}.")
    preference = _PREFERENCES[policy](keys, time)
    chosen = np.flatnonzero(rows)
    order = chosen[np.lexsort((keys.place[chosen], preference[chosen], group[chosen]))]
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.diff(group[order]) != 0
    kept = np.zeros(len(rows), dtype=bool)
    kept[order[first]] = True
    return kept


def first_rows(keys: Keys, rows: Flags, group: Integers) -> Flags:
    """Of the marked rows, the one of each group that came first."""
    return chosen_rows(keys, rows, group, "first")


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
class Clusters:
    """Near-duplicate groups: the cluster of each distinct text [T], as the number of the cluster's first text.

    `links` [P, 2]: the verified pairs of texts that make them, numbers of texts, smaller first, sorted; see
    `danlu.data.near.Links` for which those are. `truncated`: how often a shingle was met that too many texts have for
    all of those to be compared.
    """

    of_text: Integers
    links: Integers
    pairs_verified: int = 0
    truncated: int = 0


def find_clusters(
    folder: Path,
    keys: Keys,
    config: DataConfig,
    advance: Callable[[int], None],
    *,
    budget_bytes: int | None = None,
    scratch: Path | None = None,
) -> Clusters:
    """Group near duplicates among the distinct texts of the cleaned rows; equal texts are always one.

    `advance(n)` is called after every `n` rows. What would take more memory than `budget_bytes` (None: no limit) is
    kept in files below `scratch` meanwhile; the result is the same.
    """
    if not config.duplicates.near:
        return Clusters(of_text=np.arange(keys.texts, dtype=np.int64), links=np.zeros((0, 2), dtype=np.int64))
    # Texts are numbered in the order in which they lie here, and renumbered at the end.
    rows = np.flatnonzero(first_rows(keys, np.ones(len(keys.text), dtype=bool), keys.text))
    with near.Spill(budget_bytes, scratch) as spill:
        signatures = near.Signatures(config.duplicates.threshold, spill)
        for start, texts in _texts(folder):
            low, high = np.searchsorted(rows, [start, start + len(texts)])
            signatures.add([texts[row - start] for row in rows[low:high]])
            advance(len(texts))

        def texts_of(positions: Integers) -> Iterator[tuple[Integers, Sequence[str]]]:
            wanted = rows[positions]
            for start, texts in _texts(folder):
                low, high = np.searchsorted(wanted, [start, start + len(texts)])
                if high > low:
                    yield positions[low:high], [texts[row - start] for row in wanted[low:high]]

        found = near.links(signatures, texts_of)
    links = np.sort(keys.text[rows[found.pairs]], axis=1)
    return Clusters(
        of_text=near.components(links, keys.texts),
        links=links[np.lexsort((links[:, 1], links[:, 0]))],
        pairs_verified=found.compared,
        truncated=found.truncated,
    )


def _texts(folder: Path) -> Iterator[tuple[int, list[str]]]:
    start = 0
    for batch in batches(folder, ["text"]):
        texts = batch.column("text").to_pylist()
        yield start, texts
        start += len(texts)
