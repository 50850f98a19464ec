"""What the numbers mean, in sentences that can be read aloud, in English and Chinese.

Each function takes the summary and returns `{"en": ..., "zh": ...}`, or None where there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from danlu.report.advice import is_cheap, never_said
from danlu.report.numbers import SHARES, count, milliseconds, moment, number, percent, size
from danlu.report.words import stage_name, words

Sentence = dict[str, str]
Numbers = dict[str, Any]

#: Expected calibration error up to which a stated confidence may be taken at its word.
_CALIBRATED = 0.05

#: The score that is told of a model first, by task.
HEADLINES = {
    "classify": "accuracy",
    "tag": "macro_f1",
    "regress": "mae",
    "generate": "bits_per_character",
    "embed": "recall_at_1",
}


def verdict_sentence(numbers: Numbers) -> Sentence:
    """The whole report in one sentence."""
    return _BY_VERDICT[numbers["verdict"]](numbers)


def _ship(numbers: Numbers) -> Sentence:
    passed = len(numbers["gates"] or [])
    quality, against = _quality(numbers), _against_baseline(numbers)
    comparison, never = (numbers["baseline"] or {}).get("comparison"), _never(numbers)
    beaten = comparison and not is_cheap(numbers) and not (comparison["significant"] and is_better(numbers))
    if never["en"] or beaten:
        return {
            "en": f"Its gates let it pass, but look twice: {numbers['name']} {quality['en']}{against['en']}."
            f"{never['en']}",
            "zh": f"门槛都过了，但请三思：{numbers['name']} {quality['zh']}{against['zh']}。{never['zh']}",
        }
    gates_en = {1: "it passed its one gate", 2: "it passed both gates"}.get(passed, f"it passed all {passed} gates")
    return {
        "en": f"Ship it: {numbers['name']} {quality['en']}{against['en']}, and {gates_en}.",
        "zh": f"可以上线：{numbers['name']} {quality['zh']}{against['zh']}，{passed} 道门槛全部通过。",
    }


def _refused(numbers: Numbers) -> Sentence:
    gates = numbers["gates"] or []
    failed = [gate["expression"] for gate in gates if not gate["passed"]]
    quality, against, never = _quality(numbers), _against_baseline(numbers), _never(numbers)
    return {
        "en": f"Do not ship it yet: {numbers['name']} failed {len(failed)} of {len(gates)} "
        f"gate{'s' if len(gates) > 1 else ''} ({'; '.join(failed)}). It {quality['en']}{against['en']}."
        f"{never['en']}",
        "zh": f"先别上线：{numbers['name']} 的 {len(gates)} 道门槛有 {len(failed)} 道没过（{'；'.join(failed)}）。"
        f"它{quality['zh']}{against['zh']}。{never['zh']}",
    }


def _never(numbers: Numbers) -> Sentence:
    """A sentence about the labels that are never given; empty where there is none."""
    said = never_said(numbers)
    return {"en": f" It {said['en']}.", "zh": f"它{said['zh']}。"} if said else {"en": "", "zh": ""}


def _stopped(numbers: Numbers) -> Sentence:
    if is_asked_for(numbers):
        done = [row["stage"] for row in numbers["artifacts"]]
        card = sentence_of_data(numbers)
        return {
            "en": f"Done up to the stage {done[-1]}, as asked.{card['en']}",
            "zh": f"按要求做到了“{stage_name(done[-1], 'zh')}”阶段。{card['zh']}",
        }
    ended = _ended([row["stage"] for row in numbers["artifacts"]], numbers.get("error"))
    return {"en": f"No verdict yet: the run {ended['en']}.", "zh": f"还没有结论：运行{ended['zh']}。"}


def is_asked_for(numbers: Numbers) -> bool:
    """Whether a run without a verdict ended where it was told to (`--until`), and not because of a fault."""
    return numbers["verdict"] == "stopped" and not numbers.get("error") and bool(numbers["artifacts"])


def training_notes(numbers: Numbers, said: dict[str, str]) -> list[str]:
    """What training sees beyond the rows of the corpus: those added, and the shares that a mix reached."""
    data = numbers["data"] or {}
    notes = []
    added = (data.get("added") or {}).get("rows")
    if added:
        rows = count(data["splits"]["train"]["rows"] + added)
        notes.append(said["added"].format(added=count(added), rows=rows))
    sources = [
        said["mixed_source"].format(
            name=source["name"], reached=percent(source["reached"]), wanted=percent(source["wanted"])
        )
        for source in (data.get("mix") or {}).get("sources", [])
    ]
    if sources:
        notes.append(said["mixed"].format(sources=said["comma"].join(sources)))
    return notes


def standing(numbers: Numbers) -> str:
    """The verdict, or what it needs to be told apart from it: `doubted` ships with a doubt, `asked` ended as asked."""
    if numbers["verdict"] == "ship" and numbers["doubt"]:
        return "doubted"
    return "asked" if is_asked_for(numbers) else str(numbers["verdict"])


def sentence_of_data(numbers: Numbers) -> Sentence:
    """The corpus in a sentence, with a space before it; empty while there is none."""
    data = numbers["data"]
    if not data or not data["funnel"]:
        return {"en": "", "zh": ""}
    read, dropped = data["funnel"][0]["rows_in"], sum(sum(step["dropped"].values()) for step in data["funnel"])
    parts = {part: count(found["rows"]) for part, found in data["splits"].items()}
    chinese = words("zh")
    english = ", ".join(f"{rows} rows for {part}" for part, rows in parts.items())
    told = "，".join(f"{chinese.get(f'part_{part}', part)} {rows} 行" for part, rows in parts.items())
    return {
        "en": f" {count(read)} rows were read, {count(dropped)} of them dropped; the corpus has {english}.",
        "zh": f"读入 {count(read)} 行，丢掉 {count(dropped)} 行；语料有{told}。",
    }


def _ended(stages: list[str], error: dict[str, Any] | None) -> Sentence:
    """Where a run without a verdict ended, and why, as the second half of "the run ..."."""
    last = stages[-1] if stages else None
    after = {"en": f"ended after the stage {last}", "zh": f"在“{stage_name(last, 'zh')}”阶段之后结束"}
    before = {"en": "ended before its first stage", "zh": "在第一个阶段之前就结束了"}
    why = _first_line(error)
    return {
        "en": (after if stages else before)["en"] + (f" ({why})" if why else ""),
        "zh": (after if stages else before)["zh"] + (f"（{why}）" if why else ""),
    }


def _first_line(error: dict[str, Any] | None) -> str:
    text = str((error or {}).get("text") or "")
    return text.splitlines()[0].rstrip(".") if text.strip() else ""


def later_sentence(numbers: Numbers) -> Sentence | None:
    """That a later run than the one shown came to no verdict; None where there is none."""
    later = numbers["later"]
    if not later:
        return None
    ended, when = _ended(later["stages"], later["error"]), moment(later["finished"])
    return {
        "en": f"A later run ({when}) came to no verdict: it {ended['en']}. What is shown is the last run with one.",
        "zh": f"之后还有一次运行（{when}）没有得出结论：它{ended['zh']}。这里显示的是上一次有结论的运行。",
    }


_BY_VERDICT = {"ship": _ship, "refused": _refused, "stopped": _stopped}


def _quality(numbers: Numbers) -> Sentence:
    """How good the model is, as the second half of "the model ..."."""
    scores = (numbers["evidence"] or {}).get("scores") or {}
    if "accuracy" in scores:
        share = percent(scores["accuracy"]["value"])
        return {"en": f"gets {share} of unseen texts right", "zh": f"在没见过的文本上答对 {share}"}
    if "micro_f1" in scores:
        f1 = percent(scores["macro_f1"]["value"])
        return {"en": f"reaches a macro F1 of {f1} on unseen texts", "zh": f"在没见过的文本上宏平均 F1 为 {f1}"}
    if "mae" in scores:
        off = number(scores["mae"]["value"])
        return {"en": f"is off by {off} on average on unseen texts", "zh": f"在没见过的文本上平均差 {off}"}
    if "bits_per_character" in scores:
        bits = number(scores["bits_per_character"]["value"])
        return {
            "en": f"needs {bits} bits for each character of unseen text (less is better)",
            "zh": f"预测没见过的文本，每个字符用 {bits} 比特（越小越好）",
        }
    if "recall_at_1" in scores:
        share, pool = percent(scores["recall_at_1"]["value"]), count(numbers["evidence"].get("pool"))
        return {
            "en": f"puts what belongs to a new query first among {pool} texts in {share} of the cases",
            "zh": f"在 {pool} 条文本里，{share} 的情况能把新查询对应的那条排在第一",
        }
    return {"en": "has not been scored", "zh": "还没有评分"}


def _against_baseline(numbers: Numbers) -> Sentence:
    baseline = numbers["baseline"]
    comparison = (baseline or {}).get("comparison")
    if not baseline or not comparison:
        return {"en": "", "zh": ""}
    if is_cheap(numbers) and not comparison["significant"]:
        return {"en": ", as the baseline does, and is as cheap", "zh": "，和基线相当，也一样便宜"}
    shown = _baseline_shown(numbers)
    if not comparison["significant"]:
        return {
            "en": f", not clearly different from the cheap baseline's {shown}",
            "zh": f"，与简单基线的 {shown} 没有明显差别",
        }
    if is_better(numbers):
        return {"en": f", clearly better than the cheap baseline's {shown}", "zh": f"，明显好于简单基线的 {shown}"}
    return {"en": f", clearly worse than the cheap baseline's {shown}", "zh": f"，明显差于简单基线的 {shown}"}


def _baseline_shown(numbers: Numbers) -> str:
    """The baseline's accuracy, or the compared score where accuracy would tell another story than the test does."""
    theirs, metric = numbers["baseline"]["scores"], numbers["baseline"]["comparison"]["metric"]
    ours = (numbers["evidence"] or {}).get("scores") or {}
    if "accuracy" in theirs and "accuracy" in ours:
        ahead = ours["accuracy"]["value"] > theirs["accuracy"]["value"]
        if ahead == is_better(numbers):
            return percent(theirs["accuracy"]["value"])
    if "recall_at_1" in theirs and "recall_at_1" in ours:
        ahead = ours["recall_at_1"]["value"] > theirs["recall_at_1"]["value"]
        if ahead == is_better(numbers):
            return percent(theirs["recall_at_1"]["value"])
    shown = number((theirs.get(metric) or {}).get("value"))
    return f"{_NAMED[metric]} {shown}" if metric in _NAMED else shown


