"""Numbers of documents: identity cards of Hong Kong, Macau and Taiwan, permits, passports, company codes, IBANs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from danlu.data.mask.checksums import IBAN_LENGTHS, credit_code, hong_kong, iban, organisation_code, taiwan
from danlu.data.mask.lexicons import words
from danlu.data.mask.numbers import ORDER_BEFORE, PROVINCES
from danlu.data.mask.spans import Span
from danlu.data.mask.view import View

_START = r"(?<![0-9A-Za-z_])"
_END = r"(?![0-9A-Za-z_])"
_NOT_SIGNS = re.compile(r"[^0-9A-Za-z]")
_LOOK_BACK = 40
_LOOK_AHEAD = 16


class Form(NamedTuple):
    """One kind of document: how its number looks, its check, and the words of which one must stand near it.

    `check(number, beside)` gets the number in capitals without separators, and the text around it.
    """

    kind: str
    pattern: re.Pattern[str]
    check: Callable[[str, str], bool]


def _near(words: str) -> Callable[[str, str], bool]:
    compiled = re.compile(words, re.IGNORECASE)
    return lambda _number, beside: compiled.search(beside) is not None


_HONG_KONG_WORDS = re.compile(r"身份证|身份証|身分證|证件|香港|hkid|hong kong|identity|\bid\b", re.IGNORECASE)


def _hong_kong(number: str, beside: str) -> bool:
    return hong_kong(number) and _HONG_KONG_WORDS.search(beside) is not None


def _hong_kong_in_brackets(number: str, _beside: str) -> bool:
    return hong_kong(number)


def _taiwan(number: str, _beside: str) -> bool:
    return taiwan(number)


_IBAN_BEGINS = re.compile(rf"{_START}[A-Za-z]{{2}}[0-9]{{2}}")


def _iban(plain: str, place: int) -> Span | None:
    """An IBAN: as many signs as its country says, in groups or not."""
    if not _IBAN_BEGINS.match(plain, place):
        return None
    left = IBAN_LENGTHS.get(plain[place : place + 2].upper(), 0)
    end = place
    while left and end < len(plain):
        if plain[end].isascii() and plain[end].isalnum():
            left -= 1
        elif plain[end] not in " -" or plain[end - 1] in " -":
            return None
        end += 1
    number = _NOT_SIGNS.sub("", plain[place:end]).upper()
    follows = end < len(plain) and plain[end].isascii() and plain[end].isalnum()
    return Span(place, end, "iban", number) if not follows and iban(number) else None


#: Registering department and kind of body: the first two characters of a social credit code (GB 32100-2015, table 1).
_BODIES = frozenset(
    words(
        "11 12 13 19 21 29 31 32 33 34 35 39 41 49 51 52 53 54 55 59 61 62 69 71 72 79 81 89 91 92 93 A1 A9 N1 N2 "
        "N3 N9 Y1"
    )
)


def _credit(number: str, _beside: str) -> bool:
    if number[:2] not in _BODIES or not (number[2:4] in PROVINCES or number[2:4] == "10") or not credit_code(number):
        return False
    # Digits alone pass by chance once in 31 times: the organisation code inside has a check of its own.
    return not number.isdigit() or organisation_code(number[8:17])


_PERMIT = _near(r"通行证|通行証|回乡证|回鄉證|台胞证|臺胞證|往来|港澳|permit|home return|mainland travel|\bmtp\b")
_PASSPORT = _near(r"护照|護照|passport")
_MACAU = _near(r"澳门|澳門|身份证|身份證|macau|macao|\bbir\b|\bid\b")

#: A kind is one row or several; the first row whose pattern and check fit wins. Sources: Immigration Department of Hong
#: Kong (HKID), Identification Bureau of Macau (BIR: first digit 1, 5 or 7; its check digit is not published),
#: National Immigration Administration (permits: H and M for residents of Hong Kong and Macau, C, W and L for
#: mainlanders; passports: E or G and eight digits, or E, a letter and seven).
_FORMS = (
    Form(
        "credit_code",
        re.compile(rf"{_START}[1-9ANY][1-9][0-9]{{6}}[0-9A-HJ-NPQRTUWXYa-hj-npqrtuwxy]{{10}}{_END}"),
        _credit,
    ),
    Form(
        "hong_kong_id", re.compile(rf"{_START}[A-Za-z]{{1,2}}[ ]?[0-9]{{6}}[ ]?[(][0-9Aa][)]"), _hong_kong_in_brackets
    ),
    Form("hong_kong_id", re.compile(rf"{_START}[A-Za-z]{{1,2}}[0-9]{{6}}[0-9Aa]{_END}"), _hong_kong),
    Form("taiwan_id", re.compile(rf"{_START}[A-Z](?:[1289]|[A-D])[0-9]{{8}}{_END}"), _taiwan),
    Form("travel_permit", re.compile(rf"{_START}[HMCWLhmcwl](?:[0-9]{{10}}|[A-Za-z]?[0-9]{{7,8}}){_END}"), _PERMIT),
    Form(
        "travel_permit",
        re.compile(rf"{_START}[0-9]{{8}}(?:[0-9]{{2}}[ ]?(?:[(][A-Za-z][)]|[A-Za-z])?)?(?![0-9A-Za-z年月/-])"),
        _PERMIT,
    ),
    Form("macau_id", re.compile(rf"{_START}[157](?:[0-9]{{6}}[ ]?[(][0-9][)]|/[0-9]{{6}}/[0-9]){_END}"), _MACAU),
    Form(
        "passport",
        re.compile(
            rf"{_START}(?:[EGDSPHMegdsphm][0-9]{{8}}|[Ee][A-Za-z][0-9]{{7}}|1[45][0-9]{{7}}"
            rf"|[A-Za-z]{{0,2}}[0-9]{{6,9}}[A-Za-z]?){_END}"
        ),
        _PASSPORT,
    ),
)

_LETTERED = tuple(form for form in _FORMS if form.kind not in {"macau_id"})
_BARE = tuple(form for form in _FORMS if form.kind not in {"hong_kong_id", "taiwan_id"})

#: Where one of them may start: up to two letters, then enough digits.
_CANDIDATE = re.compile(r"[0-9](?:[0-9]{5}|[0-9][ -]?[0-9A-Za-z]{4}|/[0-9]{6})")


def find(view: View) -> Iterator[Span]:
    """Documents with a form of their own."""
    plain = view.plain
    done = 0
    for match in _CANDIDATE.finditer(plain):
        if match.start() < done:
            continue
        start = match.start()
        while start > done and match.start() - start < 3 and (plain[start - 1] == " " or _is_letter(plain[start - 1])):
            start -= 1
        for place in range(start, match.start() + 1):
            if span := _at(plain, place):
                yield span
                done = span.end
                break
        else:
            # The digits of this run start nothing: go behind them.
            done = match.end()
            while done < len(plain) and plain[done].isdigit():
                done += 1


def _is_letter(sign: str) -> bool:
    return sign.isascii() and sign.isalpha()


def _at(plain: str, place: int) -> Span | None:
    if plain[place] == " ":
        return None
    letter = _is_letter(plain[place])
    if letter and (span := _iban(plain, place)):
        return span
    if place and (plain[place - 1] == "_" or (plain[place - 1].isascii() and plain[place - 1].isalnum())):
        return None
    for form in _LETTERED if letter else _BARE:
        match = form.pattern.match(plain, place)
        if not match:
            continue
        number = _NOT_SIGNS.sub("", match[0]).upper()
        before = plain[max(0, place - _LOOK_BACK) : place]
        beside = f"{before} {plain[match.end() : match.end() + _LOOK_AHEAD]}"
        if form.check(number, beside) and not ORDER_BEFORE.search(before[-24:]):
            return Span(place, match.end(), form.kind, number)
    return None
