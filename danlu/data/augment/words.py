"""Operations on words: drop, swap, synonym, and EDA, which is one of four (Wei and Zou 2019, arXiv:1901.11196).

Unlike EDA's own, they leave negations alone (see `pieces`): a child without its "not" would carry the wrong label.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from danlu.data.augment.config import EasyDataAugmentation, Synonym, WordDrop, WordSwap
from danlu.data.augment.pieces import Piece, join, pieces_of
from danlu.data.augment.synonyms import Synonyms
from danlu.data.filters.language import ENGLISH_STOP_WORDS
from danlu.data.text import HAN

#: Words that EDA neither replaces nor takes synonyms of.
_STOP_WORDS = ENGLISH_STOP_WORDS | frozenset("的了是在和有这那我你他她它们就也都很与及或而被把")


def _words(pieces: list[Piece]) -> list[int]:
    return [place for place, piece in enumerate(pieces) if piece.is_word]


def word_drop(text: str, random: Random, config: WordDrop, _ready: Any) -> str:
    """`text` without some of its words, each gone by chance; one stays."""
    return _without(text, random, config.share)


def word_swap(text: str, random: Random, config: WordSwap, _ready: Any) -> str:
    """`text` with neighbouring words in each other's place."""
    pieces = pieces_of(text)
    words = _words(pieces)
    if len(words) < 2:
        return text
    for _ in range(max(1, round(config.share * len(words)))):
        first = random.randrange(len(words) - 1)
        _exchange(pieces, words[first], words[first + 1])
    return join(pieces)


def synonym(text: str, random: Random, config: Synonym, ready: Synonyms) -> str:
    """`text` with some words replaced by synonyms; unchanged where no word has one."""
    return _with_synonyms(text, random, config.share, ready, stop_words=frozenset())


def eda(text: str, random: Random, config: EasyDataAugmentation, ready: Synonyms) -> str:
    """`text` after one of EDA's four operations, each as likely; it changes alpha times the number of words."""
    return random.choice(_EDA)(text, random, config.alpha, ready)


def _replacement(text: str, random: Random, alpha: float, synonyms: Synonyms) -> str:
    return _with_synonyms(text, random, alpha, synonyms, stop_words=_STOP_WORDS)


def _insertion(text: str, random: Random, alpha: float, synonyms: Synonyms) -> str:
    """Synonyms of n words that are no stop words, put in anywhere."""
    pieces = pieces_of(text)
    words = _words(pieces)
    known = [place for place in words if _known(pieces[place], synonyms, _STOP_WORDS)]
    if not known:
        return text
    inserted = [random.choice(synonyms[pieces[random.choice(known)].text.lower()]) for _ in range(_count(alpha, words))]
    for word in inserted:
        place = random.randrange(len(pieces) + 1)
        # Beside a word in letters or digits, a space; beside Han, none.
        before = " " if place and _touches(pieces[place - 1].text[-1:], word[:1]) else ""
        after = " " if place < len(pieces) and _touches(word[-1:], pieces[place].text[:1]) else ""
        pieces.insert(place, Piece(f"{before}{word}{after}", False))
    return join(pieces)


def _touches(left: str, right: str) -> bool:
    """Whether two signs side by side would run into one word."""
    return left.isalnum() and right.isalnum() and not (HAN.match(left) or HAN.match(right))


def _swap_any(text: str, random: Random, alpha: float, _synonyms: Synonyms) -> str:
    pieces = pieces_of(text)
    words = _words(pieces)
    if len(words) < 2:
        return text
    for _ in range(_count(alpha, words)):
        _exchange(pieces, *random.sample(words, 2))
    return join(pieces)


def _deletion(text: str, random: Random, alpha: float, _synonyms: Synonyms) -> str:
    return _without(text, random, alpha)


_EDA: tuple[Callable[[str, Random, float, Synonyms], str], ...] = (_replacement, _insertion, _swap_any, _deletion)


def _count(alpha: float, words: list[int]) -> int:
    return max(1, int(alpha * len(words)))


def _exchange(pieces: list[Piece], first: int, second: int) -> None:
    pieces[first], pieces[second] = pieces[second], pieces[first]


def _without(text: str, random: Random, chance: float) -> str:
    pieces = pieces_of(text)
    words = _words(pieces)
    if len(words) < 2:
        return text
    gone = {place for place in words if random.random() < chance}
    if len(gone) == len(words):
        gone.remove(random.choice(words))
    return join([piece for place, piece in enumerate(pieces) if place not in gone])


def _known(piece: Piece, synonyms: Synonyms, stop_words: frozenset[str]) -> bool:
    word = piece.text.lower()
    return word in synonyms and word not in stop_words


def _with_synonyms(text: str, random: Random, share: float, synonyms: Synonyms, stop_words: frozenset[str]) -> str:
    pieces = pieces_of(text)
    words = _words(pieces)
    known = [place for place in words if _known(pieces[place], synonyms, stop_words)]
    for place in random.sample(known, min(len(known), _count(share, words))):
        word = pieces[place].text
        other = random.choice(synonyms[word.lower()])
        pieces[place].text = other[:1].upper() + other[1:] if word[:1].isupper() else other
    return join(pieces) if known else text
