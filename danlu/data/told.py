"""Values of a user's file in messages and cards: a column named by mistake may hold anybody's phone or name."""

from __future__ import annotations

import unicodedata
from typing import get_args

from danlu.data.mask.config import Kind
from danlu.data.mask.masker import mask

_EVERY_KIND: tuple[Kind, ...] = get_args(Kind)
_MOST_CHARACTERS = 40
#: Before a word alone: with it, the rules know a name where nothing else says that it is one.
_NAMED = ("姓名：", "My name is ")


def told(value: str) -> str:
    """A label as messages show it: at most 40 characters, with every kind of personal data masked, in quotes."""
    return repr(mask(value[:_MOST_CHARACTERS], _EVERY_KIND)[0])


def told_speaker(value: str) -> str:
    """Who speaks, as messages show it: [PERSON] for all that could be a name, and some words are taken for one too."""
    for before in _NAMED:
        shown, found = mask(before + value[:_MOST_CHARACTERS], _EVERY_KIND)
        if found and shown.startswith(before):
            return repr(shown.removeprefix(before))
    return told(value)


def shape_of(value: str) -> str:
    """How a value is built and nothing of what it says: 9 for a digit, 字 for a Han character, a for a letter."""
    signs = [_sign(sign) for sign in value[:_MOST_CHARACTERS]]
    return repr("".join(signs))


def _sign(sign: str) -> str:
    if sign.isdigit():
        return "9"
    if sign.isalpha():
        return "字" if unicodedata.name(sign, "").startswith("CJK") else "a"
    return sign
