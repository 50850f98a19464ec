"""What people hand back, read and checked: every mistake is named by file, sheet and row, and nothing is guessed."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openpyxl

from danlu.core.errors import DataError
from danlu.data.checks import fold
from danlu.data.labels.batch import UNSURE, Known
from danlu.data.labels.excel import ADJUDICATE_SHEET, LABEL_SHEET
from danlu.data.labels.label_studio import read_export
from danlu.sources.formats import guess_format, open_file
from danlu.sources.values import as_text

#: The columns that are read, by the first word of their header.
_OURS = frozenset({"id", "label", "annotator", "votes"})

#: So many mistakes are named at once.
_MOST_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One person's label for one row. `adjudicates`: it settles what others disagree on.

    `named`: the file itself says who it was; otherwise the annotator is the file's name.
    """

    content: str
    label: str
    annotator: str
    adjudicates: bool
    place: str
    named: bool = True


def read_votes(paths: Sequence[Path], known: Known) -> list[Vote]:
    """Every label in these files.

    Raises `DataError` that names each row with an unknown id or label, or with another label than the same person
    gave elsewhere; then no vote of any file counts.
    """
    votes: list[Vote] = []
    mistakes: list[str] = []
    for path in paths:
        _check_there(path)
        for raw in _READERS.get(guess_format(path), _table)(path):
            problem, vote = _checked(raw, known)
            mistakes += [problem] if problem else []
            votes += [vote] if vote else []
    mistakes += _contradictions(votes)
    if mistakes:
        more = f"\n  and {len(mistakes) - _MOST_NAMED} more" if len(mistakes) > _MOST_NAMED else ""
        shown = "\n  ".join(mistakes[:_MOST_NAMED])
        raise DataError(f"Nothing was imported, because of {_count(len(mistakes), 'mistake')}:\n  {shown}{more}")
    return votes


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _check_there(path: Path) -> None:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(
            f"{str(path)!r} {what}; expected a file from `danlu label export`, filled in, or a Label Studio export."
        )


def _table(path: Path) -> Iterator[Vote]:
    """The filled rows of a workbook, or of a CSV file that was made from one."""
    kind = guess_format(path)
    sheet = _sheet_of(path) if kind == "excel" else None
    opened = open_file(path, format=kind, sheet=sheet)
    columns: dict[str, str] = {}
    for column in opened.columns:
        other = columns.setdefault(_key(column), column)
        if other != column and _key(column) in _OURS:
            raise DataError(
                f"{path.name} has two columns for the {_key(column)}, {other!r} and {column!r}. Rename or delete the "
                "one that is not meant."
            )
    lacking = [name for name in ("id", "label") if name not in columns]
    inside = f"{path.name}, sheet {sheet!r}" if sheet else path.name
    if lacking:
        listed = ", ".join(map(repr, opened.columns[:12]))
        raise DataError(
            f"{inside} has no column {' and no column '.join(map(repr, lacking))}. Its columns: {listed}. Expected a "
            "file from `danlu label export`, filled in."
        )
    for row in opened.rows:
        place = f"{inside}, row {row.line}"
        if row.values is None:
            raise DataError(f"{place} cannot be read: {row.reason}.")
        cells = {key: (as_text(row.values.get(name)) or "").strip() for key, name in columns.items()}
        if cells["label"]:
            yield Vote(
                content=cells["id"],
                label=cells["label"],
                annotator=cells.get("annotator") or path.stem,
                adjudicates="votes" in columns,
                place=place,
                named=bool(cells.get("annotator")),
            )


def _key(header: str) -> str:
    """The English word that a header of ours starts with."""
    return header.split(" ")[0].casefold()


def _sheet_of(path: Path) -> str | None:
    """The sheet with the labels, or None for the first one, where a person renamed it."""
    try:
        book: Any = openpyxl.load_workbook(path, read_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError):
        return None  # `open_file` says what is wrong with it
    names: list[str] = list(book.sheetnames)
    book.close()
    return next((name for name in (LABEL_SHEET, ADJUDICATE_SHEET) if name in names), names[0])


def _label_studio(path: Path) -> Iterator[Vote]:
    for place, content, label, annotator in read_export(path):
        yield Vote(content=content, label=label.strip(), annotator=annotator, adjudicates=False, place=place)


#: By the format of the file; every other one is a table.
_READERS: dict[str, Callable[[Path], Iterator[Vote]]] = {"json": _label_studio}


def _checked(vote: Vote, known: Known) -> tuple[str, Vote | None]:
    """What is wrong with a vote, or the vote with its label as the corpus spells it."""
    if not vote.content:
        return f"{vote.place}: the id is empty. Copy it from the file that was exported, or clear the label.", None
    if known.item(vote.content) is None:
        return (
            f"{vote.place}: the id {vote.content[:24]!r} was never exported from this workspace. Was the cell changed, "
            "or does the file belong to another --workspace?",
            None,
        )
    allowed = [*known.batch(vote.content).labels, UNSURE]
    if vote.label in allowed:
        return "", vote
    same = [label for label in allowed if fold(label) == fold(vote.label)]
    if len(same) == 1:
        return "", replace(vote, label=same[0])
    near = difflib.get_close_matches(fold(vote.label), [fold(label) for label in allowed], n=1, cutoff=0.5)
    # Of labels that differ in case alone, the one that is written most like it.
    alike = [label for label in allowed if near and fold(label) == near[0]]
    meant = max(alike, key=lambda label: difflib.SequenceMatcher(None, vote.label, label).ratio(), default=None)
    hint = f" Did you mean {meant!r}?" if meant is not None else ""
    listed = ", ".join(map(repr, allowed[:12]))
    return f"{vote.place}: there is no label {vote.label!r}.{hint} The labels are {listed}.", None


def overwritten(votes: Sequence[Vote], before: Callable[[Vote], str | None]) -> list[str]:
    """Votes that would replace an earlier import's only because their file has the same name: perhaps another person's.

    `before` gives the label that the vote's annotator gave earlier, or None.
    """
    return [
        f"{vote.place}: {vote.annotator!r} chose {vote.label!r} here and {before(vote)!r} in an earlier import"
        for vote in votes
        if not vote.named and before(vote) not in (None, vote.label)
    ]


def _contradictions(votes: Sequence[Vote]) -> list[str]:
    """Rows to which one person gives two labels in the files that came together."""
    first: dict[tuple[str, str, bool], Vote] = {}
    found = []
    for vote in votes:
        before = first.setdefault((vote.content, vote.annotator, vote.adjudicates), vote)
        if before.label != vote.label:
            found.append(
                f"{vote.place}: {vote.annotator!r} chose {vote.label!r} here and {before.label!r} in {before.place}. "
                "If these are two people, give the files different names, or fill in the column 'annotator'."
            )
    return found
