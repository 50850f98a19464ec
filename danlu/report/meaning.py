"""What a verdict means for the people who will use the model: a point each, in English and Chinese.

Each point takes the summary and returns `{"en": ..., "zh": ...}`, or None where there is nothing to say.
"""

from __future__ import annotations

from danlu.core.scores import LOWER_IS_BETTER
from danlu.report.advice import is_cheap
from danlu.report.decisions import abstention_sentence, calibration_hint, costs_sentence
from danlu.report.numbers import (
    count,
    form_of,
    milliseconds,
    number,
    one_line,
    percent,
    size,
    taught_rows,
)
from danlu.report.sentences import HEADLINES, Numbers, Sentence
from danlu.report.targets import targets_point

#: Expected calibration error up to which a stated confidence may be taken at its word.
_CALIBRATED = 0.05


def meaning(numbers: Numbers) -> list[Sentence]:
    """What the verdict means for the people who will use the model, a point each."""
    points = (
        _taught,
        targets_point,
        _expect,
        _tags,
        _off,
        _perplexity,
        _found,
        _confusion,
        _confidence,
        abstention_sentence,
        costs_sentence,
        _baseline_point,
        _speed_point,
    )
    return [said for point in points if (said := point(numbers)) is not None]


def _taught(numbers: Numbers) -> Sentence | None:
    """What scores mean where a teacher, not people, answered test rows."""
    taught = taught_rows(numbers["data"])
    if not taught or not numbers["evidence"]:
        return None
    return {
        "en": f"{count(taught)} test rows have the answers of a teacher (data.teacher), not of people. Where this page "
        "calls an answer right, it agrees with the teacher's there: that is how well the model imitates it, not how "
        "often it is right.",
        "zh": f"{count(taught)} 条测试行的答案出自老师（data.teacher），不是人。本页所说的“对”，在这些行上只是与老师"
        "一致：说的是学得像不像，不是对不对。",
    }


def _expect(numbers: Numbers) -> Sentence | None:
    score = ((numbers["evidence"] or {}).get("scores") or {}).get("accuracy")
    if not score or score["value"] is None:
        return None
    right = round(100 * score["value"])
    rows = count(numbers["evidence"]["rows"])
    if taught_rows(numbers["data"]):
        return {
            "en": f"Of 100 new texts like yours, expect about {right} answers that agree with the test part's, which a "
            f"teacher gave in part or whole. That was measured on {rows} texts that the model had never seen.",
            "zh": f"100 条和你的数据类似的新文本里，大约 {right} 条的答案与测试部分的答案一致，"
            f"而那些答案部分或全部出自老师。这是在模型从没见过的 {rows} 条文本上测出来的。",
        }
    return {
        "en": f"Of 100 new texts like yours, expect about {right} right and {100 - right} wrong. "
        f"That was measured on {rows} texts that the model had never seen.",
        "zh": f"100 条和你的数据类似的新文本里，大约对 {right} 条、错 {100 - right} 条。"
        f"这是在模型从没见过的 {rows} 条文本上测出来的。",
    }


def _tags(numbers: Numbers) -> Sentence | None:
    """What the labels of a model that gives several are worth."""
    scores = (numbers["evidence"] or {}).get("scores") or {}
    if "micro_f1" not in scores or scores["micro_recall"]["value"] is None:
        return None
    found, rows = round(100 * scores["micro_recall"]["value"]), count(numbers["evidence"]["rows"])
    right = round(100 * (scores["micro_precision"]["value"] or 0.0))
    return {
        "en": f"Of 100 labels that new texts have, expect it to find about {found}; of 100 that it gives, about "
        f"{right} are right. That was measured on {rows} texts that the model had never seen.",
        "zh": f"新文本该有的 100 个标签，它大约找出 {found} 个；它给出的 100 个标签，大约 {right} 个是对的。"
        f"这是在模型从没见过的 {rows} 条文本上测出来的。",
    }


def _off(numbers: Numbers) -> Sentence | None:
    """How far off the numbers of a model are."""
    scores = (numbers["evidence"] or {}).get("scores") or {}
    if "mae" not in scores or scores["mae"]["value"] is None:
        return None
    off, rows = number(scores["mae"]["value"]), count(numbers["evidence"]["rows"])
    share = "" if scores["r2"]["value"] is None else percent(max(0.0, scores["r2"]["value"]), 0)
    return {
        "en": f"Its numbers are off by {off} on average, measured on {rows} texts that it had never seen"
        + (f"; they explain {share} of the differences between texts (R²)." if share else "."),
        "zh": f"它给的数平均差 {off}，在没见过的 {rows} 条文本上测得"
        + (f"；文本之间的差别，它解释了 {share}（R²）。" if share else "。"),
    }


def _perplexity(numbers: Numbers) -> Sentence | None:
    score = ((numbers["evidence"] or {}).get("scores") or {}).get("perplexity")
    if not score or score["value"] is None:
        return None
    shown, rows = number(score["value"]), count(numbers["evidence"]["rows"])
    return {
        "en": f"At each token it hesitates as if among {shown} equally likely ones (its perplexity), measured on "
        f"{rows} texts that it had never seen.",
        "zh": f"每写一个词元，它的犹豫相当于在 {shown} 个同样可能的词元里选一个（困惑度），"
        f"在没见过的 {rows} 条文本上测得。",
    }


