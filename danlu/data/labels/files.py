"""Files that are whole or not there, also after Ctrl-C, and CSV cells that no spreadsheet computes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

#: A cell that starts with one of these may be taken for a formula (OWASP, "CSV Injection").
_STARTS = ("=", "+", "-", "@", "\t", "\r")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; afterwards it takes `path`'s place, or goes where an error came."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def guard(cell: str) -> str:
    """`cell` so that a spreadsheet shows it as text; `unguard` gives it back."""
    return f"'{cell}" if cell.startswith((*_STARTS, "'")) else cell


def unguard(cell: str) -> str:
    """A cell as it was before `guard`; the leading apostrophe may be gone, since some spreadsheets swallow it."""
    return cell[1:] if cell.startswith(tuple(f"'{start}" for start in (*_STARTS, "'"))) else cell
