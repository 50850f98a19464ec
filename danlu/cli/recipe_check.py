"""What `danlu recipe check` looks at beyond the recipe itself: the files it names, and their columns."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from danlu.core.config import resources
from danlu.core.errors import UserError
from danlu.core.lazy import need
from danlu.core.resource import resolve
from danlu.recipe import Recipe, line_of

if TYPE_CHECKING:
    from danlu.data.config import SourceConfig
    from danlu.sources.records import Row

#: So much of a text file is looked at: its header, or its first records, are there.
_HEAD_BYTES = 1 << 20
#: Records looked at where each names its own columns (JSON).
_MOST_RECORDS = 200
#: What is fetched over the network, and only looked at by a run.
_REMOTE = ("hf:", "modelscope:")
_BINARY = frozenset({"excel", "parquet"})

Location = tuple[str | int, ...]


def problems(file: Path, recipe: Recipe) -> list[str]:
    """What keeps the recipe read from `file` from running: files that are not there, columns that they do not have.

    Each as `FILE:LINE: what and how to mend it`, in the order of the recipe. Raises `MissingDependency` where the
    library that reads a format is not installed.
    """
    told: list[tuple[int, str]] = []
    for location, error in _errors(file, recipe):
        line = line_of(file, *location) or 0
        told.append((line, f"{file}:{line}: {error}" if line else f"{file}: {error}"))
    return [text for _, text in sorted(dict.fromkeys(told), key=lambda pair: pair[0])]


def _errors(file: Path, recipe: Recipe) -> Iterator[tuple[Location, UserError]]:
    found: dict[str, Path] = {}
    for name, value in resources(recipe).items():
        if not value.startswith(_REMOTE):
            try:
                found[name] = resolve(value, file.resolve().parent)
            except UserError as error:
                yield _location(name), error
    for index, source in enumerate(recipe.data.sources):
        path = found.get(f"data.sources[{index}].path")
        if path is not None:
            yield from _of_source(path, source, index, recipe)


def _location(dotted: str) -> Location:
    """`data.sources[0].path` as the keys that lead there."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"[.\[\]]+", dotted) if part)


def _of_source(path: Path, source: SourceConfig, index: int, recipe: Recipe) -> Iterator[tuple[Location, UserError]]:
    """What is wrong with one source, and where in the recipe that is to be mended."""
    for library in ("openpyxl", "pyarrow"):
        need(library)
    from danlu.sources.formats import guess_format, open_file
    from danlu.sources.records import TEXT_COLUMN, missing_column

    here: Location = ("data", "sources", index, "path")
    with tempfile.TemporaryDirectory() as folder:
        try:
            kind = guess_format(path) if source.format == "auto" and path.is_file() else source.format
            head = path if kind in _BINARY else _head(path, Path(folder))
            opened = open_file(head, format=source.format, encoding=source.encoding, sheet=source.sheet)
            columns = opened.columns or _named_by_records(opened.rows)
        except UserError as error:
            yield here, error
            return
    wanted = {"text": TEXT_COLUMN if opened.format == "text" else recipe.data.text}
    if recipe.task == "classify" and source.label is None and recipe.data.label is not None:
        wanted["label"] = recipe.data.label
    for key, column in wanted.items():
        if columns and column not in columns:
            # A column named in the recipe is mended there; one that is only the default, beside the source.
            named = key in recipe.data.model_fields_set
            yield ("data", key) if named else here, missing_column(path.name, column, opened, columns)


def _head(path: Path, folder: Path) -> Path:
    """`path`, or for a large file a file of the same name with its first lines, so that a check takes no time."""
    if not path.is_file() or path.stat().st_size <= _HEAD_BYTES:
        return path
    with path.open("rb") as file:
        start = file.read(_HEAD_BYTES)
    beside = folder / path.name
    beside.write_bytes(start[: start.rfind(b"\n") + 1] or start)
    return beside


def _named_by_records(rows: Iterator[Row]) -> tuple[str, ...]:
    """The keys of the first records, the most frequent first."""
    names: Counter[str] = Counter()
    for row in itertools.islice(rows, _MOST_RECORDS):
        names.update((row.values or {}).keys())
    return tuple(name for name, _ in names.most_common())
