"""What of a record counts: its text or turns, its label, whose it is, when it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from danlu.core.tasks import TASKS
from danlu.data.columns.config import ColumnsConfig
from danlu.data.config import CleanConfig
from danlu.data.identity import IdentityKey
from danlu.data.told import shape_of, told_speaker
from danlu.sources.cells import read_cells
from danlu.sources.records import Row
from danlu.sources.shapes import DEFAULT_SPEAKERS, Misshapen, Speakers, first_exchange, recognise
from danlu.sources.targets import TARGETS, Reading, reading_of
from danlu.sources.values import as_text

NO_TEXT = "no_text"
NO_LABEL = "no_label"
NO_PAIR = "no_pair"
BROKEN = "broken"

#: What the two texts of a pair are called among the turns of other rows.
PAIR_ROLES = ("query", "match")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns are read, by name; None where one is not wanted.

    `shapes`: a record without the text column may be instruction data (see `danlu.sources.shapes`), whose `speakers`
    are called so. `speaker`: each row is one turn of a `conversation`, said by whom this column names. `pair`: the
    column with the text that belongs to that in `text`; instruction data then yields a question and its answer.
    `beside`: columns with cells beside the text.
    `task` and `reading` say what the cells of `label` mean. `key` hashes the ids of subjects and conversations.
    """

    text: str
    pair: str | None = None
    beside: ColumnsConfig | None = None
    label: str | None = None
    task: str = "classify"
    reading: Reading = field(default_factory=Reading)
    subject: str | None = None
    conversation: str | None = None
    time: str | None = None
    speaker: str | None = None
    shapes: bool = False
    speakers: Speakers = field(default_factory=lambda: DEFAULT_SPEAKERS)
    key: IdentityKey | None = None
    unanswered: bool = False

    @property
    def others(self) -> dict[str, str]:
        """The columns beside text and label that must be there, by what they are."""
        named = {"subject": self.subject, "conversation": self.conversation, "time": self.time}
        return {what: name for what, name in named.items() if name is not None}


def columns_for(task: str, data: CleanConfig, key: IdentityKey | None = None) -> Columns:
    """What a model for `task` reads of a record, by the recipe's data section."""
    return Columns(
        text=data.text,
        pair=data.pair_of(task),
        beside=data.columns,
        label=data.label if TASKS[task].target is not None and not data.targets else None,
        task=task,
        reading=reading_of(data),
        subject=data.subject,
        conversation=data.conversation,
        time=data.time,
        speaker=data.speaker,
        shapes=TASKS[task].target is None,
        speakers=Speakers(names=data.speakers, learn=frozenset(data.learn)),
        key=key,
        unanswered=data.teacher is not None,
    )


class Unusable(Exception):
    """A record that cannot be used: its kind (`BROKEN`, `NO_TEXT`, ...) and, where there is more, why."""

    def __init__(self, kind: str, why: str = "") -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why


