"""What a language model is asked, what may be sent to it, and what becomes of its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping

from danlu.core.errors import DataError
from danlu.data.mask.masker import mask
from danlu.data.text import normalise

#: What masking left: a kind, and the digits of a pseudonym.
_TOKEN = re.compile(r"\[[A-Z][A-Z0-9_]{0,39}(?:_[0-9a-f]{12})?\]")

_QUOTES = (('"', '"'), ("“", "”"), ("「", "」"), ("'", "'"))


def filled(prompt: str, text: str, names: Mapping[str, str]) -> str:
    """`prompt` with `text` wherever {text} stands, and what `names` say for other words in braces; other braces stay.

    The text comes last: it may hold the words in braces itself, the other values are the team's own.
    """
    parts = prompt.split("{text}")
    for name, value in names.items():
        parts = [part.replace(f"{{{name}}}", value) for part in parts]
    return text.join(parts)


def prompt_for(prompt: str, *, text: str, label: str) -> str:
    """`prompt` with the row's text and label in their places; other braces stay."""
    return filled(prompt, text, {"label": label})


def refuse_unmasked(name: str, text: str, setting: str = "augment.generate.send_unmasked") -> None:
    """Raise `DataError` where a text that would be sent holds personal data that the data stage can find.

    What is masked already is passed over: the word in [PHONE] would make a phone of the next number.
    """
    found = mask(_TOKEN.sub("[]", text))[1]
    if found:
        kinds = ", ".join(sorted(found))
        raise DataError(
            f"Row {name} holds unmasked personal data ({kinds}) and would be sent to a language model. Add these kinds "
            f"to data.mask, or say that it may be sent with {setting}: true."
        )


def text_of(answer: str) -> str:
    """The text in an answer, made even and masked as every other row; quotation marks around all of it go."""
    text = normalise(answer)
    for left, right in _QUOTES:
        if len(text) > 1 and text.startswith(left) and text.endswith(right):
            inner = text[1:-1]
            if left not in inner and right not in inner:
                text = inner.strip()
    return mask(text)[0]
