"""A quick look at the data: how many rows there are, and how long their texts are.

Files are opened and read by the same code as in the data stage (`danlu.sources`), so that both read the same rows;
of a large file only the first part, and what is found there is scaled up. What cannot be read is passed over here;
the data stage says why a row is bad.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from danlu.core.errors import DataError
from danlu.core.tasks import CLASSIFY, TASKS
from danlu.plan.config import DataConfig, SourceConfig, merged
from danlu.sources.cells import read_cells
from danlu.sources.files import File
from danlu.sources.formats import open_file
from danlu.sources.places import Place, name_of, place_of
from danlu.sources.records import TEXT_COLUMN, TEXT_FORMATS, Opened, Row, missing_column
from danlu.sources.shapes import (
    DEFAULT_SPEAKERS,
    Misshapen,
    Sample,
    Speakers,
    first_exchange,
    may_have_shape,
    recognise,
)
from danlu.sources.targets import TARGETS, kept_or_nothing, reading_of
from danlu.sources.values import as_text

#: About so many bytes of one source are looked at; the rest is counted by proportion.
_MOST_BYTES = 48 << 20
#: Most rows kept for the tokenizer.
_MOST_TEXTS = 2_000
#: Most names of columns that an error message chooses from.
_MOST_NAMES = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One row as the corpus would have it: its text and, for instruction data, its turns and the answer liked less.

    `source`: its number; `label`: its class by the recipe's spelling, empty where none is read; `target`: what it is to
    be answered with, as the corpus holds it, and `names`: the labels in that; `pair`: the text that belongs to `text`,
    where pairs are read; `beside`: the cells beside it as they are kept, where the recipe names columns.
    """

    text: str
    source: int = 0
    label: str = ""
    target: Any = None
    names: tuple[str, ...] = ()
    turns: list[dict[str, Any]] | None = None
    rejected: str | None = None
    pair: str | None = None
    beside: str | None = None

    @property
    def whole(self) -> str:
        """What the data room compares and measures: of a pair both texts."""
        return self.text if self.pair is None else f"{self.text}\n{self.pair}"


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look at the sources gave.

    `rows`: records in all sources, `distinct`: different texts among them that the length limits of the recipe
    keep, both scaled up where a file was not read to its end (then `whole` is False). `sample`: a random sample of
    the distinct rows, in a fixed order. `characters`: mean length of a distinct text. `copies`: how many of the
    distinct texts that were looked at come once, twice and so on. `cells`: how many of the distinct rows have this
    source and class; `source_characters`: characters of a source's distinct rows; both scaled up. `names`: how many
    different labels those rows have, several of a row among them. `known`: how many of the distinct texts that were
    looked at an earlier corpus has on each of its sides, train, validation and test.
    """

    rows: int
    distinct: int
    sample: list[Found]
    characters: float
    bytes: int
    whole: bool
    copies: Mapping[int, int]
    cells: Mapping[tuple[int, str], float] = field(default_factory=dict)
    source_characters: Mapping[int, float] = field(default_factory=dict)
    names: int = 0
    known: tuple[int, int, int] = (0, 0, 0)

    @property
    def labels(self) -> list[str]:
        """The classes that were seen, sorted."""
        return sorted({label for _, label in self.cells if label})

    @property
    def everything(self) -> bool:
        """Whether the sample holds every usable row."""
        return self.whole and len(self.sample) == self.distinct

    def distinct_among(self, rows: int) -> int:
        """How many different texts `rows` rows drawn at random are expected to hold."""
        if rows >= self.rows:
            return self.distinct
        share = rows / self.rows
        expected = sum(count * (1 - (1 - share) ** copies) for copies, count in self.copies.items())
        return round(expected * self.distinct / max(1, sum(self.copies.values())))


#: Columns of a corpus that a look gives by default.
_TEXT_ALONE = frozenset({"text"})


def look(
    config: DataConfig,
    paths: list[Path],
    *,
    columns: Collection[str] = _TEXT_ALONE,
    sides: tuple[np.ndarray, np.ndarray] | None = None,
) -> Look:
    """Look at every source of `config`; `paths` are its local files in the same order.

    `columns` are those of the corpus that are wanted: with `turns` instruction data is read as the data room reads it,
    all turns of a record together; with the column of a task's answers (`label`, `labels`, `value`) these are read,
    with `pair` a row is two texts. `sides`:
    contents [C], sorted, that an earlier corpus knows, and the side [C] of each.

    Raises `DataError` for an empty or unreadable file, an encoding that does not exist or does not fit, a text
    column that is not there, and sources without a single readable row.
    """
    sample = _Sample(config, sides)
    seen = [_look_at(config, number, path, columns, sample) for number, path in enumerate(paths)]
    return Look(
        rows=round(sum(source.rows / source.share for source in seen)),
        distinct=round(sum(source.distinct.total() / source.share for source in seen)),
        sample=sample.rows,
        characters=sample.characters / max(1, sample.count),
        bytes=sum(source.bytes for source in seen),
        whole=all(source.whole for source in seen),
        copies=Counter(sample.known.values()),
        cells={
            (number, label): found / source.share
            for number, source in enumerate(seen)
            for label, found in sorted(source.distinct.items())
        },
        source_characters={number: source.characters / source.share for number, source in enumerate(seen)},
        names=len({name for source in seen for name in source.names}),
        known=(sample.sides[0], sample.sides[1], sample.sides[2]),
    )


@dataclass(kw_only=True)
class _Seen:
    """What was seen of one source. `bytes`: of all its files as they lie there; `read`: of these, what was looked at.

    `distinct`: new texts by class, `characters`: of them together, `names`: the labels they have, several of a row too.
    """

    bytes: int
    rows: int = 0
    distinct: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    names: set[str] = field(default_factory=set)
    read: float = 0.0

    @property
    def whole(self) -> bool:
        return self.read >= self.bytes

    @property
    def share(self) -> float:
        return min(1.0, self.read / self.bytes)


def _look_at(config: DataConfig, number: int, path: Path, columns: Collection[str], sample: _Sample) -> _Seen:
    """Read the source of this number until enough was seen of it; raises `DataError` where no row can be read."""
    source = config.sources[number]
    place = place_of(path, source.format)
    sizes = {file.name: file.packed_bytes() for file in place.files}
    reader = _Reader(config, source, number, columns)
    found = _Seen(bytes=sum(sizes.values()))
    unpacked = 0
    # In an order drawn at random, for the first files of a folder may differ from the last.
    for file in _in_random_order(place, config.seed):
        if unpacked > _MOST_BYTES:
            break
        opened = open_file(file, format=source.format, encoding=source.encoding, sheet=source.sheet)
        share = 1.0
        for row in reader.rows(opened, file.name):
            if unpacked + opened.position.bytes > _MOST_BYTES:
                # This row is the first behind what is looked at.
                share = min(1.0, opened.position.bytes / max(1, file.unpacked_bytes()))
                break
            found.rows += 1
            if sample.add(row):
                found.distinct[row.label] += 1
                found.names.update(row.names)
                found.characters += len(row.whole)
        unpacked += opened.position.bytes
        found.read += share * sizes[file.name]
    if found.rows == 0:
        first = f" (the first, {reader.first_bad})" if reader.first_bad else ""
        raise DataError(
            f"No row of {name_of(path)} could be read{first}. Expected records with a column {config.text!r}; up "
            f"to data.max_bad_rows ({config.max_bad_rows}) bad rows are passed over, but here every one is bad. "
            "Check the file and data.sources[].format."
        )
    return found


def _in_random_order(place: Place, seed: int) -> list[File]:
    return random.Random(seed).sample(place.files, len(place.files))


class _Sample:
    """The distinct rows that the length limits of the recipe keep: a sample of them, and how often each came."""

    def __init__(self, config: DataConfig, sides: tuple[np.ndarray, np.ndarray] | None) -> None:
        self._config = config
        self._sides = sides
        self._draw = random.Random(config.seed)
        self.known: Counter[bytes] = Counter()
        self.rows: list[Found] = []
        self.sides: Counter[int] = Counter()
        self.characters = 0
        self.count = 0

    def add(self, row: Found) -> bool:
        """Whether this row's text is a new one of a fit length."""
        text = row.whole
        if not self._config.min_characters <= len(text) <= self._config.max_characters:
            return False
        said = text if row.beside is None else f"{text}\n{row.beside}"
        mark = hashlib.sha256(said.encode("utf-8", "replace")).digest()[:12]
        self.known[mark] += 1
        if self.known[mark] > 1:
            return False
        self._look_up(mark)
        self.characters += len(text)
        self.count += 1
        if len(self.rows) < _MOST_TEXTS:
            self.rows.append(row)
        elif (place := self._draw.randrange(self.count)) < _MOST_TEXTS:
            self.rows[place] = row
        return True

    def _look_up(self, mark: bytes) -> None:
        """Note the side that an earlier corpus has this text on, by the first 64 bits of its SHA-256."""
        if self._sides is None:
            return
        contents, parts = self._sides
        content = np.uint64(int.from_bytes(mark[:8], "big"))
        place = int(np.searchsorted(contents, content))
        if place < len(contents) and contents[place] == content:
            self.sides[int(parts[place])] += 1


