"""Cleaning mends what is broken and leaves Chinese alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danlu.data.filters.config import NormaliseConfig
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
        ("138\u200c0013\u200b\u200d8000 a\u200d@b.cn 4\ufe0f\u20e3", "13800138000 a@b.cn 4\ufe0f\u20e3"),
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Great film.<br /><br />They are <i>right</i> &amp; more.", "Great film.\n\nThey are right & more."),
        ("<p>one\n line</p><ul><li>a</li><li>b</li></ul>", "one line\n\na\nb"),
        ("<div>服务<b>很</b>好</div><script>alert('<p>')</script><style>p{}</style>", "服务很好"),
        ("<table><tr><td>x</td><td>1</td></tr><tr><td>y</td><td>2</td></tr></table>", "x 1\ny 2"),
        ("if x <y and z> w: I <3 you", "if x <y and z> w: I <3 you"),
        ("```html\n<p>code</p>\n```", "```html\n<p>code</p>\n```"),
        ("a < b <b>bold</b>", "a < b bold"),
    ],
)
def test_html_goes_where_it_is_plainly_html(text: str, expected: str) -> None:
    assert normalise(text) == expected
    assert normalise(text, NormaliseConfig(html="keep")).count("<") == text.count("<")


def test_html_that_is_stripped_in_any_case() -> None:
    strip = NormaliseConfig(html="strip")
    assert normalise("see <mytag a='1'>this</mytag><!-- not -->!", strip) == "see this!"
    assert normalise("```\n<p>code</p>\n```", strip) == "```\n\ncode\n\n```"


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"nfkc": True}, "ＡＢ１，①㎏", "AB1,1kg"),
        ({"full_width_to_half": "letters_and_digits"}, "ＡＢ１，好！", "AB1，好！"),
        ({"full_width_to_half": "all"}, "ＡＢ１，好！　ok", "AB1,好! ok"),
        ({"traditional_to_simplified": True}, "這個體驗很棒，頭髮乾淨", "这个体验很棒，头发干净"),
        ({"mojibake": False}, "cafÃ©", "cafÃ©"),
        ({"white_space": "lines"}, "def f():\r\n    x  =  1  \n\n\n\n\ny", "def f():\n    x  =  1\n\ny"),
        ({"white_space": "keep"}, " a\r\n\n\n\nb ", " a\n\n\n\nb "),
        ({"controls": False, "white_space": "keep"}, "a\u200bb", "a\u200bb"),
    ],
)
def test_options(options: dict[str, object], text: str, expected: str) -> None:
    assert normalise(text, NormaliseConfig.model_validate(options)) == expected


def test_a_long_run_of_spaces_in_html_takes_no_time() -> None:
    start = time.process_time()
    assert normalise("<b>bold</b>" + " " * 200_000 + "plain<br>") == "bold plain"
    assert normalise("<pre>x" + "\n" * 200_000 + "y</pre>") == "x\n\ny"
    # Each space looked at from each other one was three minutes.
    assert time.process_time() - start < 2.0
