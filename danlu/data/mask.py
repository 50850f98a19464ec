"""Personal data becomes a type token: whole values, never parts of them.

One compiled expression finds candidates for every kind at once; a candidate counts only if its check holds
(a date and MOD 11-2 for identity numbers, Luhn for bank cards), so that order numbers and timestamps stay. Digits
and signs of full width are read as their ASCII forms; the text around a value is not touched.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_FULL_WIDTH = {ord("０") + digit: ord("0") + digit for digit in range(10)}
_FULL_WIDTH |= {ord("Ａ") + letter: ord("A") + letter for letter in range(26)}
_FULL_WIDTH |= {ord("ａ") + letter: ord("a") + letter for letter in range(26)}
_FULL_WIDTH |= {ord(wide): ord(narrow) for wide, narrow in zip("＠．＋－＿（）　﹣‐‑–—", "@.+-_() -----", strict=True)}

#: Most texts have neither a long number nor an address in them: one cheap look saves the rest.
_LONG_NUMBER = re.compile(r"[0-9０-９](?:[^0-9０-９]{0,3}[0-9０-９]){6}")
#: What may stand right before the sign is what `_EMAIL` allows there.
_ADDRESS = re.compile(r"[0-9A-Za-z._%+０-９Ａ-Ｚａ-ｚ．＿＋－﹣‐‑–—-][@＠][0-9A-Za-z０-９Ａ-Ｚａ-ｚ]")

#: A word right before a number that says it is no card and no phone.
_ORDER_BEFORE = re.compile(
    r"(?:订单|定单|单号|运单|流水|货号|型号|条码|编码|order|tracking|invoice|serial|sku|isbn)"
    r"(?:[\s:：#=.]|号|码|编|是|为|number|no|id){0,10}$",
    re.IGNORECASE,
)

_GROUP_BEFORE = re.compile(r"(?<![0-9])[0-9]{4}[ -]$")
_MOBILE = re.compile(r"(?:00)?(?:86)?1[3-9][0-9]{9}")

#: `1.` before a number: a decimal, unless it numbers an item of a list, at the start of a line or after another value.
_DECIMAL_BEFORE = re.compile(r"[0-9][.]$")
_LIST_NUMBER_BEFORE = re.compile(r"(?:^|[\n;；、。])[\s,，;；、。]*[1-9][0-9]?[.]$")

#: A word shortly before 15 digits that says they are an identity number: the old form has no checksum.
_IDENTITY_BEFORE = re.compile(r"(?:身份证|证件|证号|居民证|\bid\b|identity)[^0-9]{0,12}$", re.I)

#: First two digits of an identity number: province-level codes of GB/T 2260, and the three of residence permits.
_PROVINCES = frozenset(
    str(code)
    for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65), (71, 71), (81, 83))
    for code in range(first, last + 1)
)

#: Weights of ISO 7064 MOD 11-2 as GB 11643-1999 lists them, and the check character for each remainder.
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECK = "10X98765432"

#: Issuer prefixes with the lengths in use: UnionPay, Visa, Mastercard, American Express, JCB, Discover, and the older
#: debit cards of ICBC.
_CARD = re.compile(
    r"62[0-9]{14,17}|4[0-9]{15}|5[1-5][0-9]{14}|2(?:2[2-9]|[3-6][0-9]|7[01])[0-9]{13}|3[47][0-9]{13}"
    r"|35[2-8][0-9]{13}|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12}|9558[0-9]{15}"
)


@dataclass(frozen=True, kw_only=True)
class Entity:
    """One kind of personal data: what replaces it, how it looks, and the check that a candidate must pass.

    `check(value, before)` gets the candidate's digits and letters without separators, and the text before it.
    """

    token: str
    pattern: str
    check: Callable[[str, str], bool]


def luhn(digits: str) -> bool:
    """Whether the last digit is right by ISO/IEC 7812-1 (Luhn)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def identity_check(digits: str) -> bool:
    """Whether the 18th character of an identity number is right by ISO 7064 MOD 11-2 (GB 11643-1999)."""
    total = sum(int(digit) * weight for digit, weight in zip(digits[:17], _ID_WEIGHTS, strict=True))
    return _ID_CHECK[total % 11] == digits[17].upper()


def _is_china_id(digits: str, before: str) -> bool:
    if digits[:2] not in _PROVINCES:
        return False
    if len(digits) == 18:
        return _is_date(digits[6:14]) and identity_check(digits)
    return _is_date("19" + digits[6:12]) and _IDENTITY_BEFORE.search(before) is not None


def _is_date(digits: str) -> bool:
    try:
        datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return True


def _is_bank_card(digits: str, before: str) -> bool:
    return _CARD.fullmatch(digits) is not None and luhn(digits) and _ORDER_BEFORE.search(before) is None


def _is_phone(digits: str, before: str) -> bool:
    # ITU-T E.164 allows 15 digits; two more for the 00 that some write instead of +, five for an extension.
    if not 7 <= len(digits) <= 22 or _ORDER_BEFORE.search(before):
        return False
    if _DECIMAL_BEFORE.search(before):
        return _LIST_NUMBER_BEFORE.search(before) is not None
    # A group of four digits right before: this is the rest of a longer number. A mobile number stands for itself.
    return _MOBILE.fullmatch(digits) is not None or _GROUP_BEFORE.search(before) is None


