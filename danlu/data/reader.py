"""From the recipe's sources to Parquet: the one place where foreign files are read.

Everything after it sees the same columns. Memory stays flat however large the files are.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from danlu.core.errors import DataError
from danlu.core.heads import targets_in
from danlu.core.tasks import TASKS
from danlu.data.heads.reading import check_found, labels_among, lacking
from danlu.data.licences import remark
from danlu.data.rows import BROKEN, Columns, Unusable, joined, read_beside, read_label, read_others, read_text
from danlu.data.tables import BATCH_CHARACTERS, BATCH_ROWS, RAW, Files, Rejects
from danlu.sources.config import SourceConfig
from danlu.sources.encoding import guess_told
from danlu.sources.files import File
from danlu.sources.formats import open_file
from danlu.sources.places import Place, digests_of, name_of, place_of
from danlu.sources.records import TEXT_COLUMN, TEXT_FORMATS, Row, missing_column
from danlu.sources.shapes import may_have_shape
from danlu.sources.snapshots import origin_of

#: So many rows without the column asked for, and none with it, and it is plainly not there.
_ROWS_WITHOUT_COLUMN = 200


@dataclass(frozen=True, kw_only=True)
class Input:
    """One source, found: its position in the recipe, its file, folder or pattern, and the SHA-256 of what is there."""

    position: int
    path: Path
    digest: str
    config: SourceConfig

    @property
    def name(self) -> str:
        return name_of(self.path)


@dataclass(kw_only=True)
class FileTally:
    """What reading one file came to; `bytes` as it lies on disk."""

    name: str
    sha256: str
    bytes: int
    format: str
    encoding: str | None
    rows: int = 0
    bad_rows: int = 0

    def card(self) -> dict[str, Any]:
        """The file's entry in card.json."""
        return dict(vars(self))


