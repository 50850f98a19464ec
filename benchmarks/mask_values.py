"""Personal data for `benchmarks/mask.py`, by the standards' formulas.

Nothing here uses Danlu: check digits are computed anew, in another way than the masker checks them, so that an error in
one is not hidden by the same error in the other.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable

Maker = Callable[[random.Random], str]


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


def digits(draw: random.Random, count: int) -> str:
    return "".join(draw.choices(string.digits, k=count))


_DISTRICTS = words(
    "110105 120101 130502 210211 230103 310115 320583 330106 350203 370202 410105 420106 430104 440305 440106 "
    "500112 510107 530102 610113 650102"
)


def china_id(draw: random.Random) -> str:
    """GB 11643-1999: the check character by the weights 2^(17-i) mod 11."""
    body = (
        draw.choice(_DISTRICTS)
        + f"{draw.randint(1935, 2018)}{draw.randint(1, 12):02d}{draw.randint(1, 28):02d}"
        + digits(draw, 3)
    )
    total = sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(body))
    return body + "10X98765432"[total % 11]


def bank_card(draw: random.Random) -> str:
    """ISO/IEC 7812: an issuer's prefix and the Luhn digit, which makes the doubled sum a multiple of ten."""
    prefix, length = draw.choice(
        (
            ("622202", 19),
            ("621700", 19),
            ("622588", 16),
            ("625965", 16),
            ("4", 16),
            ("51", 16),
            ("55", 16),
            ("2720", 16),
            ("37", 15),
            ("3528", 16),
            ("6011", 16),
        )
    )
    body = prefix + digits(draw, length - 1 - len(prefix))
    total = 0
    for place, digit in enumerate(body[::-1]):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled // 10 + doubled % 10
    return body + str(-total % 10)


def grouped_card(draw: random.Random) -> str:
    """A card as it is printed: groups of four."""
    card = bank_card(draw)
    if len(card) == 15:
        return f"{card[:4]} {card[4:10]} {card[10:]}"
    sign = draw.choice(" -")
    return sign.join(card[start : start + 4] for start in range(0, len(card), 4))


def spaced_id(draw: random.Random) -> str:
    """An identity number with a space or a line break after place and birthday."""
    number = china_id(draw)
    sign = draw.choice((" ", "\n"))
    return f"{number[:6]}{sign}{number[6:14]}{sign}{number[14:]}"


def wide_id(draw: random.Random) -> str:
    """An identity number in signs of full width."""
    return "".join(chr(ord(sign) + 0xFEE0) for sign in china_id(draw))


def hong_kong_id(draw: random.Random) -> str:
    """Hong Kong: (36 or letter) * 9 + letter * 8 + digits * 7..2 + check is a multiple of 11, A for ten."""
    letters = draw.choice("ABCDEGHKMPRSVYZ") if draw.random() < 0.8 else draw.choice(("WX", "XA", "XB"))
    body = digits(draw, 6)
    values = [36 if len(letters) == 1 else ord(letters[0]) - 55, ord(letters[-1]) - 55, *map(int, body)]
    rest = sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True)) % 11
    return f"{letters}{body}({'0123456789A'[(11 - rest) % 11]})"


def taiwan_id(draw: random.Random) -> str:
    """Taiwan: the letter's number, first digit once and second nine times, then weights 8 to 1 and 1."""
    letters = "ABCDEFGHJKLMNPQRSTUVXYWZIO"
    letter = draw.choice(letters)
    number = letters.index(letter) + 10
    body = draw.choice("1289") + digits(draw, 7)
    total = number // 10 + number % 10 * 9 + sum(int(digit) * (8 - place) for place, digit in enumerate(body))
    return f"{letter}{body}{-total % 10}"


