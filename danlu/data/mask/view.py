"""A text as recognisers see it: signs of full width and digits of any script as plain ones, turns of a dialogue joined.

Reading as plain changes no length, so places stay places. Joining does: what lies between two pieces of a number that
was said over several turns ("138", "go on", "0013") becomes one `BRIDGE`, and `View.pieces` tells where in which part a
span lies.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

#: Stands for what lies between the pieces of one number; nothing else puts it into a text that was normalised.
BRIDGE = "\x1f"

#: Digits of other scripts and styles, which people also use to hide a number: １３８, ١٣٨, 𝟏𝟑𝟖. Of those beyond the
#: basic plane only the mathematical ones (U+1D7CE to U+1D7FF).
_WIDE = {
    code: ord(str(int(chr(code))))
    for code in (*range(0x80, 0x10000), *range(0x1D7CE, 0x1D800))
    if chr(code).isdecimal()
}
_WIDE |= {ord("Ａ") + letter: ord("A") + letter for letter in range(26)}
_WIDE |= {ord("ａ") + letter: ord("a") + letter for letter in range(26)}
_WIDE |= {ord(wide): ord(narrow) for wide, narrow in zip("＠．＋－＿（）　﹣‐‑–—／", "@.+-_() -----/", strict=True)}
_WIDE |= {ord("\x1f"): ord(" "), ord("\xa0"): ord(" "), ord("\t"): ord(" ")}
#: Digits in circles and brackets: ①③⑧, ❶, ⑴. They also number the items of lists, so only some are read as digits.
_CIRCLED = {
    code: str(unicodedata.digit(chr(code))) for code in range(0x2460, 0x2800) if unicodedata.digit(chr(code), -1) >= 0
}
_ONE_CIRCLED = "[" + "".join(map(chr, _CIRCLED)) + "]"
#: Beside another one; among plain digits, unless a whole mobile number ends before it or begins behind it; or what a
#: mobile number lacks.
_CIRCLED_DIGIT = re.compile(
    f"{_ONE_CIRCLED}(?:(?={_ONE_CIRCLED})|(?<={_ONE_CIRCLED}{{2}})"
    "|(?<=[0-9].)(?<![0-9]{11}.)(?=[0-9])(?!1[3-9][0-9]{9})|(?=[3-9][0-9]{9}(?![0-9])))"
)
#: What makes the digit before it a key of a telephone: 1️⃣.
_KEYCAP = "\u20e3"
_KEYCAPS = re.compile("(?<=[0-9])\ufe0f?\u20e3")
#: Two expressions, because a set of signs of the basic plane alone is looked up in a table.
_HAS_WIDE = re.compile(
    "[" + "".join(re.escape(chr(code)) for code in sorted({*_WIDE, *_CIRCLED}) if code < 0x10000) + "]"
)
_HAS_STYLED = re.compile("[\U0001d7ce-\U0001d7ff]")

_ZH_DIGITS = "零〇幺一二两三四五六七八九洞拐勾"
_EN_DIGITS = "zero|one|two|three|four|five|six|seven|eight|nine"
#: What another speaker says while a number is dictated, and how the speaker goes on.
_FILLERS = (
    r"嗯+|恩+|哦+|噢|好的?|好嘞|对的?|是的?|行|可以|继续|您?请?继续说?|您说|请说|您请说|记下了?|收到|明白|然后呢"
    r"|还有呢|后面呢"
    r"|ok(?:ay)?|yes|yeah|yep|uh[- ]?huh|mm+[- ]?hm+|hm+|right|got it|go on|go ahead|sure|and then|alright"
)
_LEADS = r"然后是?|接着是?|后面是?|后边是?|再是?|最后是?|接下来是?|and then|then|and|next"
#: What may stand behind a piece of a number at the end of a line.
_TRAILING = " ，,、。.…~—-"
#: Who speaks, at the start of a line of a transcript. Any other word before a colon says what a number is.
_LABEL = (
    r"(?:(?:用户|客户|客服|坐席|座席|顾客|买家|卖家|商家|店家|主叫|被叫|说话人[0-9]?|发言人[0-9]?|甲方?|乙方?|问|答|我|他|她|机器人|[A-Z]"
    r"|agent|customer|user|assistant|caller|operator|client|bot|rep|human|speaker[ ]?[0-9]?)[:：][ ]?)?"
)
_BRIDGE = re.compile(
    rf"[{_TRAILING}]{{0,6}}\n"
    rf"(?:{_LABEL}(?:{_FILLERS})(?:[ ，,。.!！…~]*(?:{_FILLERS}))?[ ，,。.!！…~]*\n){{0,3}}"
    rf"{_LABEL}(?:(?:{_LEADS})[ ，,：:…]*)?(?=[0-9{_ZH_DIGITS}Xx]|(?:{_EN_DIGITS}|oh|double|triple)\b)",
    re.IGNORECASE,
)
_BLANK = re.compile(r"[\s，,、。.…~—-]*")
_DIGIT_BEFORE = re.compile(rf"(?:[0-9{_ZH_DIGITS}]|{_EN_DIGITS}|\boh)$", re.IGNORECASE)


def holds(text: str, words: Iterable[str]) -> bool:
    """Whether one of the words is in the text; a loop, which costs half of what `any` does."""
    for word in words:  # noqa: SIM110
        if word in text:
            return True
    return False


class Piece(NamedTuple):
    """A stretch of one part: which part, and where it starts and ends there."""

    part: int
    start: int
    end: int


class View:
    """The parts of one row as one plain text (`plain`), with the way back (`pieces`)."""

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = parts
        text = parts[0] if len(parts) == 1 else "\n".join(parts)
        odd = not text.isascii() or "\t" in text or BRIDGE in text
        if odd and (_HAS_WIDE.search(text) or _HAS_STYLED.search(text)):
            # Circled digits tell by what is beside them whether they number an item.
            text = _CIRCLED_DIGIT.sub(lambda match: _CIRCLED[ord(match[0])], text.translate(_WIDE))
        #: What was left out, step by step: places in the text after and before it, from which on both run alike.
        self._cuts: list[tuple[list[int], list[int]]] = []
        self._text = text
        if odd and _KEYCAP in text:
            text = self._without_keycaps(text)
        self.plain = self._bridged(text) if "\n" in text else text

    @cached_property
    def low(self) -> str:
        """`plain` in lower case, to look for words in; its places may differ."""
        return self.plain.lower()

    def _without_keycaps(self, text: str) -> str:
        kept: list[str] = []
        here, there = self._cut()
        done = length = 0
        for match in _KEYCAPS.finditer(text):
            kept.append(text[done : match.start()])
            length += match.start() - done
            done = match.end()
            here.append(length)
            there.append(done)
        return "".join(kept) + text[done:]

    def _cut(self) -> tuple[list[int], list[int]]:
        self._cuts.append(([0], [0]))
        return self._cuts[-1]

    def _bridged(self, text: str) -> str:
        kept: list[str] = []
        done = length = 0
        line_end = text.find("\n")
        while line_end >= 0:
            last = line_end
            while last > done and line_end - last < 6 and text[last - 1] in _TRAILING:
                last -= 1
            # Few lines end with a digit, and a look at the end costs less than the expression.
            near = last > done and _DIGIT_BEFORE.search(text, max(done, last - 6), last)
            if near and (match := _BRIDGE.match(text, last)):
                here, there = self._cuts[-1] if kept else self._cut()
                kept += [text[done:last], BRIDGE]
                length += last - done + 1
                done = match.end()
                here.append(length)
                there.append(done)
                line_end = text.find("\n", done)
            else:
                line_end = text.find("\n", line_end + 1)
        return "".join(kept) + text[done:] if kept else text

    def _original(self, place: int) -> int:
        for here, there in reversed(self._cuts):
            run = bisect_right(here, place) - 1
            place += there[run] - here[run]
        return place

    def pieces(self, start: int, end: int) -> list[Piece]:
        """Where the characters from `start` to `end` of `plain` lie in the parts.

        One piece in most cases. Several where a value is spread over parts or around what others said in between.
        """
        if len(self._parts) == 1 and not self._cuts:
            return [Piece(0, start, end)]
        stretches: list[tuple[int, int]] = []
        for piece in self._split(start, end):
            # Only white space between two pieces of one part: nothing is lost when it goes with them.
            if stretches and _BLANK.fullmatch(self._text, stretches[-1][1], piece[0]):
                first = stretches[-1][0]
                if self._part_of(first) == self._part_of(piece[0]):
                    stretches[-1] = (first, piece[1])
                    continue
            stretches.append(piece)
        found = []
        for first, last in stretches:
            part = self._part_of(first)
            # A value with a plain line feed inside may still cross into the next part.
            while part < len(self._parts) and self._starts[part] < last:
                begins, ends = self._starts[part], self._starts[part] + len(self._parts[part])
                if max(first, begins) < min(last, ends):
                    found.append(Piece(part, max(first, begins) - begins, min(last, ends) - begins))
                part += 1
        return found

    def _split(self, start: int, end: int) -> list[tuple[int, int]]:
        """The stretches between bridges, as places in the joined text."""
        if not self._cuts:
            return [(start, end)]
        stretches = []
        for stretch in self.plain[start:end].split(BRIDGE):
            if stretch:
                first = self._original(start)
                stretches.append((first, self._original(start + len(stretch))))
            start += len(stretch) + 1
        return stretches

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((len(part) + 1 for part in self._parts), initial=0))

    def _part_of(self, place: int) -> int:
        return min(bisect_right(self._starts, place), len(self._parts)) - 1
