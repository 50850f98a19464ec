"""Cleaning mends what is broken and leaves Chinese alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.data.text import han_and_words, language_of, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("服务，非常好！“推荐”……（五星）ＡＢＣ１２３", "服务，非常好！“推荐”……（五星）ＡＢＣ１２３"),
        ("它的價格；體驗：不錯、好", "它的價格；體驗：不錯、好"),
        ("cafÃ© crÃ¨me", "café crème"),
        ("donâ€™t", "don’t"),
        ("  two\u3000\u3000spaces \t tab\u00a0nbsp  ", "two spaces tab nbsp"),
        ("a\x00b\x07c\u200bd\ufeffe", "abcde"),
        ("one \r\n two\r\r\r\r three", "one\ntwo\n\nthree"),
        ("AT&amp;T &lt;3", "AT&T <3"),
        ("cafe\u0301", "café"),
        ("👩\u200d👩\u200d👧 ok", "👩\u200d👩\u200d👧 ok"),
        ("x < y & z > w", "x < y & z > w"),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
def test_normalised_text_has_no_controls_and_even_spaces(text: str) -> None:
    cleaned = normalise(text)
    assert cleaned == cleaned.strip()
    assert "  " not in cleaned
    assert "\n\n\n" not in cleaned
    assert not any(ord(sign) < 32 and sign != "\n" for sign in cleaned)


def test_language() -> None:
    assert language_of(*han_and_words("这个手机 iPhone 15 Pro 很好用")) == "zh"
    assert language_of(*han_and_words("I ate 饺子 with my friends yesterday")) == "en"
