"""What is known of every cleaned row without its text: a few numbers each, so that all rows fit in memory at once.

Rows are numbered by where they lie in the cleaned files, which may differ from run to run; every choice between rows
is therefore made by `place` (where the row came from) or by content, never by that number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from danlu.core.errors import UserError
from danlu.data import near
from danlu.data.config import NearConfig
from danlu.data.tables import batches
from danlu.data.times import DayOrder, check_times, to_epoch

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
    `contents` [T] holds the first 64 bits of each distinct text's hash. `subject` and `conversation` number those, -1
    where a row has none. `time` is in seconds since 1970, UTC, `NO_TIME` where a row has none. These three are None
    where no row has any. `source` numbers the sources as the recipe does. `prompt` numbers what is said before the last
    answer of instruction data, -1 for a plain text; None where there are only these. `subjects` and `conversations`
    are their names by number, as 64 bits, sorted. `warnings` are for people.
    """

    place: Integers
    text: Integers
    label: Integers
    characters: Integers
    labels: tuple[str, ...]
    contents: Hashes
    subject: Integers | None = None
    conversation: Integers | None = None
    time: Integers | None = None
    source: Integers | None = None
    prompt: Integers | None = None
    subjects: Hashes = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    conversations: Hashes = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    warnings: tuple[str, ...] = ()

    @property
    def texts(self) -> int:
        """How many distinct texts there are."""
        return len(self.contents)


class _Numbers:
    """Numbers for the different values of a column, in the order in which they come; -1 for no value."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self._parts: list[Integers] = []

    def add(self, values: pa.Array) -> None:
        found = values.dictionary_encode()
        numbers = [self.known.setdefault(value, len(self.known)) for value in found.dictionary.to_pylist()]
        indices = pc.fill_null(found.indices, len(numbers)).to_numpy(zero_copy_only=False)
        self._parts.append(np.array([*numbers, -1], dtype=np.int64)[indices])

    def all(self) -> Integers | None:
        return _joined(self._parts, np.int64) if self.known else None


class _Names:
    """A column of names that are hashes: 16 hex digits. 9 bytes a row, however many different ones there are."""

    def __init__(self) -> None:
        self._parts: list[Hashes] = []
        self._given: list[Flags] = []

    def add(self, values: pa.Array) -> None:
        self._given.append(values.is_valid().to_numpy(zero_copy_only=False))
        self._parts.append(hashes_of(values))

    def all(self) -> tuple[Integers | None, Hashes]:
        """The number of each row's name among the different ones, -1 for none, and those, sorted."""
        given, every = _joined_flags(self._given), _joined(self._parts, np.uint64)
        known, inverse = np.unique(every[given], return_inverse=True)
        if not len(known):
            return None, known
        numbers = np.full(len(given), -1, dtype=np.int64)
        numbers[given] = inverse
        return numbers, known


def hashes_of(names: pa.Array | pa.ChunkedArray) -> Hashes:
    """Names of up to 16 hex digits as numbers; 0 for none."""
    values = (0 if name is None else int(name, 16) for name in names.to_pylist())
    return np.fromiter(values, dtype=np.uint64, count=len(names))


class _Times:
    """A column of times as text, kept as Arrow keeps it: a third of what a list of strings takes."""

    def __init__(self) -> None:
        self._parts: list[pa.Array] = []

    def add(self, values: pa.Array) -> None:
        self._parts.append(values)

    def all(self, column: str) -> tuple[Integers | None, list[str]]:
        """Seconds since 1970 of every row, None where no row has any, and warnings; see `check_times`."""
        if not self._parts:
            return None, []
        every = pa.chunked_array(self._parts)
        given = pc.fill_null(pc.not_equal(every, ""), False)
        if not pc.any(given).as_py():
            return None, []
        # What the whole column says of the order of day and month holds for each part of it.
        order = DayOrder()
        for part in self._parts:
            order.see(part.to_pylist())
        seconds = np.concatenate([to_epoch(part.to_pylist(), order) for part in self._parts])
        inside = given.to_numpy()
        return seconds, check_times(every.filter(given), seconds[inside], column)


#: Gets content hashes and labels of rows, and returns the labels that they shall have.
Relabel = Callable[[list[str], list[str]], list[str]]