#: Scores that are told by name where another one is told without.
_NAMED = {"macro_f1": "macro F1", "mrr_at_10": "MRR@10"}


#: Scores of a model and its baseline that count in different units: the baseline's tokens are characters.
NOT_COMPARABLE = frozenset({"perplexity"})

#: Scores of which less is better.
LOWER_IS_BETTER = frozenset({"perplexity", "bits_per_character", "log_loss", "ece", "hamming_loss", "mae", "rmse"})


def is_better(numbers: Numbers) -> bool | None:
    """Whether the model's point estimate beats the baseline's on the compared metric; None where unknown."""
    baseline, evidence = numbers["baseline"], numbers["evidence"]
    if not baseline or not evidence or not baseline.get("comparison"):
        return None
    metric = baseline["comparison"]["metric"]
    ours = (evidence["scores"].get(metric) or {}).get("value")
    theirs = (baseline["scores"].get(metric) or {}).get("value")
    if ours is None or theirs is None:
        return None
    return bool(ours < theirs) if metric in LOWER_IS_BETTER else bool(ours > theirs)


def is_leak(naive: dict[str, Any]) -> bool:
    """Whether a naive split flatters the score beyond doubt: its interval lies above the honest one's."""
    low, high = naive["naive"].get("low"), naive["clean"].get("high")
    return low is not None and high is not None and bool(low > high)