def _always(_digits: str, _before: str) -> bool:
    return True


_NOT_IN_WORD = r"(?<![0-9A-Za-z_])(?<![0-9][.])"

_EMAIL = r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}[.])+[A-Za-z]{2,18}"
_CHINA_ID = (
    rf"{_NOT_IN_WORD}[1-9][0-9]{{5}}(?:[ -]?(?:18|19|20)[0-9]{{6}}[ -]?[0-9]{{3}}[0-9Xx]|[0-9]{{9}})(?![0-9A-Za-z])"
)
_BANK_CARD = (
    rf"{_NOT_IN_WORD}(?:[2-69][0-9]{{3}}[ -]?[0-9]{{4}}[ -]?[0-9]{{4}}[ -]?[0-9]{{3,4}}(?:[ -]?[0-9]{{1,3}})?"
    r"|3[47][0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{5})(?![0-9])"
)
_PHONE = "".join(
    (
        rf"(?:{_NOT_IN_WORD}|(?<=tel)|(?<=phone)|(?<=mobile)|(?<=cell)|(?<=wx)|(?<=vx)|(?<=qq))(?:",
        # Mainland mobile: 138 0013 8000.
        r"(?:(?:[+]|00)?[(]?86[)]?[ -]?)?1[3-9][0-9](?:[0-9]{8}|[ -][0-9]{4}[ -]?[0-9]{4}|[.][0-9]{4}[.][0-9]{4})",
        # Mainland landline with its area code, and an extension: (010) 6234 5678 转 801.
        r"|(?:(?:[+]|00)86[ -]?)?[(]?0(?:10|2[0-9]|[3-9][0-9]{2})[)]?[ -]?[2-9][0-9]{2,3}[ -]?[0-9]{4}",
        r"(?:[ ]?(?:转|ext[.]?|-)[ ]?[0-9]{1,5})?",
        # International, with its country code: +44 20 7946 0958.
        r"|(?:[+][1-9][0-9]{0,2}|00[1-9][0-9]{0,2}[ -])(?:[ .()-]{0,2}[0-9]{2,5}){2,5}",
        # North American, where signs set it apart from other ten digits: (415) 555-2671.
        r"|(?:1[ .-])?[(]?[2-9][0-9]{2}[)]?[ .-][ ]?[2-9][0-9]{2}[.-][0-9]{4}",
        r")(?![0-9])(?![.][0-9])",
        # A mobile right behind the number of a list's item; the check tells it from a decimal.
        r"|(?<=[0-9][.])1[3-9][0-9]{9}(?![0-9])(?![.][0-9])",
    )
)

#: A kind of personal data is one row here. At one place of a text, the first row whose check holds wins.
ENTITIES: dict[str, Entity] = {
    "email": Entity(token="[EMAIL]", pattern=_EMAIL, check=_always),
    "china_id": Entity(token="[CHINA_ID]", pattern=_CHINA_ID, check=_is_china_id),
    "bank_card": Entity(token="[BANK_CARD]", pattern=_BANK_CARD, check=_is_bank_card),
    "phone": Entity(token="[PHONE]", pattern=_PHONE, check=_is_phone),
}

_EACH = {name: re.compile(entity.pattern, re.IGNORECASE) for name, entity in ENTITIES.items()}
_ANY = re.compile("|".join(f"(?:{entity.pattern})" for entity in ENTITIES.values()), re.IGNORECASE)
_SEPARATORS = re.compile(r"[^0-9A-Za-z]")
_LOOK_BACK = 24


def mask(text: str, kinds: Iterable[str] = tuple(ENTITIES)) -> tuple[str, Counter[str]]:
    """`text` with each value of the `kinds` replaced by its token, and how many of each there were."""
    found: Counter[str] = Counter()
    if not _LONG_NUMBER.search(text) and not (("@" in text or "＠" in text) and _ADDRESS.search(text)):
        return text, found
    plain = text if text.isascii() else text.translate(_FULL_WIDTH)
    wanted = frozenset(kinds)
    pieces: list[str] = []
    done = position = after = 0
    while candidate := _ANY.search(plain, position):
        start = candidate.start()
        # Text before the last value tells nothing about this one.
        kind, end = _recognise(plain, start, max(after, start - _LOOK_BACK))
        position = end
        after = end if kind else after
        if kind in wanted:
            pieces += [text[done:start], ENTITIES[kind].token]
            done = end
            found[kind] += 1
    if not pieces:
        return text, found
    return "".join(pieces) + text[done:], found


def _recognise(plain: str, start: int, context: int) -> tuple[str, int]:
    """The kind of value that starts here and where it ends; no kind and the next place when no check holds.

    The checks see what lies before the value, from `context` on.
    """
    before = plain[context:start]
    for kind, entity in ENTITIES.items():
        match = _EACH[kind].match(plain, start)
        if match and entity.check(_SEPARATORS.sub("", match[0]), before):
            return kind, match.end()
    return "", start + 1