def _found(numbers: Numbers) -> Sentence | None:
    score = ((numbers["evidence"] or {}).get("scores") or {}).get("recall_at_10")
    if not score or score["value"] is None:
        return None
    queries, pool = count(numbers["evidence"]["queries"]), count(numbers["evidence"]["pool"])
    share = percent(score["value"])
    return {
        "en": f"Whoever reads the first ten hits finds {share} of what belongs to a query, measured with {queries} "
        f"queries that the model had never seen, in {pool} texts that it had not seen either. In a larger collection "
        "expect less.",
        "zh": f"看前十条结果，能找到查询对应文本的 {share}；这是用模型从没见过的 {queries} 条查询、"
        f"在同样没见过的 {pool} 条文本里测出来的。文本更多时会低一些。",
    }


def _confusion(numbers: Numbers) -> Sentence | None:
    confusion = (numbers["evidence"] or {}).get("confusion")
    if not confusion:
        return None
    labels, matrix = confusion["labels"], confusion["matrix"]
    wrong = [
        (matrix[truth][said], one_line(labels[truth]), one_line(labels[said]))
        for truth in range(len(labels))
        for said in range(len(labels))
        if truth != said
    ]
    rows, truth, said = max(wrong, default=(0, "", ""))
    if not rows:
        return None
    total = sum(entry[0] for entry in wrong)
    return {
        "en": f"Its most common mistake is to call “{truth}” “{said}”: {count(rows)} of {count(total)} mistakes.",
        "zh": f"最常见的错误是把“{truth}”当成“{said}”：{count(total)} 个错误里有 {count(rows)} 个。",
    }


def _confidence(numbers: Numbers) -> Sentence | None:
    calibration = (numbers["evidence"] or {}).get("calibration")
    value = ((calibration or {}).get("ece") or {}).get("value")
    if calibration is None or value is None:
        return None
    mend = calibration_hint(calibration)
    if value <= _CALIBRATED:
        mend = mend if calibration.get("ece_without") else {"en": "", "zh": ""}
        return {
            "en": f"Its confidence can be taken at its word: on average it is off by {percent(value)}.{mend['en']}",
            "zh": f"它说的把握可以当真：平均只偏 {percent(value)}。{mend['zh']}",
        }
    bins = [entry for entry in calibration["bins"] if entry["rows"]]
    over = sum(entry["rows"] * (entry["confidence"] - entry["accuracy"]) for entry in bins) > 0
    return {
        "en": f"It is {'surer' if over else 'less sure'} than it should be: its confidence is off by "
        f"{percent(value)} on average. Do not set thresholds on it without looking at the curve below.{mend['en']}",
        "zh": f"它{'过于自信' if over else '不够自信'}：说的把握平均偏 {percent(value)}。"
        f"先看下面的曲线，再用它设阈值。{mend['zh']}",
    }


#: Which kind of `model.classic` is the baseline itself, by task.
_BASELINES = {"classify": "logistic", "tag": "logistic", "regress": "ridge"}


def _baseline_point(numbers: Numbers) -> Sentence | None:
    """What the baseline on all rows says: whether a large model is needed at all."""
    baseline, evidence = numbers["baseline"], numbers["evidence"]
    every = ((baseline or {}).get("all_rows") or {}).get("scores") or {}
    metric = HEADLINES[numbers["task"]]
    theirs = (every.get(metric) or {}).get("value")
    ours = (((evidence or {}).get("scores") or {}).get(metric) or {}).get("value")
    if theirs is None or ours is None or is_cheap(numbers):
        return None
    show = form_of(metric)
    ahead = ours < theirs if metric in LOWER_IS_BETTER else ours > theirs
    test = baseline["all_rows"].get("comparison")
    if ahead and (test is None or test["significant"]):
        return {
            "en": f"Even when the cheap baseline ({baseline['name']}) learns from all the training rows it reaches "
            f"{show(theirs)}, so the model earns its place.",
            "zh": f"就算让简单基线（{baseline['name']}）学完全部训练数据，也只到 {show(theirs)}，这个模型值得用。",
        }
    instead = {"en": "", "zh": ""}
    if numbers["task"] in _BASELINES:
        setting = f"model: {{classic: {{kind: {_BASELINES[numbers['task']]}}}}}"
        instead = {"en": f" To release the baseline itself: {setting}.", "zh": f"要发布基线本身：{setting}。"}
    return {
        "en": f"The cheap baseline ({baseline['name']}) reaches {show(theirs)} when it learns from all the training "
        f"rows: you may not need this model, or it needs more of your data.{instead['en']}",
        "zh": f"简单基线（{baseline['name']}）学完全部训练数据能到 {show(theirs)}："
        f"也许不需要这个模型，或者它还要多学些数据。{instead['zh']}",
    }


def _speed_point(numbers: Numbers) -> Sentence | None:
    speed = numbers["speed"]
    if not speed or speed.get("p50_ms") is None:
        return None
    shipped = next((form for form in numbers["forms"] or [] if form["shipped"]), None)
    weight = size(shipped["bytes"] if shipped else None)
    if speed.get("tokens_per_second") is not None:
        rate, first = number(speed["tokens_per_second"]), milliseconds(speed.get("first_token_ms"))
        return {
            "en": f"On this machine it writes {rate} tokens a second, the first after {first}; "
            f"the model is {weight} on disk.",
            "zh": f"在这台机器上每秒写 {rate} 个词元，第一个要等 {first}；模型文件 {weight}。",
        }
    half, most = milliseconds(speed["p50_ms"]), milliseconds(speed["p95_ms"])
    return {
        "en": f"On this machine half of the answers take less than {half} and 95 of 100 less than {most}; "
        f"the model is {weight} on disk.",
        "zh": f"在这台机器上，一半的回答快于 {half}，100 次里有 95 次快于 {most}；模型文件 {weight}。",
    }
