"""A model with several targets in the report: each by its name, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from danlu.core.scores import LOWER_IS_BETTER
from danlu.report.numbers import base_of, form_of, number, percent

Sentence = dict[str, str]
Numbers = dict[str, Any]

#: The score that is told of a target first, by its task.
_HEADLINES = {"classify": "accuracy", "tag": "macro_f1", "regress": "mae"}


def score_name(metric: str, said: Mapping[str, str]) -> str:
    """A score as people read it; that of a target behind the target's name."""
    target, dot, _ = metric.rpartition(".")
    name = said.get(base_of(metric), base_of(metric))
    return f"{target}: {name}" if dot else name


def _of(numbers: Numbers) -> list[tuple[str, str, float]]:
    """Each target that has a headline: its name, its task, and the score."""
    evidence = numbers["evidence"] or {}
    found = []
    for head in evidence.get("heads") or []:
        score = evidence["scores"].get(f"{head['name']}.{_HEADLINES[head['task']]}") or {}
        if score.get("value") is not None:
            found.append((head["name"], head["task"], score["value"]))
    return found


def quality_of_targets(numbers: Numbers) -> Sentence | None:
    """How good each target is, as the second half of "the model ..."; None where there are no several ones."""
    found = _of(numbers)
    if not found:
        return None
    said: dict[str, Callable[[float], tuple[str, str]]] = {
        "classify": lambda value: (f"right in {percent(value)}", f"答对 {percent(value)}"),
        "tag": lambda value: (f"macro F1 {percent(value)}", f"宏平均 F1 {percent(value)}"),
        "regress": lambda value: (f"off by {number(value)} on average", f"平均差 {number(value)}"),
    }
    told = [(name, *said[task](value)) for name, task, value in found]
    return {
        "en": "answers unseen texts (" + "; ".join(f"{name}: {english}" for name, english, _ in told) + ")",
        "zh": "回答没见过的文本（" + "；".join(f"{name}：{chinese}" for name, _, chinese in told) + "）",
    }


def against_targets(numbers: Numbers) -> Sentence | None:
    """How the model stands against the baseline of each target, behind its quality."""
    compared = ((numbers["baseline"] or {}).get("comparison") or {}).get("targets")
    if not compared:
        return None
    better, worse, open_ = [], [], []
    for name, one in compared.items():
        if not one["significant"]:
            open_.append(name)
        elif is_gain(one):
            better.append(name)
        else:
            worse.append(name)
    if len(better) == len(compared):
        return {"en": ", clearly better than the cheap baseline on every target", "zh": "，每个目标都明显好于简单基线"}
    parts = (
        (better, "clearly better than the cheap baseline on {}", "{}明显好于简单基线"),
        (open_, "not clearly different on {}", "{}没有明显差别"),
        (worse, "clearly worse on {}", "{}明显更差"),
    )
    english = ", ".join(text.format(" and ".join(names)) for names, text, _ in parts if names)
    chinese = "，".join(text.format("、".join(names)) for names, _, text in parts if names)
    return {"en": f", {english} (baseline by target)", "zh": f"，与各目标的简单基线相比{chinese}"}


def is_gain(comparison: Mapping[str, Any]) -> bool:
    """Whether the difference (model - baseline) of one target speaks for the model."""
    value = comparison["difference"]["value"] or 0.0
    return bool(value < 0.0 if comparison["metric"] in LOWER_IS_BETTER else value > 0.0)


def targets_point(numbers: Numbers) -> Sentence | None:
    """What the answers of each target are worth to who reads them."""
    found = _of(numbers)
    if not found:
        return None
    said: dict[str, Callable[[str, float], tuple[str, str]]] = {
        "classify": lambda name, value: (
            f"of 100 answers for {name} about {round(100 * value)} are right",
            f"{name} 的 100 个回答大约对 {round(100 * value)} 个",
        ),
        "tag": lambda name, value: (
            f"the labels of {name} reach a macro F1 of {form_of('macro_f1')(value)}",
            f"{name} 的标签宏平均 F1 为 {form_of('macro_f1')(value)}",
        ),
        "regress": lambda name, value: (
            f"the numbers of {name} are off by {number(value)} on average",
            f"{name} 的数平均差 {number(value)}",
        ),
    }
    told = [said[task](name, value) for name, task, value in found]
    english = "; ".join(one for one, _ in told)
    return {
        "en": f"On texts that it had never seen, {english}. Each target is measured on the test rows that have it.",
        "zh": "在没见过的文本上，" + "；".join(one for _, one in told) + "。每个目标只在有它的测试行上测。",
    }
