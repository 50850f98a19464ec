"""Numbers said in words: 幺三八零零一三八零零零, "one three eight, double zero ..."."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from danlu.data.mask.numbers import Group, find_in_chain
from danlu.data.mask.spans import Span
from danlu.data.mask.view import View

#: How digits are said in Chinese, with the words of radio and of taxi drivers (幺, 洞, 拐, 勾, 两).
_HAN = {
    "零": "0", "〇": "0", "洞": "0", "幺": "1", "一": "1", "二": "2", "两": "2", "三": "3", "四": "4", "五": "5",
    "六": "6", "七": "7", "拐": "7", "八": "8", "九": "9", "勾": "9",
}  # fmt: skip
_HAN |= {str(digit): str(digit) for digit in range(10)}
_TIMES = {"两": 2, "二": 2, "三": 3, "四": 4, "2": 2, "3": 3, "4": 4}
_SIGNS = "".join(_HAN)

_HAN_ENOUGH = re.compile(r"[零〇洞幺一二两三四五六七拐八九勾](?:[ 、，,个\x1f-]{0,2}[" + _SIGNS + "]){6}")
_HAN_CHAIN = re.compile(f"[{_SIGNS}](?:[ 、，,\x1f-]{{0,2}}[{_SIGNS}]|个[{_SIGNS}])*")
_HAN_GROUP = re.compile(f"[二两三四2-4]个[{_SIGNS}]|[{_SIGNS}]")

_WORDS = {
    "zero": "0", "oh": "0", "o": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
_MANY = {"double": 2, "triple": 3, "treble": 3}
_WORD = rf"(?:(?:{'|'.join(_MANY)})[ -])?(?:{'|'.join(_WORDS)}|[0-9])\b"
_EN_CHAIN = re.compile(rf"\b{_WORD}(?:[ ,.\x1f-]{{1,3}}{_WORD}){{3,}}", re.IGNORECASE)
_EN_GROUP = re.compile(_WORD, re.IGNORECASE)


def find_chinese(view: View) -> Iterator[Span]:
    """Numbers said in Chinese."""
    plain = view.plain
    if not _HAN_ENOUGH.search(plain):
        return
    for chain in _HAN_CHAIN.finditer(plain):
        if chain.end() - chain.start() >= 7 and not chain[0].isascii():
            groups = [_han_group(match) for match in _HAN_GROUP.finditer(plain, *chain.span())]
            yield from find_in_chain(plain, _joined(groups), spoken=True)


def _han_group(match: re.Match[str]) -> Group:
    said = match[0]
    times = _TIMES[said[0]] if "个" in said else 1
    return Group(match.start(), match.end(), _HAN[said[-1]] * times)


def _joined(groups: list[Group]) -> list[Group]:
    """Groups that touch as one: only where the speaker pauses may a number end."""
    joined: list[Group] = []
    for group in groups:
        if joined and joined[-1].end == group.start:
            joined[-1] = Group(joined[-1].start, group.end, joined[-1].digits + group.digits)
        else:
            joined.append(group)
    return joined


def find_english(view: View) -> Iterable[Span]:
    """Numbers said in English, digit by digit."""
    low = view.low
    if sum(map(low.count, _PARTS)) < 4 or sum(map(low.count, _LONG_WORDS)) < 4:
        return ()
    return _said_in_english(view)


def _said_in_english(view: View) -> Iterator[Span]:
    for chain in _EN_CHAIN.finditer(view.plain):
        groups = [_en_group(match) for match in _EN_GROUP.finditer(view.plain, *chain.span())]
        yield from find_in_chain(view.plain, groups, spoken=True)


#: The words for digits that a number of seven or more has at least four of, `double` and `oh` aside; and fewer parts
#: of words, of which it has as many at least: a quicker count, which leaves few texts for the other.
_LONG_WORDS = tuple(word for word in _WORDS if len(word) > 2)
_PARTS = ("ne", "ve", "two", "three", "four", "six", "eight", "zero")


def _en_group(match: re.Match[str]) -> Group:
    many, _, said = match[0].lower().replace("-", " ").rpartition(" ")
    return Group(match.start(), match.end(), _WORDS.get(said, said) * _MANY.get(many, 1))
