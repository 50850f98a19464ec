"""What `danlu recipe check` looks at beyond the recipe itself: the files it names, and their columns."""

from __future__ import annotations

import difflib
import itertools
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from danlu.core.config import resources
from danlu.core.errors import DataError, UserError
from danlu.core.lazy import need
from danlu.core.resource import check, is_local, resolve
from danlu.core.tasks import TASKS
from danlu.recipe import HEEDED_BY_CLASSIC, Recipe, line_of
from danlu.tune.config import OUTLANDISH, outlandish

if TYPE_CHECKING:
    from danlu.sources.config import SourceConfig
    from danlu.sources.records import Row

#: So much of a text file is looked at: its header, or its first records, are there.
_HEAD_BYTES = 1 << 20
#: Records looked at where each names its own columns (JSON).
_MOST_RECORDS = 200
#: Formats of which the first lines are a whole file.
_LINES = frozenset({"csv", "tsv", "jsonl", "text"})

#: Keys of data that name a column which every source must have, beside text and label.
_COLUMNS = ("subject", "conversation", "speaker", "time")

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
    base = file.resolve().parent
    for name, value in resources(recipe).items():
        try:
            check(value, base)
        except UserError as error:
            yield _location(name), error
            continue
        if isinstance(value, str) and name.startswith("data.sources[") and is_local(value):
            index = _location(name)[2]
            assert isinstance(index, int)
            yield from _of_source(resolve(value, base), recipe.data.sources[index], index, recipe)


def _location(dotted: str) -> Location:
    """`data.sources[0].path` as the keys that lead there."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"[.\[\]]+", dotted) if part)


def _of_source(path: Path, source: SourceConfig, index: int, recipe: Recipe) -> Iterator[tuple[Location, UserError]]:
    """What is wrong with one source, and where in the recipe that is to be mended."""
    for library in ("openpyxl", "pyarrow"):
        need(library)
    from danlu.sources.formats import guess_format, open_file
    from danlu.sources.places import place_of
    from danlu.sources.records import TEXT_COLUMN, TEXT_FORMATS, missing_column
    from danlu.sources.shapes import may_have_shape

    here: Location = ("data", "sources", index, "path")
    with tempfile.TemporaryDirectory() as folder:
        try:
            # Of several files the first one speaks for all.
            first = place_of(path, source.format).files[0]
            kind = guess_format(first) if source.format == "auto" else source.format
            head = first if kind not in _LINES or first.packed else _head(first.path, Path(folder))
            opened = open_file(head, format=source.format, encoding=source.encoding, sheet=source.sheet)
            columns = opened.columns or _named_by_records(opened.rows)
        except UserError as error:
            yield here, error
            return
    wanted = {"text": TEXT_COLUMN if opened.format in TEXT_FORMATS else recipe.data.text}
    targets = {name: target.column or name for name, target in recipe.data.targets.items()}
    # One of several sources may have the targets that another lacks.
    if columns and (len(recipe.data.sources) == 1 or not any(column in columns for column in targets.values())):
        for name, column in targets.items():
            if column not in columns:
                yield ("data", "targets", name), _no_column(first.name, f"targets.{name}", column, columns)
    several = TASKS[recipe.task].several
    answered = TASKS[recipe.task].target is not None and not several and source.label is None
    # Where a teacher answers rows without a label, one of several sources may lack the column.
    partly = recipe.data.teacher is not None and len(recipe.data.sources) > 1
    if answered and not partly and recipe.data.label is not None:
        wanted["label"] = recipe.data.label
    pair = recipe.data.pair_of(recipe.task)
    if pair is not None:
        wanted["pair"] = pair
    if TASKS[recipe.task].target is None and recipe.data.text not in columns and may_have_shape(columns):
        wanted.clear()  # instruction data is known by its keys
    for key, column in wanted.items():
        if columns and column not in columns:
            # A column named in the recipe is mended there; one that is only the default, beside the source.
            named = key in recipe.data.model_fields_set
            yield ("data", key) if named else here, missing_column(first.name, column, opened, columns)
    for key in _COLUMNS:
        column = getattr(recipe.data, key)
        if column is not None and columns and column not in columns:
            yield ("data", key), _no_column(first.name, key, column, columns)

    for kind, column in _beside(recipe):
        if columns and column not in columns:
            yield ("data", "columns", kind), _no_column(first.name, f"columns.{kind}", column, columns)


def _beside(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The columns beside the text, each with the key below data.columns that names it."""
    beside = recipe.data.columns
    if beside is not None:
        yield from (("numeric", column) for column in beside.numeric)
        yield from (("categorical", column) for column in beside.categorical)


def _no_column(file: str, key: str, column: str, columns: tuple[str, ...]) -> DataError:
    near = difflib.get_close_matches(column, columns, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(map(repr, columns[:20]))
    return DataError(
        f"{file} has no column {column!r}, which data.{key} names. Its columns: {listed}.{hint} Name one of them, or "
        f"leave data.{key} out."
    )


def remarks(file: Path, recipe: Recipe) -> list[str]:
    """What is allowed and can hardly be meant, each as `FILE:LINE: what`."""
    told = []
    teacher = recipe.data.teacher
    if teacher is not None and teacher.licence is None:
        line = line_of(file, "data", "teacher")
        told.append(
            f"{file}:{line}: data.teacher.licence is empty: look up whether the answers of {teacher.endpoint.model!r} "
            "may train another model, and fill it in before the run: it stands in the card, so that what is filled in "
            "later trains anew."
        )
    for name in OUTLANDISH:
        reason = outlandish(name, getattr(recipe.train, name))
        if reason is not None:
            line = line_of(file, "train", name)
            told.append(f"{file}:{line}: train.{name} is {getattr(recipe.train, name)!r}, {reason}.")
    if recipe.model.classic is not None:
        # Values other than the defaults are refused; these look as if they counted.
        for name in sorted(recipe.train.model_fields_set - set(HEEDED_BY_CLASSIC)):
            line, heeded = line_of(file, "train", name), " and ".join(HEEDED_BY_CLASSIC)
            told.append(f"{file}:{line}: train.{name} says nothing to model.classic, which heeds {heeded} of train.")
    return told


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