def naive_sentence(numbers: Numbers) -> Sentence | None:
    """What a naive split would have made you believe."""
    naive = numbers["naive"]
    if not naive:
        return None
    believed, real = naive["naive"]["value"], naive["clean"]["value"]
    if believed is None or real is None:
        return None
    if not is_leak(naive):
        return {
            "en": f"A naive split would have shown {percent(believed)}, an honest one shows {percent(real)}: "
            "no more apart than chance allows.",
            "zh": f"随手一分会得到 {percent(believed)}，老实分得到 {percent(real)}：差别没有超出偶然。",
        }
    return {
        "en": f"Had we split naively, you would have believed {percent(believed)}; it is {percent(real)}.",
        "zh": f"如果随手一分，你会以为是 {percent(believed)}；其实是 {percent(real)}。",
    }


def naive_explanation(numbers: Numbers) -> Sentence | None:
    """Where the difference of `naive_sentence` comes from, and how it was measured."""
    naive = numbers["naive"]
    if not naive:
        return None
    share, rows = percent(naive.get("straddling_share")), count(naive.get("rows"))
    leaked = (numbers["data"] or {}).get("leaked_rows")
    return {
        "en": f"Split at random, {share} of the test texts have a duplicate or near duplicate among the training "
        f"texts, so that a model can answer them from memory. Measured with {naive['model']} on {rows} rows, split "
        "both ways. Danlu keeps duplicates on one side of the split; every other score on this page is from the "
        f"honest split ({count(leaked)} leaked rows counted afterwards).",
        "zh": f"随机划分时，{share} 的测试文本在训练集里有一模一样或几乎一样的副本，模型靠背就能答对。"
        f"这是用 {naive['model']} 在 {rows} 行数据上按两种分法各测一次的结果。Danlu 把重复的文本放在同一边；"
        f"本页其他分数都来自老实的划分（事后清点，泄漏 {count(leaked)} 行）。",
    }


