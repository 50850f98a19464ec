from __future__ import annotations

import math

import pytest
import sacrebleu

from danlu.metrics.answers import ANSWER_SCORES, answer_scores, row_scores, rules_of, units


def test_words_and_han_characters_are_the_units() -> None:
    assert units("Ｔｈｅ Cat, 猫很  好!") == ["the", "cat", "猫", "很", "好"]
    assert units("2023年GPU显卡涨15%") == ["2023", "年", "gpu", "显", "卡", "涨", "15", "%"]
    assert units("3-5天, 1-2%") == ["3", "5", "天", "1", "2", "%"]  # from 3 to 5: no sign


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [
        ("-5", "5", False),
        ("气温-5度", "气温5度", False),
        ("气温\u22125度", "气温 -5 度", True),
        ("涨50%", "涨50", False),
        ("C++", "C", False),
        ("c#", "C", False),
        ("", "👍", False),
        ("👎", "👍", False),
        (" 👍", "👍", True),
        ("好 👍", "👍", False),
        ("the cat!", "The cat", True),
    ],
)
def test_what_says_another_thing_is_not_the_same(answer: str, reference: str, same: bool) -> None:
    found = {name: of[0] for name, of in row_scores([answer], [reference]).items()}
    for name in ("exact", "f1", "rouge_l"):
        assert bool(found[name] == 1.0) is same, name


def test_the_longest_common_sequence_is_that_of_the_papers_example() -> None:
    """Lin 2004, section 3.1: of S1 "police killed the gunman", S2 has 3 of 4 in order and S3 has 2."""
    found = row_scores(["police kill the gunman", "the gunman kill police"], ["police killed the gunman"] * 2)[
        "rouge_l"
    ]
    assert found.tolist() == [0.75, 0.5]


def test_f1_counts_each_word_as_often_as_in_both() -> None:
    found = row_scores(["a a b", "", "c"], ["a b b", "x", ""])["f1"]
    assert found[:2].tolist() == [pytest.approx(2 / 3), 0.0]
    assert math.isnan(found[2])


@pytest.mark.parametrize(
    ("answer", "phrase", "held"),
    [
        ("It costs 150 yuan", "15", False),
        ("It costs 15 yuan.", "15", True),
        ("I know", "no", False),
        ("NO, never", "no", True),
        ("It costs 15.5 yuan", "15", False),
        ("It costs 3.15 yuan", "15", False),
        ("It costs 15,000 yuan", "15", False),
        ("It costs 15,000 yuan", "000", False),
        ("It costs 15.", "15", True),
        ("尺码有38，40，42", "40", True),
        ("保修期为１２个月", "12个月", True),
        ("保修期为12个月", "12 个月", True),
        ("保修期为 12 个月", "12个月", True),
        ("iPhone 手机壳", "iphone手机", True),
        ("保修 2 12 个月", "212 个月", False),
        ("七天无理由退货", "无理由", True),
        ("within  seven\ndays", "seven days", True),
    ],
)
def test_phrases_are_found_as_people_read_them(answer: str, phrase: str, held: bool) -> None:
    assert rules_of(answer, [phrase], []).missing == (() if held else (phrase,))
    assert rules_of(answer, [], [phrase]).forbidden == ((phrase,) if held else ())
    assert rules_of(answer, [phrase], []).kept is held


ANSWERS = ["the cat sat on the mat", "a dog ran", "nothing of it", "rain falls on the roof"]
REFERENCES = ["the cat sat on a mat", "a dog ran away", "", "rain fell on the roof"]


def test_scores_of_all_answers_are_those_of_sacrebleu() -> None:
    found = answer_scores(ANSWERS, REFERENCES, [True, None, False, True], resamples=200)
    assert tuple(found) == ANSWER_SCORES
    ours, theirs = (  # the question without a reference does not count
        [text for text, wanted in zip(texts, REFERENCES, strict=True) if wanted] for texts in (ANSWERS, REFERENCES)
    )
    assert found["chrf"]["value"] == pytest.approx(sacrebleu.corpus_chrf(ours, [theirs]).score / 100)
    bleu = sacrebleu.metrics.BLEU(effective_order=True).corpus_score(ours, [theirs])
    assert found["bleu"]["value"] == pytest.approx(bleu.score / 100)
    assert found["rules"]["value"] == pytest.approx(2 / 3)
    for name, score in found.items():
        assert score["low"] <= score["value"] <= score["high"], name


def test_chinese_is_cut_into_characters() -> None:
    answers, references = ["今天天气很好", "我想退货"], ["今天天气不错", "我要退货"]
    found = answer_scores(answers, references, [None, None], resamples=100)["bleu"]["value"]
    expected = sacrebleu.metrics.BLEU(tokenize="zh", effective_order=True).corpus_score(answers, [references]).score
    assert found == pytest.approx(expected / 100)
    assert found > 0.3


def test_without_a_mistake_there_is_still_an_interval() -> None:
    found = answer_scores(["a"] * 10, ["a"] * 10, [True] * 10, resamples=100)
    for name in ("exact", "rules"):
        assert found[name]["high"] == 1.0
        assert found[name]["low"] == pytest.approx(0.7225, abs=0.03)  # Wilson's, of 10 of 10


def test_what_is_not_there_has_no_score() -> None:
    found = answer_scores(["a"], [""], [None], resamples=100)
    assert {score["value"] for score in found.values()} == {None}
