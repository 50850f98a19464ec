"""Files of predictions: what somebody else's model answered, matched to our rows by id or by text."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from danlu.compare.entrants import File
from danlu.core.errors import DataError
from danlu.evaluate.rows import Part
from danlu.metrics.leaks import folded
from danlu.sources.formats import open_file
from danlu.sources.values import as_text

#: Names of a column with the answers, the best first.
_ANSWERS = ("predicted", "prediction", "pred", "answer", "预测", "预测标签", "回答")
#: Names that mostly are those of the truth: taken for the answers only where the file has no other column left.
_LABELS = ("label", "标签")
_IDS = ("id",)
_TEXTS = ("text", "文本")

#: As many rows or columns are named in a message.
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Columns:
    """How the run calls its columns, for files that call theirs the same; `predicted` is what the user named."""

    text: str
    label: str | None
    predicted: str | None


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """`labels`: place of a row in the part -> the label, None where the cell is empty. `foreign`: rows of the file that
    are not in the part.
    """

    labels: Mapping[int, str | None]
    foreign: int


def read_predictions(
    file: File, part: Part, labels: Sequence[str], columns: Columns, clean: Callable[[str], str | None]
) -> Predictions:
    """What the file answers to the rows of `part`.

    Rows are matched by an `id` column, as `danlu compare --rows-out` writes it, or by their text: as it is, but for
    case, width and white space, or cleaned and masked by `clean` as the run's texts were. Raises `DataError` for a file
    that lacks a column, that answers with a label which no row of the run has, that answers one row twice and
    differently, and for one without any of our rows.
    """
    rows = list(_records(file))
    known = list(dict.fromkeys(name for _, values in rows[:100] for name in values))
    answer = _column(file, known, _wanted(known, columns), "predicted")
    by_id = next((name for name in _IDS if name in known), None)
    match = _by_id(part) if by_id else _by_text(part, clean)
    key = by_id or _column(file, known, [columns.text, *_TEXTS], "text")
    found: dict[int, str | None] = {}
    foreign = 0
    for line, values in rows:
        places = match(as_text(values.get(key)) or "")
        foreign += not places
        label = (as_text(values.get(answer)) or "").strip() or None
        if places and label is not None and label not in labels:
            raise DataError(_unknown(file, line, label, labels))
        for place in places:
            if place in found and found[place] != label:
                raise DataError(
                    f"{file.name}, row {line}: another row has answered {part.ids[place]} with {found[place]!r}, this "
                    f"one answers {label!r}. Keep one answer for each row."
                )
            found[place] = label
    if not found:
        raise DataError(_nothing(file, len(rows), key, part, by_id is not None))
    return Predictions(labels=found, foreign=foreign)


def _records(file: File) -> Iterable[tuple[int, Mapping[str, Any]]]:
    for row in open_file(file.path).rows:
        if row.values is None:
            raise DataError(f"{file.name}, row {row.line} cannot be read: {row.reason}. Mend or remove it.")
        yield row.line, row.values


def _wanted(known: Sequence[str], columns: Columns) -> list[str | None]:
    """Names that the column with the answers may have. A column of labels beside others is the truth, no answer."""
    if columns.predicted:
        return [columns.predicted]
    labels = [*_LABELS, columns.label]
    alone = set(known) <= {*_IDS, *_TEXTS, columns.text, *labels}
    return [*_ANSWERS, *(labels if alone else ())]


def _column(file: File, known: Sequence[str], wanted: Sequence[str | None], what: str) -> str:
    found = next((name for name in wanted if name is not None and name in known), None)
    if found is not None:
        return found
    asked = [name for name in wanted if name is not None]
    listed = ", ".join(map(repr, known[:20])) or "none"
    how = "name it with --predicted" if what == "predicted" else "or give it a column 'id' (danlu compare --rows-out)"
    raise DataError(
        f"{file.name} has no column with the {'answers' if what == 'predicted' else 'texts'}. Its columns: {listed}; "
        f"expected one of {', '.join(map(repr, dict.fromkeys(asked)))}; {how}."
    )


def _by_id(part: Part) -> Callable[[str], list[int]]:
    places = {name: [place] for place, name in enumerate(part.ids)}
    return lambda name: places.get(name.strip(), [])


def _by_text(part: Part, clean: Callable[[str], str | None]) -> Callable[[str], list[int]]:
    places: dict[str, list[int]] = {}
    for place, text in enumerate(part.texts):
        places.setdefault(folded(text), []).append(place)

    def match(text: str) -> list[int]:
        found = places.get(folded(text), [])
        if found:
            return found
        cleaned = clean(text)
        return [] if cleaned is None else places.get(folded(cleaned), [])

    return match


def _unknown(file: File, line: int, label: str, labels: Sequence[str]) -> str:
    near = difflib.get_close_matches(label.casefold(), [known.casefold() for known in labels], n=1)
    meant = next((known for known in labels if near and known.casefold() == near[0]), None)
    hint = f" Did you mean {meant!r}?" if meant else ""
    listed = ", ".join(map(repr, labels[:20])) + (" and more" if len(labels) > 20 else "")
    return (
        f"{file.name}, row {line}: {label!r} is no label of this run. Its labels: {listed}.{hint} Write the answers "
        "with the run's labels; leave a cell empty where the model gave none."
    )


def _nothing(file: File, rows: int, key: str, part: Part, by_id: bool) -> str:
    ours = (part.ids if by_id else part.texts)[:_SHOWN]
    shown = ", ".join(repr(value[:40]) for value in ours)
    return (
        f"None of the {rows:,} rows of {file.name} is among the {len(part):,} rows to compare on: its column {key!r} "
        f"was matched with values such as {shown}. `danlu compare --on RUN --rows-out rows.csv` writes the rows to be "
        "answered, with their ids."
    )
