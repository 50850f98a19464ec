"""A text in pieces: words, which may be changed, and all between them, which stays.

Mask tokens (`[EMAIL]`), addresses, mentions, tags and numbers are never words: what they say must not change. Neither
are negations: without them, a text says the opposite of its label.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from danlu.core.lazy import need
from danlu.data.text import HAN_RANGES

_LATIN = "A-Za-z\u00c0-\u024f"
_PIECE = re.compile(
    r"(?P<fixed>\[[A-Z][A-Z0-9_]*\]|https?://[^\s" + HAN_RANGES + r"]+|www\.[^\s" + HAN_RANGES + "]+"
    r"|[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]+|[@#][\w-]+)"
    rf"|(?P<han>[{HAN_RANGES}]+)|(?P<word>[{_LATIN}]+(?:['’-][{_LATIN}]+)*)"
)
#: Words that turn what a text says around, in English (beside all that end in n't) and Chinese.
_NEGATIONS = frozenset(
    (
        *(
            "no",
            "not",
            "never",
            "nor",
            "none",
            "nothing",
            "nobody",
            "nowhere",
            "neither",
            "without",
            "hardly",
            "cannot",
        ),
        *(
            "不",
            "没",
            "无",
            "未",
            "别",
            "非",
            "勿",
            "莫",
            "没有",
            "不是",
            "不会",
            "不能",
            "不要",
            "不想",
            "不太",
            "不够",
        ),
        *("不再", "从不", "从未", "并不", "并非", "毫无"),
    )
)
_SPACES = re.compile(" {2,}")
_SPACE_BEFORE = re.compile(r" +(?=[,.;:!?，。；：！？])")


@dataclass(slots=True)
class Piece:
    """A word, or what stands between words."""

    text: str
    is_word: bool
    is_han: bool = False


@lru_cache(maxsize=1)
def _segmenter() -> Any:
    return need("rjieba", extra="chinese").Jieba()


def pieces_of(text: str, *, by_character: bool = False) -> list[Piece]:
    """`text` in pieces that join to it again.

    Han is cut into words (jieba's dictionary), or with `by_character` into characters. Raises `MissingDependency` where
    words are asked for and the segmenter is not installed.
    """
    pieces: list[Piece] = []
    done = 0
    for match in _PIECE.finditer(text):
        if match.start() > done:
            pieces.append(Piece(text[done : match.start()], False))
        done = match.end()
        if match.lastgroup == "han":
            words = match[0] if by_character else _segmenter().cut(match[0], False)
            pieces += (Piece(word, word not in _NEGATIONS, True) for word in words)
        else:
            pieces.append(Piece(match[0], match.lastgroup == "word" and not _is_negation(match[0])))
    if done < len(text):
        pieces.append(Piece(text[done:], False))
    return pieces


def _is_negation(word: str) -> bool:
    lower = word.lower()
    return lower in _NEGATIONS or lower.endswith(("n't", "n’t"))


def join(pieces: list[Piece]) -> str:
    """The text of the pieces, without the double spaces that a dropped word leaves."""
    text = "".join(piece.text for piece in pieces)
    return _SPACE_BEFORE.sub("", _SPACES.sub(" ", text)).strip()
