from __future__ import annotations

from typing import Any

from danlu.report.questions import question_columns, question_scores, questions_sentence

NONE = {"value": None, "low": None, "high": None}
KEPT = {"value": 0.75, "low": 0.5, "high": 0.9}


def numbers(**more: Any) -> dict[str, Any]:
    scores = dict.fromkeys(("exact", "f1", "rouge_l", "fuzzy", "chrf", "bleu"), NONE) | {"rules": KEPT}
    found = {
        "questions": 12,
        "with_reference": 0,
        "with_rules": 8,
        "seen_questions": 0,
        "cut": 0,
        "scores": scores,
        "categories": {"returns": {"questions": 5, "scores": scores}},
        "broken": [],
    }
    return {"questions": found | more}


def test_only_what_was_measured_is_said() -> None:
    said = questions_sentence(numbers())
    assert said is not None
    assert said["en"] == "Of 12 questions of your own: 75.0% of 8 answers keep all rules (50.0% – 90.0%)."
    assert "参考答案" not in said["zh"]
    assert question_columns(numbers()) == ["rules"]
    assert [(row["name"], row["questions"], len(row["scores"])) for row in question_scores(numbers())] == [
        (None, 12, 1),
        ("returns", 5, 1),
    ]


def test_what_makes_the_scores_doubtful_is_said() -> None:
    said = questions_sentence(numbers(seen_questions=3, cut=2))
    assert said is not None
    assert "3 of them are in the training data word for word. 2 answers were cut" in said["en"]
    assert "3 个一字不差" in said["zh"]


def test_without_questions_nothing_is_said() -> None:
    assert questions_sentence({"questions": None}) is None
    assert question_scores({"questions": None}) == []