class _Reader:
    """Reads the rows of one source as the data room does; what cannot be used is passed over."""

    def __init__(self, config: DataConfig, source: SourceConfig, number: int, columns: Collection[str]) -> None:
        self._config = config
        self._source = source
        self._number = number
        self._task = next((name for name, task in TASKS.items() if task.target in columns), None)
        self._unanswered = 0
        self._pair = config.pair_of(self._task or "embed") if "pair" in columns else None
        shaped = self._task is None and (self._pair is not None or "turns" in columns)
        self._speakers = Speakers(names=config.speakers, learn=frozenset(config.learn)) if shaped else None
        self._reading = reading_of(config)
        self.first_bad = ""

    def rows(self, opened: Opened, name: str) -> Iterator[Found]:
        """The rows of a file whose text is not blank; raises `DataError` when no record has one."""
        column = TEXT_COLUMN if opened.format in TEXT_FORMATS else self._config.text
        shaped = self._speakers is not None and may_have_shape(opened.columns)
        if opened.columns and column not in opened.columns and not shaped:
            raise missing_column(name, column, opened)
        found = False
        names: dict[str, None] = {}
        for values in self._records(opened.rows, name):
            shape = recognise(values) if column not in values and self._speakers is not None else None
            if column not in values and shape is None:
                if not found and len(names) < _MOST_NAMES:
                    names.update(dict.fromkeys(values))
                continue
            found = True
            row = self._plain(values, column) if shape is None else self._shaped(shape.read, values)
            if row is not None:
                yield row
        if names and not found:
            raise missing_column(name, column, opened, tuple(names))

    def _records(self, rows: Iterator[Row], file: str) -> Iterator[Mapping[str, Any]]:
        """The values of each record; where each row is one turn, of each conversation, whose rows stand together."""
        speaker, conversation = self._config.speaker, self._config.conversation
        name, turns = None, list[dict[str, Any]]()
        for row in rows:
            values = row.values
            if values is None:
                self.first_bad = self.first_bad or f"{file}:{row.line}: {row.reason}"
                continue
            if self._speakers is None or speaker is None or conversation is None or speaker not in values:
                yield values
                continue
            here = as_text(values.get(conversation))
            if here != name and turns:
                yield {"dialogue": turns}
                turns = []
            name = here
            turns.append({"speaker": values[speaker], "text": values.get(self._config.text)})
        if turns:
            yield {"dialogue": turns}

    def _plain(self, values: Mapping[str, Any], column: str) -> Found | None:
        text = as_text(values[column])
        if text is None or not text.strip():
            return None
        kept = self._answer(values)
        if kept is None:
            return None
        pair = as_text(values.get(self._pair)) if self._pair is not None else None
        if self._pair is not None and not (pair or "").strip():
            return None
        try:
            beside = self._beside(values)
        except ValueError:
            return None
        about = TARGETS.get(self._task or "")
        return Found(
            text=text.strip(),
            source=self._number,
            label=kept if self._task == CLASSIFY.name else "",
            target=about.values(kept) if about is not None and kept else None,
            names=about.names(kept) if about is not None else (),
            pair=pair if pair is None else pair.strip(),
            beside=beside,
        )

    def _beside(self, values: Mapping[str, Any]) -> str | None:
        """The cells beside the text; None where none are asked for, or a column is not there: the data stage says so.

        Raises `ValueError` for a cell that is of no use.
        """
        asked = self._config.columns
        if asked is None or any(name not in values for name in (*asked.numeric, *asked.categorical)):
            return None
        return read_cells(values, asked.numeric, asked.categorical)

    def _answer(self, values: Mapping[str, Any]) -> str | None:
        """What a row is to be answered with, as it is kept until the corpus is written; None where it is of no use."""
        if self._task is None:
            return ""
        cell: Any = values if self._reading.heads else self._source.label
        if cell is None:
            column = self._config.label
            if column is None or column not in values:
                return self._of_teacher()  # without a teacher the data stage says that the column is not there
            cell = values[column]
        kept = kept_or_nothing(self._task, cell, self._reading)
        if not kept and self._config.teacher is not None:
            return self._of_teacher()
        return TARGETS[self._task].renamed(kept, lambda name: merged(name, self._config.labels)) if kept else None

    def _of_teacher(self) -> str:
        """What stands for a teacher's answer, which nobody knows yet: its labels by turns; empty without any."""
        labels = [] if self._config.teacher is None else self._config.teacher.labels
        self._unanswered += 1
        return labels[self._unanswered % len(labels)] if labels else ""

    def _shaped(self, read: Callable[[Mapping[str, Any], Speakers], Sample], values: Mapping[str, Any]) -> Found | None:
        try:
            sample = read(values, self._speakers or DEFAULT_SPEAKERS)
        except Misshapen:
            return None
        turns = [turn for turn in sample.turns if turn.text.strip()]
        if self._pair is not None:
            exchange = first_exchange(turns)
            if exchange is None:
                return None
            text, pair = exchange
            return Found(text=text.strip(), pair=pair.strip(), source=self._number)
        if not any(turn.learn for turn in turns):
            return None
        return Found(
            text="\n".join(turn.text.strip() for turn in turns),
            source=self._number,
            turns=[{"role": turn.role, "text": turn.text.strip(), "learn": turn.learn} for turn in turns],
            rejected=sample.rejected if sample.rejected is None else sample.rejected.strip(),
        )


def rows_of(path: Path, format: str) -> int:
    """Rows of a small file, such as a sheet of questions. Raises `DataError` for one that cannot be read."""
    return sum(1 for file in place_of(path, format).files for _ in open_file(file, format=format).rows)
