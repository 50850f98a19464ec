"""What `danlu predict` asks where a model is asked more than a text: pairs, columns, and files of records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.core.asked import Asked, Cell, Question, Takes, as_asked, question
from danlu.core.errors import DataError, UserError
from danlu.core.lazy import need

if TYPE_CHECKING:
    from danlu.sources.records import Row

#: The columns of a file of questions that hold texts, as in a request to the server.
_TEXT, _PAIR = "text", "pair"


def beside(texts: Sequence[str], pairs: Sequence[str], cells: Sequence[str], takes: Takes) -> list[Question]:
    """The texts with their pairs, one each, and with the same cells, written NAME=VALUE, for all of them.

    Raises `UserError` for another number of pairs than texts, and for a cell that is not written so.
    """
    if pairs and len(pairs) != len(texts):
        raise UserError(f"{len(texts)} texts and {len(pairs)} pairs came; give --pair once for each text, in order.")
    columns = dict(_cell(written, takes) for written in cells) if cells else None
    return [question(text, pairs[row] if pairs else None, columns) for row, text in enumerate(texts)]


def _cell(written: str, takes: Takes) -> tuple[str, Cell]:
    name, sign, value = written.partition("=")
    if not sign or not name.strip():
        raise UserError(f"--column {written!r} names no value. Write --column NAME=VALUE, such as --column amount=3.5.")
    return name.strip(), _read(value.strip(), numeric=name.strip() in takes.numeric)


def _read(value: str, *, numeric: bool) -> Cell:
    """A cell as its column holds it; what is no number stays as it is, and is refused with the question."""
    if not value:
        return None
    if not numeric:
        return value
    try:
        return float(value)
    except ValueError:
        return value


def read_questions(file: Path, takes: Takes) -> list[Question]:
    """The records of a file as questions: its columns are `text`, `pair` and those that the model is told, by name.

    Raises `DataError` for a file that is not there, that lacks one of them, or has a record without a text.
    """
    for library in ("openpyxl", "pyarrow"):
        need(library)
    from danlu.sources.formats import open_file

    opened = open_file(file)
    wanted = (_TEXT, *((_PAIR,) if takes.pair else ()), *takes.columns)
    found = [_question(row, file.name, wanted, takes) for row in opened.rows]
    if not found:
        raise DataError(f"{file.name} has no records.")
    return found


def _question(row: Row, name: str, wanted: Sequence[str], takes: Takes) -> Question:
    from danlu.sources.values import as_text

    if row.values is None:
        raise DataError(f"{name}:{row.line}: {row.reason}.")
    lacking = next((column for column in wanted if column not in row.values), None)
    if lacking is not None:
        raise DataError(
            f"{name}:{row.line}: there is no column {lacking!r}. This model is asked {takes.words()}; name the columns "
            f"{', '.join(wanted)}."
        )
    texts = [(as_text(row.values[column]) or "").strip() for column in (_TEXT, _PAIR) if column in wanted]
    if not all(texts):
        raise DataError(f"{name}:{row.line}: the text is empty; a model would answer it with nothing but a guess.")
    cells: dict[str, Cell] = {
        column: _read((as_text(row.values[column]) or "").strip(), numeric=column in takes.numeric)
        for column in takes.columns
    }
    asked = Asked(text=texts[0], pair=texts[1] if takes.pair else None, columns=cells if takes.columns else None)
    refused = takes.refused(asked)
    if refused is not None:
        raise DataError(f"{name}:{row.line}: {refused.why}")
    return asked


def as_json(asked: Question) -> Mapping[str, Any]:
    """What was asked, as the output tells it."""
    whole = as_asked(asked)
    told: dict[str, Any] = {_TEXT: whole.text}
    if whole.pair is not None:
        told[_PAIR] = whole.pair
    if whole.columns is not None:
        told["columns"] = dict(whole.columns)
    return told


def as_words(asked: Question) -> str:
    """What was asked, in one line for a person."""
    whole = as_asked(asked)
    cells = [f"{name}={cell}" for name, cell in (whole.columns or {}).items() if cell is not None]
    return "  |  ".join([*whole.texts, *([" ".join(cells)] if cells else [])])
