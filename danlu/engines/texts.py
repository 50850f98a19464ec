"""How the command line and the server speak of the texts that they were given."""

from __future__ import annotations

from collections.abc import Sequence


def which_text(texts: Sequence[str], index: int) -> str:
    """What messages call the text at `index`: they count from 1, and only where there are several."""
    return f"Text {index + 1}" if len(texts) > 1 else "The text"


def blank_text(texts: Sequence[str]) -> str | None:
    """Why the first text that is empty or white space is refused; None where all have something to read."""
    blank = next((index for index, text in enumerate(texts) if not text.strip()), None)
    if blank is None:
        return None
    return f"{which_text(texts, blank)} is empty; a model would answer it with nothing but a guess. Give a text."
