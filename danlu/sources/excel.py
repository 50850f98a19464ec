"""Excel workbooks (.xlsx), row by row."""

from __future__ import annotations

import contextlib
import itertools
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from danlu.core.errors import DataError
from danlu.sources.files import File, refuse_bomb
from danlu.sources.records import Asked, Opened, Row, named_once, short, wrong_width

_BAD_CELLS = (ValueError, KeyError, IndexError, TypeError, OverflowError)


def open_excel(asked: Asked) -> Opened:
    # An open file, for openpyxl refuses a path by its ending; it stays open while rows are read from it.
    stack = contextlib.ExitStack()
    try:
        file = stack.enter_context(asked.path.seekable())
        with zipfile.ZipFile(file) as archive:
            refuse_bomb(archive.infolist(), asked.path.packed_bytes(), asked.path.name)
        with warnings.catch_warnings():
            # Missing styles and the like say nothing about the cells.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, ElementTree.ParseError, KeyError, ValueError, OSError) as error:
        stack.close()
        raise _broken_excel(asked.path, error) from None
    if asked.sheet is not None and asked.sheet not in book.sheetnames:
        raise DataError(
            f"{asked.path.name} has no sheet {asked.sheet!r}. Its sheets: {', '.join(map(repr, book.sheetnames))}."
        )
    sheet = book[asked.sheet] if asked.sheet is not None else book.worksheets[0]
    # Some programs write a wrong size into the file; without it, every row is read to its end.
    sheet.reset_dimensions()
    cells = sheet.iter_rows(values_only=True)
    try:
        header = next(cells, None)
    except (zipfile.BadZipFile, zlib.error, EOFError, ElementTree.ParseError, *_BAD_CELLS) as error:
        stack.close()
        raise _broken_excel(asked.path, error) from None
    if not header or all(cell is None for cell in header):
        raise DataError(
            f"{asked.path.name}: the first row of sheet {sheet.title!r} is empty; it must name the columns."
        )
    columns = named_once(asked.path, _filled(header))

    def rows() -> Iterator[Row]:
        try:
            for number, values in enumerate(cells, 2):
                filled = _filled(values)
                if len(filled) > len(columns):
                    yield Row(line=number, values=None, reason=wrong_width(len(filled), len(columns)))
                elif filled:
                    # Excel keeps no empty cells at a row's end.
                    padded = itertools.chain(filled, itertools.repeat(None))
                    yield Row(line=number, values=dict(zip(columns, padded, strict=False)))
        # openpyxl turns cells into numbers and dates as it goes, and raises what Python raises for a bad one.
        except (zipfile.BadZipFile, zlib.error, EOFError, ElementTree.ParseError, *_BAD_CELLS) as error:
            raise _broken_excel(asked.path, error) from None
        finally:
            stack.close()

    return Opened(format="excel", encoding=None, columns=columns, rows=rows())


def _filled(cells: Sequence[Any]) -> Sequence[Any]:
    """A row without the empty cells at its end."""
    width = next((place for place in range(len(cells), 0, -1) if cells[place - 1] not in (None, "")), 0)
    return cells[:width]


def _broken_excel(path: File, error: Exception) -> DataError:
    return DataError(
        f"{path.name} is not an Excel file that can be read ({short(error)}). Expected .xlsx; save it again from "
        "Excel, or as CSV."
    )
