"""Numbers made of digits alone: identity numbers, bank cards, phones.

A text's digits are read as groups, and neighbouring groups with little between them as chains. A value is a window of
whole groups, so that no part of a longer number is ever taken for one, and however it is spaced or broken over lines
it is found. Spoken numbers (`danlu.data.mask.spoken`) become groups too and go through the same checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from danlu.data.mask.checksums import is_date, luhn, mod11_2
from danlu.data.mask.spans import Span
from danlu.data.mask.view import BRIDGE, View

#: Fewer digits than this, with at most three other signs between any two, are none of these values.
_ENOUGH = re.compile(r"[0-9](?:[^0-9]{0,3}[0-9]){6}")
_CHAIN = re.compile(r"[0-9]+(?:[ \n\x1f./()-]{1,3}[0-9]+)*")
_GROUP = re.compile(r"[0-9]+")
_CHECK_X = re.compile(r"[ \n\x1f]?[Xx]")
#: What may stand between two groups of one identity or card number.
_NARROW = re.compile(r"[ \n\x1f-]{1,3}")
#: The same for spoken numbers: a speaker takes breath.
_PAUSE = re.compile(r"[ 、，,.\x1f-]{1,3}")

#: A word right before a number that says it is no card, no phone and no document.
ORDER_BEFORE = re.compile(
    r"(?:订单|定单|单号|单据|运单|工单|流水|货号|型号|条码|条形码|编码|编号|批号|批次|快递|物流|发票|票号|合同|凭证"
    r"|交易|序列号|商品"
    r"|order|tracking|invoice|serial|sku|isbn|ticket|ref|reference|transaction|waybill|parcel|shipment|batch"
    r"|barcode|item"
    r"|part|case|booking|receipt|(?<![a-z])po)"
    r"(?:[\s:：#=._-]|号|码|编|是|为|单|number|num|no|id|is|was){0,10}$",
    re.IGNORECASE,
)
_IDENTITY_BEFORE = re.compile(
    r"(?:身份证|身份号|证件|证号|居民证|\bid\b|\bids\b|identity|citizen|resident)[^0-9]{0,24}$", re.IGNORECASE
)
_CARD_BEFORE = re.compile(
    r"(?:银行卡|信用卡|储蓄卡|借记卡|工资卡|卡号|卡片|账号|帐号|账户|card|account|visa|mastercard)[^0-9]{0,24}$",
    re.IGNORECASE,
)
_PHONE_BEFORE = re.compile(
    r"(?:电话|座机|手机|热线|致电|拨打|联系方式|传真|号码|打给|呼叫|tel|telephone|phone|fax|call|mobile|cell"
    r"|hotline|whatsapp"
    r"|number|dial|reach|ring|text)[^0-9]{0,24}$",
    re.IGNORECASE,
)
_GROUP_BEFORE = re.compile(r"(?<![0-9])[0-9]{4}[ \x1f-]$")
#: `1.` before a number: a decimal, unless it numbers an item of a list, at the start of a line or after another value.
_DECIMAL_BEFORE = re.compile(r"[0-9][.]$")
_LIST_NUMBER_BEFORE = re.compile(r"(?:^|[\n;；、。])[\s,，;；、。]*[1-9][0-9]?[.]$")

#: First two digits of an identity number: province-level codes of GB/T 2260, the three of residence permits for people
#: from Hong Kong, Macau and Taiwan.
PROVINCES = frozenset(
    str(code)
    for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65), (71, 71), (81, 83))
    for code in range(first, last + 1)
)

#: Issuer prefixes with the lengths in use: UnionPay, Visa, Mastercard, American Express, JCB, Discover, Diners Club,
#: and the older debit cards of ICBC (9558).
_CARD = re.compile(
    r"62[0-9]{14,17}|4[0-9]{15}|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]"
    r"|720)[0-9]{12}|3[47][0-9]{13}"
    r"|35[2-8][0-9]{13}|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12}|9558[0-9]{15}|3(?:0[0-5]|[689][0-9])[0-9]{11}"
)
_MOBILE = re.compile(r"(?:00)?(?:86)?1[3-9][0-9]{9}")
#: Area code and number of a mainland landline.
_LANDLINE = re.compile(r"0(?:10|2[0-9])[2-9][0-9]{7}|0[3-9][0-9]{2}[2-9][0-9]{6,7}")
_NORTH_AMERICAN = re.compile(r"1?[2-9][0-9]{2}[2-9][0-9]{6}")

_NOT_IN_WORD = r"(?<![0-9A-Za-z_])(?<![0-9][.])"
_PHONE = re.compile(
    "".join(
        (
            rf"(?:{_NOT_IN_WORD}|(?<=tel)|(?<=phone)|(?<=mobile)|(?<=cell)|(?<=wx)|(?<=vx)|(?<=qq))(?:",
            # Mainland mobile: 138 0013 8000.
            r"(?:(?:[+]|00)?[(]?86[)]?[ \x1f-]?)?"
            r"1[3-9][0-9](?:[0-9]{8}|[ \x1f-][0-9]{4}[ \x1f-]?[0-9]{4}|[.][0-9]{4}[.][0-9]{4})",
            # Mainland landline with its area code, and an extension: (010) 6234 5678 转 801.
            r"|(?:(?:[+]|00)86[ -]?)?[(]?0(?:10|2[0-9]|[3-9][0-9]{2})[)]?[ \x1f-]?[2-9][0-9]{2,3}[ \x1f-]?[0-9]{4}",
            r"(?:[ ]?(?:转|ext[.]?|-)[ ]?[0-9]{1,5})?",
            # International, with its country code: +44 20 7946 0958.
            # Only the first group may be a single digit: +33 1 23 45 67 89, +49 (0)30 123456.
            r"|(?:[+][1-9][0-9]{0,2}|00[1-9][0-9]{0,2}[ -])[ .-]?[(]?[0-9]{1,5}[)]?(?:[ .()-]{0,2}[0-9]{2,5}){1,5}",
            # North American, where signs set it apart from other ten digits: (415) 555-2671.
            r"|(?:1[ .-])?[(]?[2-9][0-9]{2}[)]?[ .-][ ]?[2-9][0-9]{2}[.-][0-9]{4}",
            r")(?![0-9])(?![.][0-9])",
            # A mobile right behind the number of a list's item; the check tells it from a decimal.
            r"|(?<=[0-9][.])1[3-9][0-9]{9}(?![0-9])(?![.][0-9])",
        )
    ),
    re.IGNORECASE,
)

_LOOK_BACK = 48
_ORDER_BACK = 24
_LONGEST = 19
_MOST_PHONE_DIGITS = 15  # ITU-T E.164
#: So many groups behind a window are looked at.
_MOST_MORE = 6
#: Digits of the groups of a local number that is complete; what follows it is something else.
_WHOLE = frozenset(((7,), (8,), (3, 4), (4, 4), (3, 3, 4)))
_NOT_DIGITS = re.compile(r"[^0-9]")


class Group(NamedTuple):
    """Digits that stand together: where, and which."""

    start: int
    end: int
    digits: str


class Window(NamedTuple):
    """Neighbouring groups as one number, the text right before it, and whether it stands in words (幺三八).

    `more` are the groups that follow with as little between them.
    """

    plain: str
    groups: Sequence[Group]
    digits: str
    before: str
    spoken: bool
    more: Sequence[Group] = ()

    @property
    def start(self) -> int:
        """Where the first group starts."""
        return self.groups[0].start

    @property
    def end(self) -> int:
        """Where the last group ends."""
        return self.groups[-1].end

    def is_order(self) -> bool:
        """Whether the text says that this is the number of an order or a thing."""
        return ORDER_BEFORE.search(self.before[-_ORDER_BACK:]) is not None


def find(view: View) -> Iterator[Span]:
    """Identity numbers, bank cards and phones among the digits of a text."""
    plain = view.plain
    if not _ENOUGH.search(plain):
        return
    after = 0
    for chain in _CHAIN.finditer(plain):
        if chain.end() - chain.start() < 7 or chain.end() <= after:
            continue
        groups = [Group(match.start(), match.end(), match[0]) for match in _GROUP.finditer(plain, *chain.span())]
        for span in find_in_chain(plain, groups, after):
            yield span
            after = span.end


def find_in_chain(plain: str, groups: Sequence[Group], after: int = 0, spoken: bool = False) -> Iterator[Span]:
    """The values among the groups of one chain; text before `after` belongs to an earlier value."""
    gap = _PAUSE if spoken else _NARROW
    narrow = [gap.fullmatch(plain, group.end, follows.start) is not None for group, follows in pairwise(groups)]
    index = 0
    while index < len(groups):
        start = groups[index].start
        if start < after:
            index += 1
            continue
        before = plain[max(after, start - _LOOK_BACK) : start]
        span = _by_window(plain, groups, narrow, index, before, spoken)
        if (not span or span.kind == "phone") and not spoken and _may_begin_phone(groups, index, before):
            # +44 20 7946 0958 begins with what could be a local number: the longer one is the whole.
            form = _phone_by_form(plain, start, before)
            if form and (not span or form.end > span.end):
                span = form
        index += 1
        if span:
            yield span
            after = span.end
            while index < len(groups) and groups[index].start < span.end:
                index += 1


def _by_window(
    plain: str, groups: Sequence[Group], narrow: Sequence[bool], index: int, before: str, spoken: bool
) -> Span | None:
    """The value that some groups from `index` on make together, if any; none inside a word or a decimal."""
    if _in_word(before) or _DECIMAL_BEFORE.search(before[-2:]):
        return None
    digits = ""
    last_of: dict[int, int] = {}
    last = index
    while True:
        digits += groups[last].digits
        if len(digits) > _LONGEST:
            break
        last_of[len(digits)] = last
        last += 1
        if last == len(groups) or not narrow[last - 1]:
            break
    if len(digits) < 7:
        return None
    asked = [(order, -length, length) for length in last_of for order in _ASKED.get(length, ())]
    if len(last_of) > 1:
        asked.sort()
    for order, _, length in asked:
        _, looks_right, recognise = _WINDOWS[order]
        if looks_right(digits[:length]):
            after = last_of[length] + 1
            more = groups[after : _chain_end(narrow, after)]
            window = Window(plain, groups[index:after], digits[:length], before, spoken, more)
            if span := recognise(window):
                return span
    return None


def _chain_end(narrow: Sequence[bool], index: int) -> int:
    """Behind the last group that little separates from the one before `index`, `_MOST_MORE` ahead at most."""
    end = index
    while end <= len(narrow) and end - index < _MOST_MORE and narrow[end - 1]:
        end += 1
    return end


def _in_word(before: str) -> bool:
    return bool(before) and (before[-1] == "_" or (before[-1].isascii() and before[-1].isalnum()))


def _word_follows(plain: str, end: int) -> bool:
    return end < len(plain) and plain[end].isascii() and plain[end].isalnum()


def _identity(window: Window) -> Span | None:
    """18 characters of GB 11643-1999: province, day of birth, and the check character of ISO 7064 MOD 11-2."""
    digits, end = window.digits, window.end
    if len(digits) == 17:
        sign = _CHECK_X.match(window.plain, end)
        if not sign:
            return None
        digits, end = digits + "X", sign.end()
    if _word_follows(window.plain, end):
        return None
    # The permanent residence card of foreigners (2023) has a 9 before two digits of the province.
    province = digits[:2] in PROVINCES or (digits[0] == "9" and digits[1:3] in PROVINCES)
    born = digits[6:8] in {"18", "19", "20"} and is_date(digits[6:14])
    if province and born and mod11_2(digits):
        return Span(window.start, end, "china_id", digits)
    called = _IDENTITY_BEFORE.search(window.before) is not None and not window.is_order()
    if called and (province or born):
        return Span(window.start, end, "china_id", digits, near_miss=True)
    return None


def _old_identity(window: Window) -> Span | None:
    """15 digits, in use until 2013: no century and no check character, so a word must say what they are."""
    digits = window.digits
    right = digits[:2] in PROVINCES and is_date("19" + digits[6:12]) and not _word_follows(window.plain, window.end)
    if right and _IDENTITY_BEFORE.search(window.before):
        return Span(window.start, window.end, "china_id", digits)
    return None


def _holds_a_card(window: Window) -> bool:
    """Whether the first groups are a whole card, and what follows stands apart from them: another number."""
    digits = ""
    gaps = [window.plain[group.end : follows.start] for group, follows in pairwise(window.groups)]
    for place, gap in enumerate(gaps):
        digits += window.groups[place].digits
        if (place == 0 or gap != gaps[0]) and _CARD.fullmatch(digits) and luhn(digits):
            return True
    return False


def _card(window: Window) -> Span | None:
    # Groups of one or two digits are a table or a list of numbers, unless they are the last.
    if any(len(group.digits) < 3 for group in window.groups[:-1]) and not window.spoken:
        return None
    if not _CARD.fullmatch(window.digits) or window.is_order():
        return None
    if _holds_a_card(window):
        return None
    if luhn(window.digits):
        return Span(window.start, window.end, "bank_card", window.digits)
    if _CARD_BEFORE.search(window.before):
        return Span(window.start, window.end, "bank_card", window.digits, near_miss=True)
    return None


def _phone_by_window(window: Window) -> Span | None:
    """A phone whose form says little: grouped in its own way, spoken, or a local number after a word for phone."""
    plain, digits, spoken = window.plain, window.digits, window.spoken
    shape = tuple(len(group.digits) for group in window.groups)
    mobile = _MOBILE.fullmatch(digits) is not None
    said = spoken and len(digits) >= 10 and (_LANDLINE.fullmatch(digits) or _NORTH_AMERICAN.fullmatch(digits))
    in_turns = BRIDGE in plain[window.start : window.end] and shape == (3, 4, 4)
    if not (mobile and (spoken or in_turns)) and not said:
        # Nothing but a word before it makes this a phone: grouped in its own way, or a local number.
        local = (
            7 <= len(digits) <= (12 if spoken else 8) and digits[0] not in "01" and (spoken or len(window.groups) <= 3)
        ) or (shape == (3, 3, 4) and _NORTH_AMERICAN.fullmatch(digits) is not None)
        if (
            not (mobile or local)
            or _PHONE_BEFORE.search(window.before) is None
            or (len(digits) == 8 and is_date(digits))
            or (shape[0] == 4 and digits[:2] in {"19", "20"} and len(shape) > 2 and max(shape[1:3]) <= 2)
        ):
            return None
    if window.is_order() or (
        not spoken and (plain[window.end : window.end + 1] == "." or _word_follows(plain, window.end))
    ):
        return None
    start, end = window.start - (window.before[-1:] == "+"), window.end
    rest = "".join(group.digits for group in window.more)
    if (
        rest
        and not spoken
        and not mobile
        and shape not in _WHOLE
        and len(digits + rest) <= _MOST_PHONE_DIGITS
        and len(window.more) < _MOST_MORE
    ):
        # 86 10 6234 5678 after a word for phone: nothing says that the number ends with its first eight digits.
        digits, end = digits + rest, window.more[-1].end
    return Span(start, end, "phone", canonical_phone(digits))


def _may_be_identity(digits: str) -> bool:
    return digits[6:8] in {"18", "19", "20"} or digits[:2] in PROVINCES


def _may_be_card(digits: str) -> bool:
    return _CARD.fullmatch(digits) is not None


def _may_be_old_identity(digits: str) -> bool:
    return digits[:2] in PROVINCES and digits[8:10] <= "12" and digits[10] <= "3"


def _may_be_phone(digits: str) -> bool:
    return digits[0] not in "01" or _MOBILE.fullmatch(digits) is not None or _LANDLINE.fullmatch(digits) is not None


#: Numbers of digits, a cheap look at them, and the recogniser for windows that have as many, in the order of asking.
_WINDOWS: tuple[tuple[Sequence[int], Callable[[str], bool], Callable[[Window], Span | None]], ...] = (
    ((18, 17), _may_be_identity, _identity),
    (range(19, 13, -1), _may_be_card, _card),
    ((15,), _may_be_old_identity, _old_identity),
    (range(15, 6, -1), _may_be_phone, _phone_by_window),
)
#: Which of them to ask, by the number of digits.
_ASKED = {
    length: tuple(order for order, (lengths, _, _) in enumerate(_WINDOWS) if length in lengths)
    for length in range(7, _LONGEST + 1)
}


def _may_begin_phone(groups: Sequence[Group], index: int, before: str) -> bool:
    """A cheap look before `_PHONE`: it begins with a sign, with three digits, or with 1 or 86 and three digits."""
    if len(groups[index].digits) >= 3 or before[-1:] in ("+", "("):
        return True
    return groups[index].digits in {"1", "86"} and index + 1 < len(groups) and len(groups[index + 1].digits) >= 3


def _phone_by_form(plain: str, start: int, before: str) -> Span | None:
    """A phone as people write it, from one group on, with the signs that may stand before it."""
    first = start
    while first > 0 and start - first < 2 and plain[first - 1] in "+(":
        first -= 1
    for place in range(first, start + 1):
        match = _PHONE.match(plain, place)
        if match and _is_phone(_NOT_DIGITS.sub("", match[0]), before[: len(before) - (start - place)]):
            return Span(place, match.end(), "phone", canonical_phone(_NOT_DIGITS.sub("", match[0])))
    return None


def _is_phone(digits: str, before: str) -> bool:
    # ITU-T E.164 allows 15 digits; two more for the 00 that some write instead of +, five for an extension.
    if not 7 <= len(digits) <= 22 or ORDER_BEFORE.search(before[-_ORDER_BACK:]):
        return False
    if _DECIMAL_BEFORE.search(before[-2:]):
        return _LIST_NUMBER_BEFORE.search(before[-_ORDER_BACK:]) is not None
    # A group of four digits right before: this is the rest of a longer number. A mobile number stands for itself.
    return _MOBILE.fullmatch(digits) is not None or _GROUP_BEFORE.search(before[-6:]) is None


def canonical_phone(digits: str) -> str:
    """The digits of a phone without the 00 and the country code of the mainland."""
    digits = digits.removeprefix("00")
    return digits.removeprefix("86") if re.fullmatch(r"86(?:1[3-9][0-9]{9}|0?[1-9][0-9]{8,11})", digits) else digits