def read_keys(folder: Path, time: str = "time", relabel: Relabel | None = None, *, texts_only: bool = False) -> Keys:
    """The keys of the cleaned rows in `folder` (schema `CLEAN`), with the labels that `relabel` gives them.

    `time` is what messages call the column of the times. Raises `DataError` when most of them cannot be read. With
    `texts_only`, labels, subjects, conversations and times are left out.
    """
    place: list[Integers] = []
    high: list[Hashes] = []
    low: list[Hashes] = []
    characters: list[Integers] = []
    source: list[Integers] = []
    label = _Numbers()
    subject, conversation, prompt = _Names(), _Names(), _Names()
    times = _Times()
    others = [] if texts_only else ["label", "subject", "conversation", "time", "source", "parts", "learn"]
    for batch in batches(folder, ["place", "content", "text", *others]):
        place.append(batch.column("place").to_numpy())
        upper, lower = _halves(batch.column("content"))
        high.append(upper)
        low.append(lower)
        characters.append(pc.utf8_length(batch.column("text")).to_numpy(zero_copy_only=False).astype(np.int64))
        if texts_only:
            continue
        labelled = pc.fill_null(batch.column("label"), "")
        if relabel is not None:
            labelled = pa.array(relabel(batch.column("content").to_pylist(), labelled.to_pylist()), pa.string())
        source.append(batch.column("source").to_numpy().astype(np.int64))
        label.add(labelled)
        subject.add(batch.column("subject"))
        conversation.add(batch.column("conversation"))
        times.add(batch.column("time"))
        prompt.add(_prompts(batch))
    labels = tuple(sorted(label.known))
    position = {value: number for number, value in enumerate(labels)}
    rank = np.array([position[value] for value in label.known], dtype=np.int64)
    text, contents = numbered(_joined(high, np.uint64), _joined(low, np.uint64))
    numbers = label.all()
    seconds, warnings = times.all(time)
    subject_of, subjects = subject.all()
    conversation_of, conversations = conversation.all()
    return Keys(
        place=_joined(place, np.int64),
        text=text,
        label=np.zeros(len(text), dtype=np.int64) if numbers is None else rank[numbers],
        characters=_joined(characters, np.int64),
        labels=labels,
        contents=contents,
        subject=subject_of,
        conversation=conversation_of,
        time=seconds,
        source=None if texts_only else _joined(source, np.int64),
        prompt=prompt.all()[0],
        subjects=subjects,
        conversations=conversations,
        warnings=tuple(warnings),
    )


def _prompts(batch: pa.RecordBatch) -> pa.Array:
    """A hash of what is said before the last learned turn of each row; null for a plain text, or where nothing is."""
    parts, learn = batch.column("parts"), batch.column("learn")
    if parts.null_count == len(parts):
        return pa.nulls(len(parts), pa.string())
    found = []
    for said, learned in zip(parts.to_pylist(), learn.to_pylist(), strict=True):
        last = max((place for place, one in enumerate(learned) if one), default=0) if said else 0
        before = "\n".join(said[:last]) if said else ""
        found.append(hashlib.blake2b(before.encode("utf-8"), digest_size=8).hexdigest() if before else None)
    return pa.array(found, pa.string())


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


def _joined_flags(parts: list[Flags]) -> Flags:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)


def _joined(parts: list[npt.NDArray[Number]], kind: type[Number]) -> npt.NDArray[Number]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)


def numbered(high: Hashes, low: Hashes) -> tuple[Integers, Hashes]:
    """Rank of each 128-bit hash among the distinct ones, and the upper half of each distinct one."""
    order = np.lexsort((low, high))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
    text = np.empty(len(order), dtype=np.int64)
    text[order] = np.cumsum(new) - 1
    return text, high[order][new]


#: What is preferred of several rows that say the same: the row with the smallest number, and of equals the first.
_PREFERENCES: dict[str, Callable[[Keys], Integers]] = {
    "first": lambda keys: np.zeros(len(keys.place), dtype=np.int64),
    "longest": lambda keys: ~keys.characters,
    "newest": lambda keys: ~_times(keys),
}


def _times(keys: Keys) -> Integers:
    if keys.time is None:
        raise UserError(
            "Of duplicates the newest row is to be kept, but no row has a time. Name the column with the time in "
            "data.time, or set data.duplicates.keep to longest or first."
        )
    return keys.time