def meaning(numbers: Numbers) -> list[Sentence]:
    """What the verdict means for the people who will use the model, a point each."""
    points = (_expect, _tags, _off, _perplexity, _found, _confusion, _confidence, _baseline_point, _speed_point)
    return [said for point in points if (said := point(numbers)) is not None]


def _expect(numbers: Numbers) -> Sentence | None:
    score = ((numbers["evidence"] or {}).get("scores") or {}).get("accuracy")
    if not score or score["value"] is None:
        return None
    right = round(100 * score["value"])
    rows = count(numbers["evidence"]["rows"])
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
        (matrix[truth][said], labels[truth], labels[said])
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
    if value <= _CALIBRATED:
        return {
            "en": f"Its confidence can be taken at its word: on average it is off by {percent(value)}.",
            "zh": f"它说的把握可以当真：平均只偏 {percent(value)}。",
        }
    bins = [entry for entry in calibration["bins"] if entry["rows"]]
    over = sum(entry["rows"] * (entry["confidence"] - entry["accuracy"]) for entry in bins) > 0
    return {
        "en": f"It is {'surer' if over else 'less sure'} than it should be: its confidence is off by "
        f"{percent(value)} on average. Do not set thresholds on it without looking at the curve below.",
        "zh": f"它{'过于自信' if over else '不够自信'}：说的把握平均偏 {percent(value)}。"
        "先看下面的曲线，再用它设阈值。",
    }


def _baseline_point(numbers: Numbers) -> Sentence | None:
    """What the baseline on all rows says: whether a large model is needed at all."""
    baseline, evidence = numbers["baseline"], numbers["evidence"]
    every = ((baseline or {}).get("all_rows") or {}).get("scores") or {}
    metric = HEADLINES[numbers["task"]]
    theirs = (every.get(metric) or {}).get("value")
    ours = (((evidence or {}).get("scores") or {}).get(metric) or {}).get("value")
    if theirs is None or ours is None or is_cheap(numbers):
        return None
    show = percent if metric in SHARES else number
    ahead = ours < theirs if metric in LOWER_IS_BETTER else ours > theirs
    test = baseline["all_rows"].get("comparison")
    if ahead and (test is None or test["significant"]):
        return {
            "en": f"Even when the cheap baseline ({baseline['name']}) learns from all the training rows it reaches "
            f"{show(theirs)}, so the model earns its place.",
            "zh": f"就算让简单基线（{baseline['name']}）学完全部训练数据，也只到 {show(theirs)}，这个模型值得用。",
        }
    instead = {"en": "", "zh": ""}
    if metric == "accuracy":
        setting = "model: {classic: {kind: logistic}}"
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


def gate_sentence(gate: dict[str, Any], numbers: Numbers) -> Sentence:
    """What was seen at a gate, and why it did not pass. The artifact's own words are English."""
    english = str(gate["reason"] or number(gate["observed"]))
    function = gate["expression"].partition("(")[0].strip()
    if gate["observed"] is None:
        return {"en": english, "zh": "没有可用的测量结果"}
    return {"en": english, "zh": _GATE_FUNCTIONS.get(function, _observed)(gate, numbers)}


def _observed(gate: dict[str, Any], _numbers: Numbers) -> str:
    return f"实际值 {number(gate['observed'], 4)}"


def _beats(gate: dict[str, Any], numbers: Numbers) -> str:
    baseline = numbers["baseline"] or {}
    comparison = baseline.get("comparison")
    if not comparison:
        return _observed(gate, numbers)
    metric = comparison["metric"]
    gain = -gate["observed"] if metric in LOWER_IS_BETTER else gate["observed"]
    chance = comparison.get("p_value")
    by = words("zh").get(metric, metric) + ("" if chance is None else f"，p = {number(chance)}")
    name, apart = f"基线（{baseline['name']}）", number(abs(gain))
    if gain < 0:
        return f"{name}反而好 {apart}（{by}）"
    if gain == 0:
        return f"与{name}一样好（{by}）"
    return f"比{name}好 {apart}（{by}）" + ("" if comparison["significant"] else "，可能是偶然")


_GATE_FUNCTIONS: dict[str, Callable[[dict[str, Any], Numbers], str]] = {"beats": _beats, "not_worse": _beats}
