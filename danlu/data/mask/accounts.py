"""Car plates, and accounts that only a word beside them gives away: QQ and 微信."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from danlu.data.mask.spans import Span
from danlu.data.mask.view import View, holds

#: Province signs of car plates and the letters after them: GA 36-2018. New-energy plates have one sign more.
_PLATE = re.compile(
    r"(?:[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Za-hj-np-z][ ·•・.-]?"
    r"(?:[DFABCEGHJKdfabceghjk][A-HJ-NP-Za-hj-np-z0-9][0-9]{4}|[0-9]{5}[DFABCEGHJKdfabceghjk]"
    r"|(?=[A-Za-z]{0,4}[0-9])[A-HJ-NP-Za-hj-np-z0-9]{4}[A-HJ-NP-Za-hj-np-z0-9挂学警港澳])|使[0-9]{6})(?![A-Za-z0-9])"
)


def find_plates(view: View) -> Iterator[Span]:
    """Car plates of the mainland."""
    for match in _PLATE.finditer(view.plain):
        yield Span(match.start(), match.end(), "plate", re.sub(r"[ ·•・.-]", "", match[0]).upper())


_QQ = re.compile(
    r"(?:QQ|扣扣|企鹅)(?:号码?|群号?|账号|是|为|加|我|no|number|id|is|[ :：=.#]){0,5}"
    r"(?P<value>[1-9][0-9]{4,11})(?![0-9@A-Za-z])",
    re.IGNORECASE,
)
_WECHAT = re.compile(
    r"(?:微信|weixin|we[ -]?chat|薇信|威信|v信|(?<![A-Za-z])[vw]x(?![A-Za-z]))(?P<said>(?:号码?|账号|帐号|是|为|加"
    r"|我|搜|名"
    r"|(?:ID|handle|is|me|at|on|my|the)\b|[ :：=,，“\"'「])*)(?P<value>[A-Za-z][A-Za-z0-9_-]{5,19})"
    r"(?![A-Za-z0-9_@-])(?![.][A-Za-z])",
    re.IGNORECASE,
)
_SAID = re.compile(r"号|ID|[:：=]|搜", re.IGNORECASE)
_NO_WORD = re.compile(r"[0-9_-]")


def find_qq(view: View) -> Iterable[Span]:
    """QQ numbers, which only the word before them gives away."""
    low = view.low
    if "qq" in low or (not low.isascii() and ("扣扣" in low or "企鹅" in low)):
        return [Span(*match.span("value"), "qq", match["value"]) for match in _QQ.finditer(view.plain)]
    return ()


#: Parts of the words before a name, each of which few texts hold.
_WECHAT_PARTS = ("vx", "wx", "chat", "weixin")


def find_wechat(view: View) -> Iterable[Span]:
    """微信 names, which only the word before them gives away."""
    low = view.low
    return _wechat(view.plain) if holds(low, _WECHAT_PARTS) or (not low.isascii() and "信" in low) else ()


def _wechat(plain: str) -> Iterator[Span]:
    for match in _WECHAT.finditer(plain):
        # A plain word after "wechat" is no name, unless something says that one follows.
        if _NO_WORD.search(match["value"]) or _SAID.search(match["said"]) or not match["said"].isascii():
            yield Span(*match.span("value"), "wechat", match["value"].lower())
