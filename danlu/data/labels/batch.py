"""What was handed to people: a batch of rows, remembered in the workspace so that what comes back can be checked.

labels/BATCH.json        below the workspace; masked texts of the rows that were handed out, and how they were chosen
"""

from __future__ import annotations

import datetime
import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from danlu.core.errors import UserError
from danlu.core.store import Workspace, write_json_atomically

#: The part of a row that is not in the corpus.
NEW = "new"

#: Why a row was handed out.
SUSPECT = "suspect"
NEXT = "next"
SAMPLE = "sample"

#: What a person chooses who cannot decide.
UNSURE = "?"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One row for a person to label.

    `content` is the hash of its text and its identity. `why`: suspect, next (the model is unsure) or sample (a plain
    random choice). `part`: train, validation, test, or new for a row outside the corpus. `given` is the label it has,
    `suggested` what a model says; empty where there is none. `score`: for a suspect how well the given label fits
    (0 to 1), for a next row how unsure the model is (0 to 1).
    """

    content: str
    text: str
    why: str
    part: str
    given: str = ""
    suggested: str = ""
    score: float | None = None

    @property
    def shown(self) -> tuple[str, str]:
        """The labels that may be shown: none for a sample, which must be judged without a hint."""
        return ("", "") if self.why == SAMPLE else (self.given, self.suggested)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The rows of one export.

    `labels` are the allowed ones; `blind` says that nobody saw a given or suggested label; `text` and `label` are the
    corpus's names of these columns.
    """

    name: str
    corpus: str
    labels: list[str]
    annotators: int
    blind: bool
    model: str
    text: str
    label: str
    items: list[Item] = field(default_factory=list)

    def save(self, workspace: Workspace) -> Path:
        """Write the batch into the workspace; returns the file's path."""
        path = workspace.open().root / "labels" / f"{self.name}.json"
        write_json_atomically(path, asdict(self))
        return path


def new_name() -> str:
    """A name for a batch that sorts by time."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


def load_batches(workspace: Workspace) -> list[Batch]:
    """Every batch of the workspace, oldest first. Raises `UserError` for one that is damaged."""
    found = []
    for path in sorted((workspace.root / "labels").glob("*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            found.append(Batch(**values | {"items": [Item(**item) for item in values["items"]]}))
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{path} is damaged ({type(error).__name__}); restore it from a backup, or move it away "
                "and export again."
            ) from None
    return found


class Known:
    """Every row that was ever handed out, by content."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._items: dict[str, tuple[Item, Batch]] = {}
        for batch in batches:
            for item in batch.items:
                self._items[item.content] = (item, batch)

    def __len__(self) -> int:
        return len(self._items)

    def item(self, content: str) -> Item | None:
        """The row as it was last handed out."""
        found = self._items.get(content)
        return None if found is None else found[0]

    def batch(self, content: str) -> Batch:
        """The batch in which the row was last handed out."""
        return self._items[content][1]