@dataclass(kw_only=True)
class Tally:
    """What reading one source came to."""

    name: str
    sha256: str
    licence: str
    origin: str | None = None
    consent: str = "unknown"
    consent_note: str | None = None
    fetched: dict[str, Any] | None = None
    files: list[FileTally] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def bad_rows(self) -> int:
        return sum(file.bad_rows for file in self.files)

    def card(self) -> dict[str, Any]:
        """The source's entry in card.json; `fetched` says from where and when, for what is not a local file."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "bytes": sum(file.bytes for file in self.files),
            "format": _joined(file.format for file in self.files),
            "encoding": _joined(file.encoding for file in self.files if file.encoding) or None,
            "licence": self.licence,
            "origin": self.origin,
            "consent": self.consent,
            "consent_note": self.consent_note,
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "fetched": self.fetched,
            "files": [file.card() for file in self.files],
        }


def _joined(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))


class Labels:
    """Which spellings of labels came, to warn of two spellings of one label; of the first so many different ones."""

    MOST = 10_000

    def __init__(self) -> None:
        self.raw: Counter[str] = Counter()
        #: Whether any record has the column of the label; looked at where a teacher answers rows without.
        self.column_found = False
        #: Of several targets, how many rows have each.
        self.targets: Counter[str] = Counter()

    def add(self, spellings: Sequence[str]) -> None:
        # A column of texts that was taken for that of the label is not to be held in memory.
        for value in spellings:
            if value in self.raw or len(self.raw) < self.MOST:
                self.raw[value] += 1


def row_id(digest: str, occurrence: int, number: int) -> str:
    """The name of record `number` of a file: stable as long as the file holds the same bytes; 32 hex digits.

    `occurrence` tells a file from an equal one earlier in the recipe.
    """
    return hashlib.blake2b(f"{digest}:{occurrence}:{number}".encode(), digest_size=16).hexdigest()


def read_sources(
    inputs: Sequence[Input],
    *,
    columns: Columns,
    max_bad_rows: int,
    out: Path,
    rejects: Rejects,
    advance: Callable[[int], None],
) -> tuple[list[Tally], Labels]:
    """Read all sources into `out`/*.parquet (schema `RAW`), and what cannot be used into `rejects`.

    `advance(n)` is called after every `n` records. Raises `DataError` for a file that cannot be used, for a column
    that is not there, and as soon as more than `max_bad_rows` records cannot be read.
    """
    seen: Counter[str] = Counter()
    tallies: list[Tally] = []
    labels = Labels()
    for source in inputs:
        place = place_of(source.path, source.config.format)
        tally = _tally(source, place)
        tallies.append(tally)
        examples: list[str] = []
        start = 0
        with Files(out, f"{source.position:04d}", RAW) as writer:
            for file, digest in zip(place.files, digests_of(place, source.path, source.digest), strict=True):
                reading = _Reading(
                    source, file, digest, tally, columns, labels, examples, start=start, occurrence=seen[digest]
                )
                seen[digest] += 1
                for rows, refused in reading.batches():
                    writer.write(rows)
                    rejects.add(refused)
                    advance(len(rows["id"]) + len(refused))
                    _check_bad(tallies, examples, max_bad_rows)
                reading.check_end(several=place.several)
                start += reading.tally.rows
        _check_bad(tallies, examples, max_bad_rows)
        if not tally.rows:
            raise DataError(f"{source.name} has no rows of data (only headers, or blank lines).")
    check_found(columns.reading.heads, labels.targets)
    _check_label(inputs, columns, labels)
    return tallies, labels


def _check_label(inputs: Sequence[Input], columns: Columns, labels: Labels) -> None:
    """Raise `DataError` where a teacher answers what has no label, and no source has the column of the label.

    A misspelt name would have every row paid for, and what people answered ignored.
    """
    sought = columns.unanswered and columns.label is not None
    if not sought or labels.column_found or all(source.config.label is not None for source in inputs):
        return
    raise DataError(
        f"No source has the column {columns.label!r}, which data.label names, so data.teacher would be asked about "
        "every row. Name the column that holds the labels; where there is none and the teacher is to answer all rows, "
        "set data.label: null."
    )


def _tally(source: Input, place: Place) -> Tally:
    config = source.config
    tally = Tally(
        name=source.name,
        sha256=source.digest,
        licence=config.licence,
        origin=config.origin,
        consent=config.consent,
        consent_note=config.consent_note,
        fetched=origin_of(source.path),
    )
    said = remark(config.licence)
    if said is not None:
        tally.warnings.append(f"{source.name}: {said}")
    if place.empty:
        shown = ", ".join(place.empty[:5]) + (" and more" if len(place.empty) > 5 else "")
        tally.warnings.append(f"{len(place.empty):,} files of {source.name} are empty (0 bytes): {shown}.")
    return tally


def _check_bad(tallies: Sequence[Tally], examples: Sequence[str], most: int) -> None:
    if sum(tally.bad_rows for tally in tallies) > most:
        shown = "; ".join(examples)
        raise DataError(
            f"More than {most:,} rows cannot be read (data.max_bad_rows). The first in {tallies[-1].name}: {shown}. "
            "Mend the file, or raise data.max_bad_rows if these rows may be lost."
        )


class _Reading:
    """One file of a source under way; counts into the source's tally."""

    def __init__(
        self,
        source: Input,
        file: File,
        digest: str,
        whole: Tally,
        columns: Columns,
        labels: Labels,
        examples: list[str],
        *,
        start: int,
        occurrence: int,
    ) -> None:
        config = source.config
        self._source = source
        self._name = file.name
        self._digest = digest
        self._start = start
        self._occurrence = occurrence
        self._opened = open_file(file, format=config.format, encoding=config.encoding, sheet=config.sheet)
        self._fixed = config.label
        self._columns = replace(columns, text=TEXT_COLUMN) if self._opened.format in TEXT_FORMATS else columns
        self._label = columns.label if config.label is None else None
        self._rows = joined(self._opened.rows, self._columns) if columns.speaker else self._opened.rows
        self._labels = labels
        self._with_column: Counter[str] = Counter()
        self._keys: Counter[str] = Counter()
        self._examples = examples
        self._whole = whole
        encoding = self._opened.encoding
        self.tally = FileTally(
            name=file.name,
            sha256=digest,
            bytes=file.packed_bytes(),
            format=self._opened.format,
            encoding=encoding.name if encoding else None,
        )
        whole.files.append(self.tally)
        if encoding and encoding.nul_bytes:
            whole.warnings.append(f"{file.name} has {encoding.nul_bytes:,} NUL bytes; they are removed.")
        if encoding and encoding.guessed:
            whole.warnings.append(guess_told(file.name))
        for column in (*self._wanted(self._opened.columns), *lacking(columns.reading.heads, self._opened.columns)):
            if self._opened.columns and column not in self._opened.columns:
                raise missing_column(file.name, column, self._opened)

    def _wanted(self, known: Iterable[str] = ()) -> tuple[str, ...]:
        """The columns that a record must have; one with a shape needs no text column."""
        shaped = self._columns.shapes and may_have_shape(known)
        pair = () if self._columns.pair is None else (self._columns.pair,)
        text = () if shaped and self._columns.text not in known else (self._columns.text, *pair)
        label: tuple[str, ...] = () if self._label is None or self._columns.unanswered else (self._label,)
        beside = self._columns.beside
        cells = () if beside is None else (*beside.numeric, *beside.categorical)
        return (*text, *label, *cells, *self._columns.others.values())

    def batches(self) -> Iterator[tuple[dict[str, list[Any]], list[dict[str, Any]]]]:
        """Columns of usable rows, and rejected rows, some thousand at a time."""
        number = 0
        while True:
            rows: dict[str, list[Any]] = {name: [] for name in RAW.names}
            refused: list[dict[str, Any]] = []
            characters = 0
            for row in itertools.islice(self._rows, BATCH_ROWS):
                characters += self._take(row, number, rows, refused)
                number += 1
                if characters > BATCH_CHARACTERS:
                    break
            if not rows["id"] and not refused:
                break
            self.tally.rows = number
            yield rows, refused

    def check_end(self, *, several: bool) -> None:
        """What can only be said at the end. One file of several may be without rows."""
        number = self.tally.rows
        for column in self._wanted(self._keys):
            if not self._opened.columns and number and self._keys and not self._with_column[column]:
                raise self._missing(column)
        if number == 0 and not several:
            raise DataError(f"{self._name} has no rows of data (only a header, or blank lines).")
        if number == 0:
            self._whole.warnings.append(f"{self._name} has no rows of data (only a header, or blank lines).")

    def _take(self, row: Row, number: int, rows: dict[str, list[Any]], refused: list[dict[str, Any]]) -> int:
        """Put one record where it belongs; returns its characters."""
        name = row_id(self._digest, self._occurrence, number)
        origin = f"{self._name}:{row.line}"
        try:
            found = self._read(row)
        except Unusable as error:
            self._whole.dropped[error.kind] += 1
            if error.kind == BROKEN:
                self.tally.bad_rows += 1
                if len(self._examples) < 3:
                    self._examples.append(f"{origin}: {error.why}")
            stated = f"{error.kind}: {error.why}" if error.why else error.kind
            refused.append({"id": name, "origin": origin, "reason": stated, "step": "read", "text": None})
            return 100
        found |= {
            "id": name,
            "place": (self._source.position << 40) + self._start + number,
            "origin": origin,
            "source": self._source.position,
        }
        for column, value in found.items():
            rows[column].append(value)
        return len(found["text"])

    def _read(self, row: Row) -> dict[str, Any]:
        """A usable record as columns of `RAW`. Raises `Unusable`."""
        values = row.values
        if values is None:
            raise Unusable(BROKEN, row.reason)
        if not self._opened.columns:
            self._look_for_columns(values)
        found = read_text(values, self._columns)
        return {
            **found,
            "label": self._read_label(values),
            **read_beside(values, self._columns),
            **read_others(values, self._columns),
        }

    def _read_label(self, values: Mapping[str, Any]) -> str | None:
        """What a record is to be answered with, as it is kept: what its column says, or what the whole source has."""
        if self._columns.reading.heads:
            spellings, kept = read_label(values, self._columns)
            self._labels.add(labels_among(spellings, self._columns.reading.heads))
            self._labels.targets.update(targets_in([kept])[0].keys())
            return kept
        if self._label is not None and (self._label in values or not self._columns.unanswered):
            self._labels.column_found = True
            spellings, kept = read_label(values[self._label], self._columns)
            if TASKS[self._columns.task].named:
                self._labels.add(spellings)
            return kept
        return None if self._fixed is None else read_label(self._fixed, self._columns)[1]

    def _look_for_columns(self, values: Mapping[str, Any]) -> None:
        """Raises `Unusable` for a record without a column that is wanted, `DataError` where none of many has it."""
        for column in self._wanted(values):
            if column in values:
                self._with_column[column] += 1
                continue
            self._keys.update(key for key in values if len(self._keys) < 1000)
            if not self._with_column[column] and self.tally.bad_rows > _ROWS_WITHOUT_COLUMN:
                raise self._missing(column)
            raise Unusable(BROKEN, f"no column {column!r}")

    def _missing(self, column: str) -> DataError:
        keys = tuple(sorted(self._keys, key=lambda key: (-self._keys[key], key)))
        return missing_column(self._name, column, self._opened, keys)
