"""A quick look at the data: how many rows there are, and how long their texts are.

Files are opened and read by the same code as in the data stage (`danlu.sources`), so that both read the same rows;
of a large file only the first part, and what is found there is scaled up. What cannot be read is passed over here;
the data stage says why a row is bad.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from danlu.core.errors import DataError
from danlu.plan.config import DataConfig
from danlu.sources.files import File
from danlu.sources.formats import open_file
from danlu.sources.places import Place, name_of, place_of
from danlu.sources.records import TEXT_COLUMN, TEXT_FORMATS, Opened, missing_column
from danlu.sources.shapes import Speakers, may_have_shape, text_of

#: About so many bytes of one source are looked at; the rest is counted by proportion.
_MOST_BYTES = 48 << 20
#: Most texts kept for the tokenizer.
_MOST_TEXTS = 2_000
#: Most names of columns that an error message chooses from.
_MOST_NAMES = 1_000


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look at the sources gave.

    `rows`: records in all sources, `distinct`: different texts among them that the length limits of the recipe
    keep, both scaled up where a file was not read to its end (then `whole` is False). `texts`: a random sample of
    the distinct texts, in a fixed order. `characters`: mean length of a distinct text. `copies`: how many of the
    distinct texts that were looked at come once, twice and so on.
    """

    rows: int
    distinct: int
    texts: list[str]
    characters: float
    bytes: int
    whole: bool
    copies: Mapping[int, int]

    def distinct_among(self, rows: int) -> int:
        """How many different texts `rows` rows drawn at random are expected to hold."""
        if rows >= self.rows:
            return self.distinct
        share = rows / self.rows
        expected = sum(count * (1 - (1 - share) ** copies) for copies, count in self.copies.items())
        return round(expected * self.distinct / max(1, sum(self.copies.values())))


def look(config: DataConfig, paths: list[Path], *, generates: bool = False) -> Look:
    """Look at every source of `config`; `paths` are its local files in the same order.

    For a model that `generates`, instruction data is read as the data room reads it, all turns of a record together.

    Raises `DataError` for an empty or unreadable file, an encoding that does not exist or does not fit, a text
    column that is not there, and sources without a single readable row.
    """
    rows = distinct = 0.0
    bytes_ = 0
    whole = True
    sample = _Sample(config)
    speakers = Speakers(names=config.speakers, learn=frozenset(config.learn)) if generates else None
    for source, path in zip(config.sources, paths, strict=True):
        place = place_of(path, source.format)
        sizes = {file.name: file.packed_bytes() for file in place.files}
        bytes_ += sum(sizes.values())
        count = new = seen = 0
        read = 0.0
        # In an order drawn at random, for the first files of a folder may differ from the last.
        for file in _in_random_order(place, config.seed):
            if seen > _MOST_BYTES:
                break
            opened = open_file(file, format=source.format, encoding=source.encoding, sheet=source.sheet)
            share = 1.0
            for text in _texts(opened, config.text, file.name, speakers):
                if seen + opened.position.bytes > _MOST_BYTES:
                    # This text is the first behind what is looked at.
                    share = min(1.0, opened.position.bytes / max(1, file.unpacked_bytes()))
                    break
                count += 1
                new += sample.add(text)
            seen += opened.position.bytes
            read += share * sizes[file.name]
        if count == 0:
            raise DataError(
                f"No row of {name_of(path)} could be read. Expected records with a column {config.text!r}; up to "
                f"data.max_bad_rows ({config.max_bad_rows}) bad rows are passed over, but here every one is bad. "
                "Check the file and data.sources[].format."
            )
        of_source = min(1.0, read / sum(sizes.values()))
        rows += count / of_source
        distinct += new / of_source
        whole = whole and read >= sum(sizes.values())
    return Look(
        rows=round(rows),
        distinct=round(distinct),
        texts=sample.texts,
        characters=sample.characters / max(1, sample.count),
        bytes=bytes_,
        whole=whole,
        copies=Counter(sample.known.values()),
    )


def _in_random_order(place: Place, seed: int) -> list[File]:
    return random.Random(seed).sample(place.files, len(place.files))


class _Sample:
    """The distinct texts that the length limits of the recipe keep: a sample of them, and how often each came."""

    def __init__(self, config: DataConfig) -> None:
        self._config = config
        self._draw = random.Random(config.seed)
        self.known: Counter[bytes] = Counter()
        self.texts: list[str] = []
        self.characters = 0
        self.count = 0

    def add(self, text: str) -> bool:
        """Whether this text is a new one of a fit length."""
        if not self._config.min_characters <= len(text) <= self._config.max_characters:
            return False
        mark = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).digest()
        self.known[mark] += 1
        if self.known[mark] > 1:
            return False
        self.characters += len(text)
        self.count += 1
        if len(self.texts) < _MOST_TEXTS:
            self.texts.append(text)
        elif (place := self._draw.randrange(self.count)) < _MOST_TEXTS:
            self.texts[place] = text
        return True


def _texts(opened: Opened, column: str, name: str, speakers: Speakers | None) -> Iterator[str]:
    """The texts of a source that are not blank; raises `DataError` when no record has one."""
    column = TEXT_COLUMN if opened.format in TEXT_FORMATS else column
    shaped = speakers is not None and may_have_shape(opened.columns)
    if opened.columns and column not in opened.columns and not shaped:
        raise missing_column(name, column, opened)
    found = False
    names: dict[str, None] = {}
    for row in opened.rows:
        if row.values is None:
            continue
        text = text_of(row.values, column, speakers)
        if text is None and column not in row.values:
            if not found and len(names) < _MOST_NAMES:
                names.update(dict.fromkeys(row.values))
            continue
        found = True
        if text is not None and text.strip():
            yield text.strip()
    if names and not found:
        raise missing_column(name, column, opened, tuple(names))
