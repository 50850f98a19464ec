"""Check digits and characters, each with the standard that defines it.

Every function takes the value without separators and says whether its last character follows from the others. A value
of the wrong form is not right, and no error: these are asked about whatever a text contains.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

#: Values of digits and letters in ISO 7064 and ISO 13616: 0 to 9, then A is 10 and Z is 35.
_VALUE = {sign: value for value, sign in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")}

#: What Luhn's doubling makes of each digit: 6 doubled is 12, and 1 + 2 is 3.
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

#: Characters of GB 32100-2015: no I, O, S, V and Z, which people misread.
_CREDIT_VALUE = {sign: value for value, sign in enumerate("0123456789ABCDEFGHJKLMNPQRTUWXY")}
#: Weights of GB 32100-2015: powers of 3 modulo 31.
_CREDIT_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
#: Weights of GB 11714-1997 for the organisation code, which is characters 9 to 17 of a social credit code.
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)

#: Two digits for the letter of a Taiwanese identity number, by the county that issued it (Ministry of the Interior).
_TAIWAN_LETTER = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (10, 11, 12, 13, 14, 15, 16, 17, 34, 18, 19, 20, 21, 22, 35, 23, 24, 25, 26, 27, 28, 29, 32, 30, 31, 33),
        strict=True,
    )
)

#: Lengths of IBANs by country: the IBAN registry of SWIFT (ISO 13616-2), countries whose numbers people do write.
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20,
}  # fmt: skip


def luhn(digits: str) -> bool:
    """Luhn's check digit: ISO/IEC 7812-1, annex B."""
    if not digits.isdigit():
        return False
    right_to_left = [int(digit) for digit in reversed(digits)]
    return (sum(right_to_left[::2]) + sum(_DOUBLED[digit] for digit in right_to_left[1::2])) % 10 == 0


def mod11_2(value: str) -> bool:
    """ISO 7064 MOD 11-2 over digits, where the last may be X for 10; GB 11643-1999 uses it for identity numbers."""
    body, check = value[:-1], value[-1:].upper()
    if not body.isdigit() or not (check.isdigit() or check == "X"):
        return False
    total = 0
    for digit in body:
        total = (total + int(digit)) * 2 % 11
    return (total + (10 if check == "X" else int(check))) % 11 == 1


def mod97(value: str) -> bool:
    """ISO 7064 MOD 97-10 over digits and letters (A is 10, Z is 35), the two check digits last."""
    value = value.upper()
    if len(value) < 3 or not all(sign in _VALUE for sign in value):
        return False
    return int("".join(str(_VALUE[sign]) for sign in value)) % 97 == 1


def iban(value: str) -> bool:
    """Whether this is an IBAN: its country's length, and MOD 97-10 with the first four characters moved to the end."""
    return IBAN_LENGTHS.get(value[:2].upper()) == len(value) and value[2:4].isdigit() and mod97(value[4:] + value[:4])


def _dihedral(first: int, second: int) -> int:
    """The product in the dihedral group of order 10, on which Verhoeff's code stands."""
    turn = first + second if first < 5 else first - second
    return turn % 5 + (5 if (first < 5) != (second < 5) else 0)


#: Verhoeff's permutation and its powers by place, which repeat after eight.
_VERHOEFF = [tuple(range(10)), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)]
while len(_VERHOEFF) < 8:
    _VERHOEFF.append(tuple(_VERHOEFF[-1][digit] for digit in _VERHOEFF[1]))


def verhoeff(digits: str) -> bool:
    """Verhoeff's check digit (J. Verhoeff, Error Detecting Decimal Codes, 1969)."""
    if not digits.isdigit():
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        total = _dihedral(total, _VERHOEFF[place % 8][int(digit)])
    return total == 0


def is_date(digits: str) -> bool:
    """Whether eight digits are a day of the calendar, year first."""
    try:
        datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return True


def hong_kong(value: str) -> bool:
    """The check digit of a Hong Kong identity card: one or two letters, six digits, the check digit (10 is A).

    Weights run from 9 (or 8 for one letter, after a space that counts 36) down to 1; the sum is a multiple of 11.
    """
    value = value.upper().rjust(9)
    if not value[1].isalpha() or not value[2:8].isdigit() or value[8] not in "0123456789A":
        return False
    total = 9 * (36 if value[0] == " " else _VALUE.get(value[0], 0)) + 8 * _VALUE[value[1]] + _VALUE[value[8]]
    return (
        total + sum(int(digit) * weight for digit, weight in zip(value[2:8], range(7, 1, -1), strict=True))
    ) % 11 == 0


def taiwan(value: str) -> bool:
    """The check digit of a Taiwanese identity or resident number: a letter and nine digits, or two letters and eight.

    Numbers of residents before 2021 have A to D where others have a digit; they count 0 to 3.
    """
    value = value.upper()
    if len(value) != 10 or value[0] not in _TAIWAN_LETTER or not value[2:].isdigit() or value[1] not in "1289ABCD":
        return False
    county = _TAIWAN_LETTER[value[0]]
    second = int(value[1]) if value[1].isdigit() else "ABCD".index(value[1])
    total = county // 10 + county % 10 * 9 + second * 8
    return (total + sum(int(digit) * (7 - place) for place, digit in enumerate(value[2:9])) + int(value[9])) % 10 == 0


def credit_code(value: str) -> bool:
    """The check character of a unified social credit code of 18 characters (GB 32100-2015)."""
    values = [_CREDIT_VALUE.get(sign, -1) for sign in value.upper()]
    if len(values) != 18 or -1 in values:
        return False
    total = sum(value * weight for value, weight in zip(values[:17], _CREDIT_WEIGHTS, strict=True))
    return (31 - total % 31) % 31 == values[17]


def organisation_code(value: str) -> bool:
    """The check character of an organisation code of nine characters (GB 11714-1997)."""
    values = [_VALUE.get(sign, -1) for sign in value[:8].upper()]
    if len(value) != 9 or -1 in values:
        return False
    total = sum(value * weight for value, weight in zip(values, _ORGANISATION_WEIGHTS, strict=True))
    return "0X987654321"[total % 11] == value[8].upper()


def _anything(_value: str) -> bool:
    return True


def _over_digits(check: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda value: check("".join(filter(str.isdigit, value)))


#: The checksums that a user's own pattern may ask for. Those that know digits only pass over letters, such as a prefix.
CHECKSUMS: dict[str, Callable[[str], bool]] = {
    "none": _anything,
    "luhn": _over_digits(luhn),
    "mod11_2": mod11_2,
    "mod97": mod97,
    "verhoeff": _over_digits(verhoeff),
}
