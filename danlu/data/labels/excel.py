"""A workbook that a person likes to fill in: drop-downs, wrapped text, only the label to be touched.

Texts come from outside, so none of them may become a formula: each is written as a string with Excel's mark for
text (`quotePrefix`), which stays when somebody edits the cell.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, Cell, MergedCell
from openpyxl.styles import Alignment, Border, Font, PatternFill, Protection, Side
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from danlu.data.labels.batch import UNSURE, Item
from danlu.data.labels.files import replacing

LABEL_SHEET = "label"
ADJUDICATE_SHEET = "adjudicate"
_HOW_TO_SHEET = "how to 说明"
_ALLOWED_SHEET = "labels"

#: What a cell can hold, in characters.
_CELL_CHARACTERS = 32_767

_POINTS_PER_LINE = 15.0
_HIGHEST_ROW = 300.0

_GREY = PatternFill("solid", fgColor="EFEFEF")
_YELLOW = PatternFill("solid", fgColor="FFF8DC")
_DARK = PatternFill("solid", fgColor="2F4858")
_LINE = Side(style="thin", color="D0D0D0")
_BORDER = Border(left=_LINE, right=_LINE, top=_LINE, bottom=_LINE)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: what its header says, its width in characters, and whether a person fills it in."""

    header: str
    width: float
    filled_in: bool = False
    wide_text: bool = False


#: By the first word of the header, which is what an import looks for.
COLUMNS: dict[str, Column] = {
    "id": Column(header="id 编号", width=10),
    "why": Column(header="why 缘由", width=12),
    "text": Column(header="text 文本", width=70, wide_text=True),
    "given": Column(header="given 原标注", width=16),
    "suggested": Column(header="suggested 建议", width=16),
    "votes": Column(header="votes 各人标注", width=30, wide_text=True),
    "label": Column(header="label 标注", width=18, filled_in=True),
    "annotator": Column(header="annotator 标注人", width=16, filled_in=True),
    "note": Column(header="note 备注", width=30, filled_in=True),
}

_WHY = {"suspect": "suspect 疑似错标", "next": "next 建议先标", "sample": "sample 抽查"}

_HOW_TO = (
    ("How to fill this in", "怎样填写"),
    (
        "Read the text and choose its label from the drop-down in the yellow column 'label'. Only yellow cells can be "
        "changed.",
        "读文本，在黄色的“标注”列里从下拉菜单选一个标注。只有黄色单元格可以修改。",
    ),
    (
        f"Cannot decide? Choose {UNSURE}. Somebody else will decide. An empty cell means: not looked at yet.",
        f"拿不准就选 {UNSURE}，由别人来定。空着表示还没看。",
    ),
    (
        "A given label that is right must be chosen again: an empty cell confirms nothing.",
        "原标注如果是对的，也请再选一次：空着不算确认。",
    ),
    (
        "Decide by the text alone. A suggestion comes from a model and is often wrong.",
        "只看文本来判断。“建议”来自模型，常常是错的。",
    ),
    (
        "Your name is taken from the file's name; or write it into the column 'annotator'.",
        "标注人取自文件名；也可以写进“标注人”列。",
    ),
    (
        "Filter the rows as you like, and leave the column 'id' as it is. Stop whenever you want and go on later.",
        "行可以筛选，但“编号”列请勿改动。随时可以停下，以后再继续。",
    ),
    (
        "When you are done, save the file and hand it back: danlu label import FILE",
        "填完后保存并交回：danlu label import 文件",
    ),
)


def write_labels(path: Path, items: Sequence[Item], labels: Sequence[str], *, blind: bool) -> None:
    """Write the sheet in which people label `items`, in this order; `blind` leaves given and suggested labels out."""
    keys = ["id", "why", "text", *([] if blind else ["given", "suggested"]), "label", "annotator", "note"]
    rows = []
    for item in items:
        given, suggested = item.shown
        values = {"id": item.content, "why": _WHY.get(item.why, item.why), "text": item.text}
        rows.append(values | {"given": given, "suggested": suggested})
    _write(path, LABEL_SHEET, keys, rows, labels)


def write_adjudication(path: Path, rows: Sequence[tuple[str, str, Mapping[str, str]]], labels: Sequence[str]) -> None:
    """Write the sheet in which one person decides what others disagree on: `(content, text, annotator -> label)`."""
    values = [
        {
            "id": content,
            "text": text,
            "votes": "\n".join(f"{name}: {label}" for name, label in sorted(votes.items())),
        }
        for content, text, votes in rows
    ]
    _write(path, ADJUDICATE_SHEET, ["id", "text", "votes", "label", "annotator", "note"], values, labels)


