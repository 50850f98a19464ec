"""How much of a text is Chinese, English and anything else, without a model.

Scripts tell Chinese from nearly everything; kana beside Han is Japanese, Hangul Korean. Latin words are English unless
they say otherwise: accents, or more function words of other languages than of English. A short text with neither
("Great product!") therefore counts as English.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from danlu.data.text import HAN, HAN_RANGES

_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+(?:['’][A-Za-z\u00c0-\u024f]+)*")
_ASCII_LETTER = re.compile(r"[A-Za-z]")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
#: Scripts written without spaces between words count by character, as Han does.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\uac00-\ud7a3]")
_OTHER_WORD = re.compile(
    f"[^\\W\\d_A-Za-z\u00c0-\u024f\u1e00-\u1eff{HAN_RANGES}\u3040-\u30ff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\uac00-\ud7a3]+"
)

#: From this share of kana among kana and Han, Han characters are Japanese.
_JAPANESE = 0.15

#: Frequent function words by language. What English also has speaks for English.
_STOP_WORDS: dict[str, str] = {
    "English": (
        "a about after all also am an and any are as at be because been before but by can could did do does for from "
        "get had has have he her here him his how i if in into is it its just like me more my no not now of off on one "
        "only or other our out over she should so some than that the their them then there these they this those to "
        "too up us very was we were what when where which who why will with would you your"
    ),
    "French": (
        "à au aux avec ce ces cette dans de des du elle est et eux il ils je la le les leur lui mais mes ne nous par "
        "pas pour que qui sa ses sont sur tu un une vos vous très être fait"
    ),
    "German": (
        "aber als auch auf aus bei bin das dass dem den der des die ein eine einem einen einer er es für haben hat ich "
        "ihr im ist kann mit nach nicht noch nur oder sehr sich sie sind und uns von wenn wie wird wir zu zum zur"
    ),
    "Spanish": (
        "al como con cuando del desde el ella ellos en entre esta este esto fue ha hasta hay la las lo los más muy nos "
        "para pero por porque que se sin sobre su sus también tiene una uno y ya"
    ),
    "Portuguese": (
        "ao aos com da das dos ela ele em essa esse eu foi isso mais mas muito na nas não nem nos num os ou para pela "
        "pelo por quando que se sem ser seu sua são também tem uma você"
    ),
    "Italian": (
        "alla anche che ci con dei della delle di è gli ho il io loro ma mi molto nella non ogni per più quando questo "
        "se sono sua suo tra un una"
    ),
    "Dutch": (
        "aan als bij dan dat deze die dit een en er geen goed heb heeft het hij ik je kan maar meer met mijn naar niet "
        "nog ook op te tot uit van veel voor waar wat wel werd wij ze zich zijn"
    ),
    "Polish": "ale bardzo czy dla jak jest nie się tak tego tylko w z",
    "Swedish": "att av det en ett från han hon inte jag med mycket och om på som till var är",
    "Danish and Norwegian": "af den der et ikke jeg meget og så til vi er",
    "Indonesian and Malay": "ada adalah akan dan dari dengan di ini itu karena ke saya sangat tidak untuk yang",
    "Turkish": "bir bu çok da daha de değil ile için ne ve",
    "Vietnamese": "bị các cho có của được không là một này những rất tôi trong và",
    "Romanian": "cu este în nu pe și sunt",
}
#: Function words of English.
ENGLISH_STOP_WORDS = frozenset(_STOP_WORDS["English"].split())
_OTHER = frozenset(word for words in _STOP_WORDS.values() for word in words.split()) - ENGLISH_STOP_WORDS


@dataclass(frozen=True)
class Shares:
    """Shares of words, Han characters counted as words; they add up to 1, or are all 0 where there is no letter."""

    words: int
    zh: float
    en: float
    other: float

    @property
    def largest(self) -> str:
        """The language with the largest share; `other` where there is no letter at all."""
        if not self.words:
            return "other"
        return max(("zh", "en", "other"), key=lambda name: getattr(self, name))

    def of(self, names: Iterable[str]) -> float:
        """The share of these languages taken together."""
        return float(sum(getattr(self, name) for name in set(names)))


def shares(text: str) -> Shares:
    """How much of `text` is Chinese, English and anything else."""
    latin = _LATIN.findall(text)
    han = other = 0
    if not text.isascii():
        han = len(HAN.findall(text))
        kana = len(_KANA.findall(text))
        other = kana + len(_UNSPACED.findall(text)) + len(_OTHER_WORD.findall(text))
        if kana > _JAPANESE * (kana + han):
            han, other = 0, other + han
    words = len(latin) + han + other
    if not words:
        return Shares(words=0, zh=0.0, en=0.0, other=0.0)
    english = len(latin) if _is_english(latin) else 0
    return Shares(words=words, zh=han / words, en=english / words, other=(other + len(latin) - english) / words)


def _is_english(words: list[str]) -> bool:
    """Whether Latin words are English, by function words; accented words speak against it as one such word each.

    A word of accented letters only (ÕÉë) is what is left of a broken emoji, no word of any language.
    """
    ours = theirs = 0
    for word in words:
        lower = word.lower().replace("’", "'")
        if lower in ENGLISH_STOP_WORDS or lower.partition("'")[0] in ENGLISH_STOP_WORDS:
            ours += 1
        elif lower in _OTHER or (not word.isascii() and _ASCII_LETTER.search(word)):
            theirs += 1
    return ours >= theirs