def read_text(values: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """The text of a record, as the columns `text`, `parts`, `roles`, `learn` and `rejected` of `RAW`.

    Raises `Unusable`. The text column must be there, or the record must have a shape.
    """
    if columns.text in values:
        text = _cell(values, columns.text)
        if not text.strip():
            raise Unusable(NO_TEXT)
        if columns.pair is not None:
            return _as_pair(text, _cell(values, columns.pair))
        return {"text": text, "parts": None, "roles": None, "learn": None, "rejected": None}
    shape = recognise(values)
    assert shape is not None, "the caller has looked"
    try:
        sample = shape.read(values, columns.speakers)
    except Misshapen as error:
        raise Unusable(BROKEN, f"{shape.name}: {error.told(told_speaker)}") from None
    turns = [turn for turn in sample.turns if turn.text.strip()]
    if columns.pair is not None:
        return _as_pair(*(first_exchange(turns) or ("", "")))
    if not any(turn.learn for turn in turns):
        raise Unusable(NO_TEXT)
    parts = [turn.text for turn in turns]
    return {
        "text": "\n".join(parts),
        "parts": parts,
        "roles": [turn.role for turn in turns],
        "learn": [turn.learn for turn in turns],
        "rejected": sample.rejected,
    }


def _as_pair(text: str, pair: str) -> dict[str, Any]:
    """Two texts that belong together, as the columns of `RAW` that hold turns."""
    if not text.strip() or not pair.strip():
        raise Unusable(NO_PAIR)
    return {
        "text": f"{text}\n{pair}",
        "parts": [text, pair],
        "roles": list(PAIR_ROLES),
        "learn": [False, True],
        "rejected": None,
    }


def read_beside(values: Mapping[str, Any], columns: Columns) -> dict[str, str | None]:
    """The column `columns` of `RAW`: the cells beside the text, as they are kept. Raises `Unusable`."""
    if columns.beside is None:
        return {"columns": None}
    try:
        return {"columns": read_cells(values, columns.beside.numeric, columns.beside.categorical)}
    except ValueError as error:
        raise Unusable(BROKEN, str(error)) from None


def read_others(values: Mapping[str, Any], columns: Columns) -> dict[str, str | None]:
    """The columns `subject`, `conversation` and `time` of `RAW`. Ids are hashed: they often are personal data."""
    found: dict[str, str | None] = dict.fromkeys(("subject", "conversation", "time"))
    for what, column in columns.others.items():
        value = _cell(values, column).strip() if column in values else ""
        if value and what != "time":
            assert columns.key is not None, "ids are never kept as they are, nor hashed without a key"
            value = columns.key.name(value)
        found[what] = value or None
    return found


def _cell(values: Mapping[str, Any], column: str) -> str:
    text = as_text(values[column])
    if text is None:
        raise Unusable(BROKEN, f"column {column!r} holds a {type(values[column]).__name__}")
    return text


def read_label(cell: Any, columns: Columns) -> tuple[list[str], str]:
    """The labels of a cell of the label column, as the file has them and as they are kept. Raises `Unusable`.

    With several targets `cell` is the whole record.
    """
    target = TARGETS[columns.task]
    try:
        spellings = target.spellings(cell, columns.reading)
        kept = target.kept(spellings, columns.reading)
    except ValueError as error:
        text = as_text(cell)
        built = "" if text is None else f"; what is there is built like {shape_of(text)}"
        where = "" if columns.label is None else f"{columns.label!r} "
        raise Unusable(BROKEN, f"column {where}{error}{built}") from None
    if not kept and not columns.unanswered:
        raise Unusable(NO_LABEL)
    return spellings, kept


def joined(rows: Iterator[Row], columns: Columns) -> Iterator[Row]:
    """Turns that stand a row each as one record for each conversation, which begins at its first turn's line.

    The rows of one conversation must follow one another; where one comes again, its rows are refused. So are turns
    that name no conversation or lack a column: nothing says what they belong to.
    """
    assert columns.speaker is not None
    assert columns.conversation is not None
    wanted = (columns.text, columns.speaker, columns.conversation)
    seen: set[str] = set()
    first: Row | None = None
    name: str | None = None
    turns: list[dict[str, Any]] = []
    for row in rows:
        values = row.values
        if values is None or values.keys().isdisjoint(wanted[1:]):
            # Not a turn: a text or a record with a shape, of another source.
            yield row
            continue
        lacking = next((column for column in wanted if column not in values), None)
        if lacking is not None:
            yield Row(line=row.line, values=None, reason=f"no column {lacking!r}")
            continue
        here = (as_text(values[columns.conversation]) or "").strip()
        if not here:
            yield Row(line=row.line, values=None, reason=f"column {columns.conversation!r} names no conversation")
            continue
        if here != name:
            if first is not None:
                yield _dialogue(first, turns, columns)
            first, name, turns = (row, here, []) if here not in seen else (None, here, [])
            seen.add(here)
        if first is None:
            # The id itself is not told: it often is personal data, and this goes into rejected/.
            yield Row(line=row.line, values=None, reason="its conversation came before; sort the file by conversation")
        else:
            turns.append({"speaker": values[columns.speaker], "text": values[columns.text]})
    if first is not None:
        yield _dialogue(first, turns, columns)


def _dialogue(first: Row, turns: list[dict[str, Any]], columns: Columns) -> Row:
    kept = {name: value for name, value in (first.values or {}).items() if name in columns.others.values()}
    return Row(line=first.line, values={**kept, "dialogue": turns})