def _write(
    path: Path, title: str, keys: Sequence[str], rows: Sequence[Mapping[str, str]], labels: Sequence[str]
) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.title = title
    _header(sheet, keys)
    for number, values in enumerate(rows, 2):
        for place, key in enumerate(keys, 1):
            _fill(sheet.cell(number, place), key, values.get(key, ""))
        sheet.row_dimensions[number].height = _height(keys, values)
    _how_to(book.create_sheet(_HOW_TO_SHEET), title, keys.index("label") + 1, len(rows), labels)
    _allowed(book.create_sheet(_ALLOWED_SHEET), labels)
    if rows:
        _drop_down(sheet, keys.index("label") + 1, len(rows), len(labels) + 1)
    _protect(sheet)
    with replacing(path) as beside:
        book.save(beside)


def _header(sheet: Worksheet, keys: Sequence[str]) -> None:
    for place, key in enumerate(keys, 1):
        column = COLUMNS[key]
        cell = sheet.cell(1, place, column.header)
        cell.font = Font(bold=True, color="FFFFFF")
        cell.fill = _DARK
        cell.alignment = Alignment(vertical="center", wrap_text=True)
        sheet.column_dimensions[get_column_letter(place)].width = column.width
    sheet.freeze_panes = "A2"
    sheet.row_dimensions[1].height = 2 * _POINTS_PER_LINE
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(keys))}{max(2, sheet.max_row)}"


def _fill(cell: Any, key: str, value: str) -> None:
    column = COLUMNS[key]
    _as_text(cell, value)
    cell.border = _BORDER
    cell.fill = _YELLOW if column.filled_in else _GREY if key != "text" else PatternFill()
    cell.alignment = Alignment(vertical="top", wrap_text=column.wide_text, shrink_to_fit=False)
    cell.protection = Protection(locked=not column.filled_in)
    if key == "id":
        cell.font = Font(color="808080", size=8)


def _as_text(cell: Cell | MergedCell, value: str) -> None:
    """Write a string that no spreadsheet will ever compute, without the controls that a file cannot hold."""
    cell.number_format = "@"
    cell.quotePrefix = True
    if not value:
        return
    value = ILLEGAL_CHARACTERS_RE.sub("", value)
    cell.value = value if len(value) <= _CELL_CHARACTERS else value[: _CELL_CHARACTERS - 1] + "…"
    cell.data_type = "s"


def _height(keys: Sequence[str], values: Mapping[str, str]) -> float:
    """Points that the wrapped texts of a row need, so that it is read without dragging."""
    lines = [
        sum(1 + int(_width(line) / COLUMNS[key].width) for line in values.get(key, "").split("\n"))
        for key in keys
        if COLUMNS[key].wide_text
    ]
    return min(_HIGHEST_ROW, _POINTS_PER_LINE * max([1, *lines]) + 4)


def _width(line: str) -> int:
    """Columns of a terminal, which is about how a spreadsheet counts: Chinese characters are two wide."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def _drop_down(sheet: Worksheet, place: int, rows: int, choices: int) -> None:
    rule = DataValidation(
        type="list",
        formula1=f"{_ALLOWED_SHEET}!$A$1:$A${choices}",
        allow_blank=True,
        showErrorMessage=True,
        errorTitle="Unknown label 未知标注",
        error="Choose one from the list. 请从列表中选择。",
    )
    letter = get_column_letter(place)
    rule.add(f"{letter}2:{letter}{rows + 1}")
    sheet.add_data_validation(rule)


def _allowed(sheet: Worksheet, labels: Sequence[str]) -> None:
    for number, label in enumerate([*labels, UNSURE], 1):
        _as_text(sheet.cell(number, 1), label)
    sheet.protection.sheet = True
    sheet.sheet_state = "hidden"


def _how_to(sheet: Worksheet, title: str, place: int, rows: int, labels: Sequence[str]) -> None:
    for number, pair in enumerate(_HOW_TO, 1):
        for column, text in enumerate(pair, 1):
            cell = sheet.cell(number, column, text)
            cell.alignment = Alignment(wrap_text=True, vertical="top")
            cell.font = Font(bold=number == 1, size=14 if number == 1 else 11)
    for letter in "AB":
        sheet.column_dimensions[letter].width = 70
    number = len(_HOW_TO) + 2
    letter = get_column_letter(place)
    # The one formula of the book: how many rows are done.
    sheet.cell(number, 1, f'="Done 已标: "&COUNTA({title}!{letter}2:{letter}{rows + 1})&" / {rows}"')
    _as_text(sheet.cell(number + 1, 1), "Labels 标注: " + ", ".join(labels))
    sheet.cell(number + 1, 1).alignment = Alignment(wrap_text=True, vertical="top")
    sheet.protection.sheet = True


def _protect(sheet: Worksheet) -> None:
    """Lock all but the yellow cells, without a password: it guards against slips, not against people."""
    sheet.protection.sheet = True
    for allowed in ("formatColumns", "formatRows", "formatCells", "sort", "autoFilter"):
        setattr(sheet.protection, allowed, False)  # False is "not forbidden"