def chosen_rows(keys: Keys, rows: Flags, group: Integers, policy: str) -> Flags:
    """Of the marked rows [N], the one of each group that is kept: `first`, `longest` or `newest`.

    `first` is the row that came first (`place`), `longest` the one with most characters, `newest` the one with the
    largest `time`. Of equals, the first. Nothing depends on where rows happen to lie. Raises `UserError` for `newest`
    without times, `ValueError` for another policy.
    """
    if policy not in _PREFERENCES:
        raise ValueError(f"The policy is {policy!r}; it must be one of {', '.join(_PREFERENCES)}.")
    preference = _PREFERENCES[policy](keys)
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


def without_conflicts(keys: Keys, policy: str, among: Flags | None = None) -> Flags:
    """Which rows stay when equal texts carry different labels.

    `drop` keeps none of such rows, `keep` all; `majority` those with the label that most of the equal texts carry,
    and none when two labels are equally frequent. Only the rows `among` [N] have a say; others stay where their label
    is one that stays.
    """
    rows = np.ones(len(keys.text), dtype=bool)
    voting = rows if among is None else among
    if policy == "keep" or not keys.texts:
        return rows
    count = len(keys.labels)
    pairs, votes = np.unique((keys.text * count + keys.label)[voting], return_counts=True)
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
    """Pairs [P, 2] of distinct texts, by number, that are nearly equal: smaller first, sorted, each once.

    `equal` [P] marks the pairs with equal shingles; see `danlu.data.near.Links`, also for `compared` and `truncated`.
    """

    pairs: Integers
    equal: Flags
    compared: int = 0
    truncated: int = 0


def find_links(
    folder: Path,
    keys: Keys,
    config: NearConfig,
    advance: Callable[[int], None],
    *,
    budget_bytes: int | None = None,
    scratch: Path | None = None,
) -> Links:
    """The near duplicates among the distinct texts of the cleaned rows.

    `advance(n)` is called after every `n` rows. What would take more memory than `budget_bytes` (None: no limit) is
    kept in files below `scratch` meanwhile; the result is the same.
    """
    if not config.near:
        return Links(pairs=np.zeros((0, 2), dtype=np.int64), equal=np.zeros(0, dtype=bool))
    # Texts are numbered in the order in which they lie here, and renumbered at the end.
    rows = np.flatnonzero(first_rows(keys, np.ones(len(keys.text), dtype=bool), keys.text))
    found = links_among(lambda: _texts(folder), rows, config, advance, budget_bytes=budget_bytes, scratch=scratch)
    pairs = np.sort(keys.text[rows[found.pairs]], axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Links(pairs=pairs[order], equal=found.equal[order], compared=found.compared, truncated=found.truncated)


def links_among(
    stream: Callable[[], Iterator[tuple[int, pa.StringArray]]],
    places: Integers,
    config: NearConfig,
    advance: Callable[[int], None],
    *,
    budget_bytes: int | None = None,
    scratch: Path | None = None,
) -> near.Links:
    """The near duplicates among distinct texts, each by its number in `places`.

    `stream()` yields all texts, `(number of the first, texts)` some thousand at a time, the same each time it is
    called; `places`, which only rise, are the numbers of those to be compared. For the rest see `find_links`.
    """
    with near.Spill(budget_bytes, scratch) as spill:
        signatures = near.Signatures(config.threshold, spill)
        for start, texts in stream():
            low, high = np.searchsorted(places, [start, start + len(texts)])
            signatures.add(_those(texts, places[low:high] - start))
            advance(len(texts))

        def texts_of(positions: Integers) -> Iterator[tuple[Integers, Sequence[str]]]:
            wanted = places[positions]
            for start, texts in stream():
                low, high = np.searchsorted(wanted, [start, start + len(texts)])
                if high > low:
                    yield positions[low:high], _those(texts, wanted[low:high] - start)

        return near.links(signatures, texts_of)


def _those(texts: pa.StringArray, places: Integers) -> list[str]:
    """The texts at these places, in Python."""
    if len(places) < len(texts):
        texts = texts.take(pa.array(places.tolist(), pa.int32()))
    found: list[str] = texts.to_pylist()
    return found


def _texts(folder: Path) -> Iterator[tuple[int, pa.StringArray]]:
    start = 0
    for batch in batches(folder, ["text"]):
        yield start, batch.column("text")
        start += batch.num_rows