def credit_code(draw: random.Random) -> str:
    """GB 32100-2015 around an organisation code of GB 11714-1997."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    organisation = (
        "".join(draw.choices("0123456789ABCDEFGHJKLMNPQRTUWXY", k=8)) if draw.random() < 0.6 else digits(draw, 8)
    )
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    rest = 11 - sum(int(sign, 36) * weight for sign, weight in zip(organisation, weights, strict=True)) % 11
    body = (
        draw.choice(("91", "92", "93", "51", "52", "12"))
        + draw.choice(_DISTRICTS)
        + organisation
        + ("X" if rest == 10 else "0" if rest == 11 else str(rest))
    )
    total = sum(alphabet.index(sign) * pow(3, place, 31) for place, sign in enumerate(body))
    return body + alphabet[-total % 31]


def iban(draw: random.Random) -> str:
    """ISO 13616: the check digits are 98 minus the remainder with 00 in their place."""
    country, form = draw.choice(
        (
            ("DE", "d18"),
            ("FR", "d20a1d2"),
            ("GB", "a4d14"),
            ("NL", "a4d10"),
            ("ES", "d20"),
            ("CH", "d17"),
            ("SA", "d20"),
            ("IT", "a1d22"),
        )
    )
    body = ""
    kind = ""
    number = ""
    for sign in form + "#":
        if sign.isdigit():
            number += sign
            continue
        if kind:
            body += "".join(draw.choices(string.digits if kind == "d" else string.ascii_uppercase, k=int(number)))
        kind, number = sign, ""
    moved = "".join(str(int(sign, 36)) for sign in body + country + "00")
    value = f"{country}{98 - int(moved) % 97:02d}{body}"
    return " ".join(value[start : start + 4] for start in range(0, len(value), 4)) if draw.random() < 0.5 else value


def mobile(draw: random.Random) -> str:
    """A mainland mobile number."""
    number = draw.choice(("135", "138", "150", "159", "166", "177", "186", "189", "191", "198")) + digits(draw, 8)
    return draw.choice(
        (
            number,
            f"{number[:3]} {number[3:7]} {number[7:]}",
            f"{number[:3]}-{number[3:7]}-{number[7:]}",
            f"+86 {number}",
        )
    )


def spoken_mobile(draw: random.Random) -> str:
    """A mainland mobile number in words."""
    number = "1" + draw.choice("3578") + digits(draw, 9)
    return "".join("零幺二三四五六七八九"[int(digit)] for digit in number)


def spoken_english(draw: random.Random) -> str:
    """Eleven digits of a mobile number in English words."""
    names = words("zero one two three four five six seven eight nine")
    return " ".join(names[int(digit)] for digit in "1" + draw.choice("3578") + digits(draw, 9))


def international(draw: random.Random) -> str:
    """American, British and German numbers as they are written there."""
    area, office, line = draw.randint(201, 989), draw.randint(200, 999), draw.randint(0, 9999)
    return draw.choice(
        (
            f"({area}) {office}-{line:04d}",
            f"+1 {area} {office} {line:04d}",
            f"+44 20 7{office} {line:04d}",
            f"+49 30 {office}{line:04d}",
        )
    )


def email(draw: random.Random) -> str:
    """An e-mail address."""
    name = "".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 9)))
    return (
        name
        + draw.choice(("", ".w", "_88", "2001"))
        + "@"
        + draw.choice(("qq.com", "163.com", "gmail.com", "mail.uni-x.edu.cn", "firma.de"))
    )


def ip(draw: random.Random) -> str:
    """An IP address of either version."""
    if draw.random() < 0.7:
        return ".".join(
            str(draw.choice((11, 36, 58, 101, 119, 172, 203, 221)) if place == 0 else draw.randint(1, 254))
            for place in range(4)
        )
    return ":".join(f"{draw.randint(1, 65535):x}" for _ in range(8))


def plate(draw: random.Random) -> str:
    """A mainland plate, new-energy ones too."""
    head = draw.choice("京沪粤浙苏川鲁鄂湘闽") + draw.choice("ABCDEFGH")
    return head + (
        draw.choice("DF") + digits(draw, 5)
        if draw.random() < 0.4
        else draw.choice(("", "·")) + digits(draw, 2) + draw.choice("ABCKMP") + digits(draw, 2)
    )


def api_key(draw: random.Random) -> str:
    """A key with an issuer's prefix."""
    signs = string.ascii_letters + string.digits
    prefix, count, alphabet = draw.choice(
        (
            ("AKIA", 16, string.ascii_uppercase + string.digits),
            ("ghp_", 36, signs),
            ("sk-", 40, signs),
            ("LTAI5t", 18, signs),
        )
    )
    return prefix + "".join(draw.choices(alphabet, k=count))


def passport(draw: random.Random) -> str:
    """A Chinese passport."""
    return (
        draw.choice("EG") + digits(draw, 8) if draw.random() < 0.7 else "E" + draw.choice("ABCDEFGH") + digits(draw, 7)
    )


def permit(draw: random.Random) -> str:
    """A permit of residents of Hong Kong and Macau."""
    return draw.choice("HM") + digits(draw, 8)


def qq(draw: random.Random) -> str:
    """A QQ number."""
    return str(draw.randint(10**5, 10**10 - 1))


def wechat(draw: random.Random) -> str:
    """A 微信 name."""
    return "".join(draw.choices(string.ascii_lowercase, k=4)) + draw.choice(("_", "-", "")) + digits(draw, 4)
