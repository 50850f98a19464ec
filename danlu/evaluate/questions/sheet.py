"""A sheet of questions, as its authors wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.core.errors import DataError
from danlu.evaluate.questions.config import QuestionsConfig
from danlu.sources.formats import open_file
from danlu.sources.places import name_of, place_of
from danlu.sources.records import TEXT_FORMATS, missing_column
from danlu.sources.values import as_text


@dataclass(frozen=True, kw_only=True)
class AskedQuestion:
    """One question with what its answer is held against; `origin` is file and line. Empty where nothing is expected."""

    question: str
    origin: str
    reference: str = ""
    must_say: tuple[str, ...] = ()
    must_not_say: tuple[str, ...] = ()
    category: str = ""

    @property
    def has_rules(self) -> bool:
        """Whether there are phrases that the answer must, or must not, hold."""
        return bool(self.must_say or self.must_not_say)


def read_sheet(path: Path, config: QuestionsConfig) -> list[AskedQuestion]:
    """The questions of a file, in its order.

    Raises `DataError` for a file without questions, a line that cannot be read, a question that is asked twice, and
    where no question has anything to hold its answer against.
    """
    found: list[AskedQuestion] = []
    for file in place_of(path, config.format).files:
        opened = open_file(file, format=config.format, encoding=config.encoding)
        if opened.format in TEXT_FORMATS or (opened.columns and config.question not in opened.columns):
            raise missing_column(file.name, config.question, opened)
        for row in opened.rows:
            origin = f"{file.name}:{row.line}"
            if row.values is None:
                raise DataError(f"{origin} cannot be read: {row.reason}. Mend that line of the questions.")
            one = _question(row.values, origin, config)
            if one is not None:
                found.append(one)
    _check(found, name_of(path), config)
    return found


def _question(values: Mapping[str, Any], origin: str, config: QuestionsConfig) -> AskedQuestion | None:
    """One row; None where its question is empty."""

    def cell(column: str) -> str:
        text = as_text(values.get(column))
        if text is None:
            raise DataError(f"The column {column!r} of {origin} holds no text. Expected words or a number.")
        return text.strip()

    def phrases(column: str) -> tuple[str, ...]:
        value = values.get(column)
        parts = value if isinstance(value, list) else cell(column).split(config.separator)
        return tuple(text for part in parts if (text := (as_text(part) or "").strip()))

    text = cell(config.question)
    if not text:
        return None
    return AskedQuestion(
        question=text,
        origin=origin,
        reference=cell(config.reference),
        must_say=phrases(config.must_say),
        must_not_say=phrases(config.must_not_say),
        category=cell(config.category),
    )


def _check(found: list[AskedQuestion], name: str, config: QuestionsConfig) -> None:
    if not found:
        raise DataError(f"{name} has no question in its column {config.question!r}. Write at least one.")
    first: dict[str, AskedQuestion] = {}
    for one in found:
        other = first.setdefault(one.question, one)
        if other is not one:
            raise DataError(
                f"The question of {one.origin} is that of {other.origin}: {one.question[:80]!r}. Counted twice, it "
                "would weigh double; take one of them out."
            )
    if not any(one.reference or one.has_rules for one in found):
        raise DataError(
            f"No question of {name} says what is expected. Fill in {config.reference!r}, {config.must_say!r} or "
            f"{config.must_not_say!r} for some of them."
        )
