"""Texts that no one meant to read, told without a dictionary.

Four signs, each with its limit in `GibberishFilter`: one character again and again; encoded bytes (base64, hex); Latin
words whose pairs of letters English hardly has (mashed keys); Han characters that hardly anyone writes (bytes read in
the wrong encoding).
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise

from danlu.data.filters.config import GibberishFilter
from danlu.data.filters.document import Document

#: Addresses, mentions and tags: no prose, and no gibberish either.
_ADDRESS = re.compile(r"https?://\S+|www\.\S+|[A-Za-z0-9._%+-]{1,64}@\S+|[@#]\w+", re.ASCII)
_LONG_WORD = re.compile(r"[A-Za-z]{7,}")
#: Capitals and digits up to this length are a name of something, not a mashed key.
_LONGEST_ACRONYM = 12
#: Keys struck one beside the other, in either direction.
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_ROW_RUN = re.compile(
    "|".join(row[::way][at : at + 5] for row in _ROWS for way in (1, -1) for at in range(len(row) - 4))
)
_DRAWN_OUT = re.compile(r"(.)\1{2,}")

_SHORTEST_CODE = 24
_ENCODED = re.compile(r"(?<![\w+/=-])(?:[0-9a-fA-F]{32,}|[A-Za-z0-9+/_-]{24,}={0,2})(?![\w+/=-])")

#: Half bits of the second letter after the first, A for 0: row `a` is aa, ab, ... az. Counted over the different words
#: in the prose of Python's own documentation (`pydoc_data.topics` of Python 3.11, 2,271 words of three letters and
#: more), with half a count added to each pair. A unit test counts again.
_PAIRS = (
    "XJHKTPLXJXMFKHXJTGHFMMRPNX"
    "HNKNGSSSGMSENNINSIILISSSJS"
    "GVKVFVVIJVJIQVFSSJNGJVVVOV"
    "KMQKCTTTETTKQTJTTPIPJOQTNT"
    "JPIFMLNQQVYJKGTKNFGJVLPJPY"
    "GSSPHHSSESPIPSFSSISKISSSKS"
    "ISSSEOKIHSSJOHKNSHINHOSSSS"
    "ESSSDSSSFSSNLPGSSLMKNSSSPS"
    "LMIKJLKXUXRJJDGMSLIHXKXOXL"
    "ILLLFLLLLLLLLLILLLLLFLLLLL"
    "IPMPDPLPFPPPPKPLPPGMKPLPPP"
    "GSQLEQQVFVSGSVGOVSLKKOSVGV"
    "FJTQETTTGTQPJQHFTTLTJTTTOT"
    "IRIHHOEPJWROPMKPWSHFMLRWPT"
    "ONJJPPMWNWMJIELJWFJJIKKPTR"
    "GUUOFUULJURGRUHIUFKILURUOU"
    "NNNNNNNNNNNNNNNNNNNNBNNNNN"
    "GRLKEOORGWPOKLHOWJIJLOPWLW"
    "KVJREPSJGVOMQSKISVHFHVRVLV"
    "HWOPESWIEWWLRTJRWHIKLWRWKW"
    "IIINJOLUJUUHIFNIUHHHUUUUUU"
    "FRRRCRRRFRRRORJRRRRRRRRRRR"
    "FQQQGQQGGQQKQJGQQHIQQQQQQQ"
    "IPGPGPPLFPPPMPPFPPMFPPMPMP"
    "PPIPIPPPHPPLIGIFPPGGPPJPPP"
    "FNNNCNNNINNNNNKNNNNNNNNNNN"
)
_BITS = {
    first + second: (ord(_PAIRS[row * 26 + column]) - ord("A")) / 2
    for row, first in enumerate("abcdefghijklmnopqrstuvwxyz")
    for column, second in enumerate("abcdefghijklmnopqrstuvwxyz")
}


def gibberish(document: Document, config: GibberishFilter) -> str:
    """Which sign of gibberish a text shows, or nothing."""
    text = document.text
    if len(text) >= config.min_repeated and _is_repeated(text, config.repeated):
        return "repeated"
    if len(text) >= _SHORTEST_CODE and _encoded_characters(text) > config.encoded * len(text):
        return "encoded"
    if _LONG_WORD.search(text):
        mashed = _mashed_letters(text, config)
        if mashed and mashed > config.mashed * sum(map(str.isalpha, _ADDRESS.sub(" ", text))):
            return "mashed"
    if document.han >= config.min_han and len(_rare_han().findall(text)) > config.rare_han * document.han:
        return "rare_han"
    return ""


def _is_repeated(text: str, share: float) -> bool:
    """Whether one character fills the text. Words before a row of exclamation marks are words."""
    if len(set(text)) > (1 - share) * len(text) + 2:
        return False
    sign, count = Counter(text).most_common(1)[0]
    if count <= share * len(text):
        return False
    return sign.isalnum() or not any(map(str.isalnum, text))


def bits_per_letter(word: str) -> float:
    """Mean bits of each letter but the first, by the pairs of letters in English words; `word` is in a to z."""
    return sum(_BITS[first + second] for first, second in pairwise(word)) / max(1, len(word) - 1)


def _mashed_letters(text: str, config: GibberishFilter) -> int:
    mashed = 0
    for word in _LONG_WORD.findall(_ADDRESS.sub(" ", text)):
        if word.isupper() and len(word) <= _LONGEST_ACRONYM:
            continue
        # Soooo good: letters drawn out say nothing about the word.
        short = _DRAWN_OUT.sub(r"\1", word.lower())
        if len(short) < config.min_letters:
            continue
        if bits_per_letter(short) > config.bits_per_letter or _ROW_RUN.search(short):
            mashed += len(word)
    return mashed


def _encoded_characters(text: str) -> int:
    return sum(len(run) for run in _ENCODED.findall(_ADDRESS.sub(" ", text)) if _is_mixed(run))


def _is_mixed(run: str) -> bool:
    """Whether a run has the mix of bytes written as text: digits among letters, and for base64 both cases."""
    digits = sum(sign.isdigit() for sign in run)
    upper, lower = sum(sign.isupper() for sign in run), sum(sign.islower() for sign in run)
    if len(run) >= 32 and not set(run.lower()) - set("0123456789abcdef"):
        return digits >= 4 and upper + lower >= 4
    return min(upper, lower) >= 4 and digits >= 1


@lru_cache(maxsize=1)
def _rare_han() -> re.Pattern[str]:
    """Han characters few people write: outside level 1 of GB 2312-1980 (rows 16 to 55) and of Big5 (A440 to C67E)."""
    levels = (("gb2312", range(0xB0, 0xD8)), ("big5", range(0xA4, 0xC7)))
    common = {
        sign
        for encoding, rows in levels
        for first in rows
        for second in range(0x40, 0xFF)
        for sign in bytes((first, second)).decode(encoding, "ignore")
    }
    return re.compile(f"[{''.join(chr(code) for code in range(0x3400, 0xA000) if chr(code) not in common)}]")
