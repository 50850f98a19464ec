"""A team's own questions in the report: how many answers are as they should be, and which are not."""

from __future__ import annotations

from typing import Any

from danlu.report.numbers import count, percent

Sentence = dict[str, str]
Numbers = dict[str, Any]

#: Scores as the page shows them, in this order: those without a value are left out.
_SHOWN = ("rules", "exact", "f1", "rouge_l", "fuzzy", "chrf", "bleu")


def questions_sentence(numbers: Numbers) -> Sentence | None:
    """How many of the questions are answered as asked for, in one or two sentences; None where there are none."""
    found = numbers["questions"]
    if not found:
        return None
    english, chinese = [], []
    rules, words = found["scores"]["rules"], found["scores"]["f1"]
    if rules["value"] is not None:
        ends = _ends(rules)
        english.append(f"{percent(rules['value'])} of {count(found['with_rules'])} answers keep all rules{ends}")
        chinese.append(f"{count(found['with_rules'])} 个回答里 {percent(rules['value'])} 遵守全部规则{ends}")
    if words["value"] is not None:
        ends = _ends(words)
        english.append(
            f"answers share {percent(words['value'])} of their words with {count(found['with_reference'])} "
            f"references (F1){ends}"
        )
        chinese.append(
            f"回答与 {count(found['with_reference'])} 条参考答案的用词重合 {percent(words['value'])}（F1）{ends}"
        )
    said = {"en": f"Of {count(found['questions'])} questions of your own: {'; '.join(english)}."}
    said["zh"] = f"你们自己的 {count(found['questions'])} 个问题：{'；'.join(chinese)}。"
    if found["seen_questions"]:
        said["en"] += f" {count(found['seen_questions'])} of them are in the training data word for word."
        said["zh"] += f"其中 {count(found['seen_questions'])} 个一字不差地在训练数据里。"
    if found["cut"]:
        said["en"] += f" {count(found['cut'])} answers were cut at the longest length."
        said["zh"] += f"{count(found['cut'])} 个回答到了最大长度被截断。"
    return said


def question_scores(numbers: Numbers) -> list[dict[str, Any]]:
    """One row for all questions and one for each category: its name, how many, and `scores` in the order of columns."""
    found = numbers["questions"]
    if not found:
        return []
    rows = [{"name": None, "questions": found["questions"], "scores": found["scores"]}]
    rows += [{"name": name, **one} for name, one in found["categories"].items()]
    return [row | {"scores": [row["scores"][name] for name in question_columns(numbers)]} for row in rows]


def question_columns(numbers: Numbers) -> list[str]:
    """The scores that any question has."""
    found = numbers["questions"]
    return [name for name in _SHOWN if found and found["scores"][name]["value"] is not None]


def _ends(score: dict[str, Any]) -> str:
    if score["low"] is None or score["high"] is None:
        return ""
    return f" ({percent(score['low'])} – {percent(score['high'])})"
