"""Cross-validation in the report: how far the score moves with the rows that are held out."""

from __future__ import annotations

from typing import Any

from danlu.report.numbers import count, form_of
from danlu.report.targets import score_name
from danlu.report.words import words


def folds_sentence(numbers: dict[str, Any]) -> dict[str, str] | None:
    """How the model's main score came out over the folds, and whether its test score is within what they saw."""
    folds = numbers["folds"]
    seen = (folds or {}).get("scores", {}).get((folds or {}).get("primary"))
    if not seen:
        return None
    metric, runs = folds["primary"], len(folds["folds"])
    mean, low, high, deviation = (form_of(metric)(seen[key]) for key in ("mean", "low", "high", "deviation"))
    said = {language: score_name(metric, words(language)) for language in ("en", "zh")}
    sentence = {
        "en": f"Over {count(runs)} folds {said['en']} is {mean} on average, from {low} to {high} (standard deviation "
        f"{deviation}).",
        "zh": f"{count(runs)} 折交叉验证的{said['zh']}平均 {mean}，从 {low} 到 {high}（标准差 {deviation}）。",
    }
    tested = (((numbers["evidence"] or {}).get("scores") or {}).get(metric) or {}).get("value")
    if tested is not None and not seen["low"] <= tested <= seen["high"]:
        test = form_of(metric)(tested)
        sentence["en"] += f" The test score, {test}, is outside of that: look at both before you trust either."
        sentence["zh"] += f"测试分数 {test} 不在这个范围里：先弄清原因，再相信其中任何一个。"
    return sentence


def fold_rows(numbers: dict[str, Any]) -> list[dict[str, str]]:
    """One row a score for the page: mean, deviation, lowest and highest, each as it is shown."""
    folds = numbers["folds"]
    if not folds:
        return []
    return [
        {"metric": metric} | {key: form_of(metric)(seen[key]) for key in ("mean", "deviation", "low", "high")}
        for metric, seen in folds["scores"].items()
    ]
