"""How the command line and the server speak of the texts that they were given."""

from __future__ import annotations

from collections.abc import Sequence

from danlu.core.asked import Question, Refused, Takes
from danlu.core.errors import UserError


def which_text(texts: Sequence[str], index: int) -> str:
    """What messages call the text at `index`: they count from 1, and only where there are several."""
    return f"Text {index + 1}" if len(texts) > 1 else "The text"


def blank_text(texts: Sequence[str]) -> str | None:
    """Why the first text that is empty or white space is refused; None where all have something to read."""
    blank = next((index for index, text in enumerate(texts) if not text.strip()), None)
    if blank is None:
        return None
    return f"{which_text(texts, blank)} is empty; a model would answer it with nothing but a guess. Give a text."


def refused(asked: Sequence[Question], takes: Takes) -> Refused | None:
    """Why the first question that a model which takes this cannot answer is refused; None where it can answer all."""
    for index, question in enumerate(asked):
        found = takes.refused(question)
        if found is not None:
            which = f"Text {index + 1}: " if len(asked) > 1 else ""
            return Refused(part=found.part, why=f"{which}{found.why}")
    return None


def check_asked(asked: Sequence[Question], takes: Takes) -> None:
    """Raise `UserError` for the first question that a model which takes this cannot answer."""
    found = refused(asked, takes)
    if found is not None:
        raise UserError(found.why)
