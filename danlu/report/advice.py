"""What a run's numbers ask of the people who read them: doubts about a verdict, and what to do next.

Each function takes the summary and returns `{"en": ..., "zh": ...}`, or None where there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from danlu.report.decisions import more_rows
from danlu.report.numbers import count, number, one_line, percent, taught_rows

Sentence = dict[str, str]
Numbers = dict[str, Any]

#: Test rows below which an accuracy is known to no better than 7 points each way (1.96 · sqrt(0.25 / 200)).
FEW_TEST_ROWS = 200

#: Training rows below which a model from nothing is rarely better than the baseline.
_FEW_TRAINING_ROWS = 20_000

#: Labels named in a sentence.
_SHOWN_LABELS = 3


def is_cheap(numbers: Numbers) -> bool:
    """Whether the model is one without a neural network, as cheap as the baseline itself.

    One over the vectors of a frozen encoder is not: the encoder has to be run for every text.
    """
    return (numbers["evidence"] or {}).get("form") == "classic" and (numbers["model"] or {}).get("base") is None


def never_answered(numbers: Numbers) -> list[str]:
    """The labels that test rows have and the model never gives."""
    confusion = (numbers["evidence"] or {}).get("confusion")
    if not confusion:
        return []
    matrix = confusion["matrix"]
    return [
        label
        for place, label in enumerate(confusion["labels"])
        if sum(matrix[place]) and not sum(row[place] for row in matrix)
    ]


def never_said(numbers: Numbers) -> Sentence | None:
    """That some labels are never given, as the second half of "the model ..."."""
    labels = never_answered(numbers)
    if not labels:
        return None
    shown, more = [f"“{one_line(label)}”" for label in labels[:_SHOWN_LABELS]], len(labels) - _SHOWN_LABELS
    return {
        "en": f"never answers {' or '.join(shown)}" + (f" or {more} other labels" if more > 0 else ""),
        "zh": f"从不回答{'、'.join(shown)}" + (f"等 {len(labels)} 个标签" if more > 0 else ""),
    }


def doubt(numbers: Numbers) -> Sentence | None:
    """What stands beside a verdict that ships a model which may not be worth it, in a few words."""
    if numbers["verdict"] != "ship":
        return None
    comparison = (numbers["baseline"] or {}).get("comparison")
    never = never_said(numbers)
    if taught_rows(numbers["data"]):
        return {"en": "it was tested on a teacher's answers, not on people's", "zh": "它是用老师而不是人的答案测的"}
    if comparison and not comparison["significant"] and not is_cheap(numbers):
        return {"en": "the cheap baseline does as well: consider it", "zh": "简单基线也差不多：请考虑用它"}
    if comparison and comparison["significant"] and numbers["ahead"] is False:
        return {"en": "the cheap baseline does better: consider it", "zh": "简单基线更好：请考虑用它"}
    if _gave_up(numbers):
        return {"en": "its training gave up before its end", "zh": "训练没到终点就放弃了"}
    return never and {"en": f"it {never['en']}", "zh": f"它{never['zh']}"}


def advice(numbers: Numbers) -> list[Sentence]:
    """What to do next, the surest first; empty where nothing needs to be done."""
    points: tuple[Callable[[Numbers], Sentence | None], ...] = (
        _gave_up,
        more_rows,
        _still_learning,
        _not_learned,
        _from_nothing,
        _few_rows,
    )
    return [said for point in points if (said := point(numbers)) is not None]


def _gave_up(numbers: Numbers) -> Sentence | None:
    """Losses leapt or were no numbers too often, and what there is is the best model until then."""
    row = (numbers["training"] or {}).get("gave_up")
    if not row:
        return None
    return {
        "en": f"Training gave up before its end, and the model is that of step {count(row['kept'])}. {row['why']}. "
        "Lower train.learning_rate, raise train.schedule.warmup, or set train.precision: float32.",
        "zh": f"训练没到终点就放弃了，模型是第 {count(row['kept'])} 步的。在第 {count(row['step'] + 1)} 步，"
        "损失一再飙升或不是数（原文见 training.json 的 gave_up）。把 train.learning_rate 调低，"
        "把 train.schedule.warmup 调大，或设 train.precision: float32。",
    }


def _still_learning(numbers: Numbers) -> Sentence | None:
    """The best weights are the last ones, and the score before them was worse."""
    training = numbers["training"]
    if numbers["verdict"] not in ("refused", "undecided") or not training or training["stopped_early"]:
        return None
    history, best = training["history"], training["best"]
    if len(history) < 2 or not best or best["step"] != history[-1]["step"]:
        return None
    before, after = (number(row["validation_score"]) for row in history[-2:])
    if before == after:
        return None
    metric, setting = best["metric"].replace("_", " "), training["limited_by"]
    had = number(training["epochs"], 2)
    return {
        "en": f"It was still learning when training ended (validation {metric} {before} → {after} at the last look): "
        f"more epochs. Raise {setting}; it had {had} epochs.",
        "zh": f"训练结束时它还在进步（验证集 {metric} 最后一次从 {before} 到 {after}）："
        f"多训练几轮，把 {setting} 调大；这次是 {had} 轮。",
    }


def _not_learned(numbers: Numbers) -> Sentence | None:
    """It gives one label to every text, as before its first step."""
    evidence, training = numbers["evidence"], numbers["training"]
    confusion = (evidence or {}).get("confusion")
    if not confusion or not training:
        return None
    given = [label for place, label in enumerate(confusion["labels"]) if any(row[place] for row in confusion["matrix"])]
    if len(given) != 1 or len(confusion["labels"]) < 2:
        return None
    label = one_line(given[0])
    steps = count(training["steps"])
    early = training["stopped_early"]
    return {
        "en": f"It answers every text with “{label}”: in {steps} steps it has learned nothing. Give it more steps "
        "(train.epochs, or a smaller train.batch_size)"
        + (", a larger train.early_stopping (training ended early)" if early else "")
        + ", or a higher train.learning_rate if the model is from nothing.",
        "zh": f"它对所有文本都回答“{label}”：{steps} 步里什么也没学到。多走几步（调大 train.epochs，或调小 "
        "train.batch_size）" + ("，调大 train.early_stopping（这次提前停了）" if early else "") + "；"
        "从零训练的模型还可以把 train.learning_rate 调高。",
    }


def _from_nothing(numbers: Numbers) -> Sentence | None:
    """A model from nothing that does no better than the baseline."""
    model, data, baseline = numbers["model"], numbers["data"], numbers["baseline"]
    comparison = (baseline or {}).get("comparison")
    if not model or model["base"] is not None or not data or not comparison:
        return None
    rows = ((data["splits"] or {}).get("train") or {}).get("rows") or 0
    if is_cheap(numbers) or rows >= _FEW_TRAINING_ROWS or (comparison["significant"] and numbers["ahead"]):
        return None
    return {
        "en": f"It started from nothing, and {count(rows)} training rows are few for that. Start from a pretrained "
        "model instead (model.base in place of model.scratch), or collect more rows.",
        "zh": f"它是从零训练的，{count(rows)} 行训练数据太少。换一个预训练模型（用 model.base 代替 model.scratch），"
        "或者再多收集些数据。",
    }


def _few_rows(numbers: Numbers) -> Sentence | None:
    """So few test rows prove little."""
    evidence = numbers["evidence"]
    if not evidence or not evidence["rows"] or evidence["rows"] >= FEW_TEST_ROWS:
        return None
    rows, score = count(evidence["rows"]), (evidence["scores"] or {}).get("accuracy") or {}
    en = zh = ""
    if score.get("low") is not None:
        low, high = percent(score["low"], 0), percent(score["high"], 0)
        en, zh = (
            f": the true accuracy may lie anywhere from {low} to {high}",
            f"：真实准确率可能在 {low} 到 {high} 之间",
        )
    return {
        "en": f"{rows} test texts prove little{en}. More of your data would tell more.",
        "zh": f"只有 {rows} 条测试文本，说明不了什么{zh}。多收集一些数据才看得准。",
    }
