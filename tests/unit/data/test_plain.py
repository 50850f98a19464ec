"""What needs nothing is left as it is by `normalise`; what needs white space only is mended by that alone."""

from __future__ import annotations

import random

from ftfy.badness import is_bad
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.data.plain import ANYTHING, NOTHING, WHITE_SPACE, even, needs
from danlu.data.text import normalise

PIECES = [" ", "\n", "a", "B", "1", ".", "&", "<", "&amp;", "\t", "好", "，", "　", "“", "”", "’", "…", "é", "e\u0301"]
PIECES += [
    "\u200b",
    "\r",
    "か",
    "\u3099",
    "ｶﾞ",
    "\uf900",
    "Ã",
    "©",
    "â€™",
    "\x85",
    "\xa0",
    "Ａ",
    "—",
    "·",
    "\u2028",
    "😀",
]


def check(texts: list[str]) -> None:
    found = needs(texts)
    for text, need in zip(texts, found.tolist(), strict=True):
        assert needs([text])[0] == need
        if need == NOTHING:
            assert normalise(text) == text
        elif need == WHITE_SPACE:
            assert normalise(text) == even(text)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), max_size=20))
def test_nothing_is_said_only_where_it_is_so(texts: list[str]) -> None:
    check(texts)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=10), max_size=10))
def test_of_any_text(texts: list[str]) -> None:
    check(texts)


def test_every_safe_character_is_safe_beside_every_other() -> None:
    every = [chr(code) for code in range(0x110000)]
    safe = [character for character, need in zip(every, needs(every).tolist(), strict=True) if need == NOTHING]
    assert 20_000 < len(safe) < 40_000
    draw = random.Random(1)
    signs = [character for character in safe if not "\u3400" <= character <= "\u9fff"]
    texts = ["".join(draw.choices(signs, k=200)) for _ in range(2_000)]
    assert not any(is_bad(text) for text in texts)
    check(texts)
    check(safe)


def test_usual_texts_need_nothing() -> None:
    usual = [
        "",
        "Fine, thanks.",
        "质量很好，“非常满意”……下次还来。",
        "one\n\ntwo\nthree",
        "１９９８年——新年",
        "R&D: a < b",
    ]
    assert needs(usual).tolist() == [NOTHING] * len(usual)
    uneven = [" a", "a ", "a  b", "a \nb", "a\n b", "\na", "a\n", "\n", " ", "a\n\n\nb", "a\tb", "a\r\nb", "　段落"]
    assert needs(uneven).tolist() == [WHITE_SPACE] * len(uneven)
    broken = ["a &amp; b", "<p>a</p>", "cafÃ©", "e\u0301", "\ufeffa", "a\x85b"]
    assert needs(broken).tolist() == [ANYTHING] * len(broken)
