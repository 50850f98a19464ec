"""What the numbers mean, in sentences that can be read aloud, in English and Chinese.

Each function takes the summary and returns `{"en": ..., "zh": ...}`, or None where there is nothing to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from danlu.core.scores import LOWER_IS_BETTER
from danlu.report.advice import is_cheap, never_said
from danlu.report.decisions import compared_with, no_measure
from danlu.report.numbers import count, moment, number, percent
from danlu.report.targets import against_targets, quality_of_targets
from danlu.report.words import stage_name, words

Sentence = dict[str, str]
Numbers = dict[str, Any]

#: The score that is told of a model first, by task.
HEADLINES = {
    "classify": "accuracy",
    "tag": "macro_f1",
    "regress": "mae",
    "multitask": "quality",
    "generate": "bits_per_character",
    "embed": "recall_at_1",
    "fill": "masked_accuracy",
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


def _undecided(numbers: Numbers) -> Sentence:
    """Nothing speaks against it, but the test rows are too few to speak for it."""
    open_ = [gate for gate in numbers["gates"] or [] if not gate["passed"]]
    named, further = [gate["expression"] for gate in open_], count(max(gate["further"] for gate in open_))
    quality, never = _quality(numbers), _never(numbers)
    rows = count((numbers["evidence"] or {}).get("rows"))
    return {
        "en": f"Not enough data to decide: {numbers['name']} {quality['en']}, but {rows} test texts are too few to "
        f"show that it passes {'; '.join(named)}. If it is as good as it looks, about {further} more would show it."
        f"{never['en']}",
        "zh": f"数据不够，还下不了结论：{numbers['name']} {quality['zh']}，但 {rows} 条测试文本太少，"
        f"证明不了它过得了 {'；'.join(named)}。如果它真有看上去这么好，再加大约 {further} 条测试文本就能看清。"
        f"{never['zh']}",
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


_BY_VERDICT = {"ship": _ship, "refused": _refused, "undecided": _undecided, "stopped": _stopped}


def _quality(numbers: Numbers) -> Sentence:
    """How good the model is, as the second half of "the model ..."."""
    scores = (numbers["evidence"] or {}).get("scores") or {}
    several = quality_of_targets(numbers)
    if several is not None:
        return several
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
    if "masked_accuracy" in scores:
        share = percent(scores["masked_accuracy"]["value"])
        return {
            "en": f"finds {share} of the words hidden in unseen texts",
            "zh": f"能找回没见过的文本里 {share} 的被遮词",
        }
    return {"en": "has not been scored", "zh": "还没有评分"}


def _against_baseline(numbers: Numbers) -> Sentence:
    baseline = numbers["baseline"]
    comparison = (baseline or {}).get("comparison")
    if not baseline or not comparison:
        return {"en": "", "zh": ""}
    several = against_targets(numbers)
    if several is not None:
        return several
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
    if "masked_accuracy" in theirs:
        return percent(theirs["masked_accuracy"]["value"])
    shown = number((theirs.get(metric) or {}).get("value"))
    return f"{_NAMED[metric]} {shown}" if metric in _NAMED else shown


#: Scores that are told by name where another one is told without.
_NAMED = {"macro_f1": "macro F1", "mrr_at_10": "MRR@10"}


#: Scores of a model and its baseline that count in different units: the baseline's tokens are characters.
NOT_COMPARABLE = frozenset({"perplexity"})


def is_better(numbers: Numbers) -> bool | None:
    """Whether the model's point estimate beats the baseline's on the compared metric; None where unknown."""
    baseline, evidence = numbers["baseline"], numbers["evidence"]
    if not baseline or not evidence or not baseline.get("comparison"):
        return None
    metric = baseline["comparison"]["metric"]
    if baseline["comparison"].get("targets"):
        gain = baseline["comparison"]["difference"]["value"]
        return None if gain is None else bool(gain > 0.0)
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
    """What a naive split would have made you believe, and of which model that is."""
    naive = numbers["naive"]
    if not naive:
        return None
    believed, real = naive["naive"]["value"], naive["clean"]["value"]
    if believed is None or real is None:
        return None
    of = {
        "en": f" Both are of {naive['model']}, fitted for this comparison alone.",
        "zh": f"两个数都出自专为这一对比训练的 {naive['model']}。",
    }
    if not is_leak(naive):
        return {
            "en": f"A naive split would have shown {percent(believed)}, an honest one shows {percent(real)}: "
            f"no more apart than chance allows.{of['en']}",
            "zh": f"随手一分会得到 {percent(believed)}，老实分得到 {percent(real)}：差别没有超出偶然。{of['zh']}",
        }
    return {
        "en": f"Had we split naively, you would have believed {percent(believed)}; it is {percent(real)}.{of['en']}",
        "zh": f"如果随手一分，你会以为是 {percent(believed)}；其实是 {percent(real)}。{of['zh']}",
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
        f"texts, so that a model can answer them from memory. Measured on {rows} rows, split "
        "both ways. Danlu keeps duplicates on one side of the split; every other score on this page is from the "
        f"honest split ({count(leaked)} leaked rows counted afterwards).",
        "zh": f"随机划分时，{share} 的测试文本在训练集里有一模一样或几乎一样的副本，模型靠背就能答对。"
        f"这是在 {rows} 行数据上按两种分法各测一次的结果。Danlu 把重复的文本放在同一边；"
        f"本页其他分数都来自老实的划分（事后清点，泄漏 {count(leaked)} 行）。",
    }


def gate_sentence(gate: dict[str, Any], numbers: Numbers) -> Sentence:
    """What was seen at a gate, and why it did not pass. The artifact's own words are English."""
    english = str(gate["reason"] or number(gate["observed"]))
    name = re.split(r"[^\w]", gate["expression"].strip())[0]
    if gate["observed"] is None:
        return {"en": english, "zh": no_measure(gate)}
    wanted = f"；再加大约 {count(gate['further'])} 条测试文本才看得清" if gate.get("further") else ""
    return {"en": english, "zh": _GATES.get(name, _observed)(gate, numbers) + wanted}


#: The end of a gate that compares: its sign and its number.
_LIMIT = re.compile(r"([<>=!]=|[<>]) *(\S+)$")
_SIGNS = {">=": "≥", "<=": "≤", "==": "=", "!=": "≠"}


def _observed(gate: dict[str, Any], _numbers: Numbers) -> str:
    limit = _LIMIT.search(gate["expression"])
    asked = "" if limit is None else f"，要求 {_SIGNS.get(limit[1], limit[1])} {limit[2]}"
    return f"实际值 {number(gate['observed'], 4)}{asked}"


def _parity(gate: dict[str, Any], numbers: Numbers) -> str:
    """What was observed, and on how many texts, which are not those of the test."""
    shipped: Numbers = next((form for form in numbers["forms"] or [] if form["shipped"]), {})
    rows = (shipped.get("parity") or {}).get("rows")
    return _observed(gate, numbers) + ("" if rows is None else f"（{count(rows)} 条留出文本）")


def _beats(gate: dict[str, Any], numbers: Numbers) -> str:
    called, comparison = compared_with(gate, numbers)
    if not comparison:
        return _observed(gate, numbers)
    metric = comparison["metric"]
    gain = -gate["observed"] if metric in LOWER_IS_BETTER else gate["observed"]
    chance = comparison.get("p_value")
    by = words("zh").get(metric, metric) + ("" if chance is None else f"，p = {number(chance)}")
    name, apart = called["zh"], number(abs(gain))
    if gain < 0:
        return f"{name}反而好 {apart}（{by}）"
    if gain == 0:
        return f"与{name}一样好（{by}）"
    return f"比{name}好 {apart}（{by}）" + ("" if comparison["significant"] else "，可能是偶然")


#: What a gate looks at, where more is to be said of it than a number and a limit.
_GATES: dict[str, Callable[[dict[str, Any], Numbers], str]] = {"beats": _beats, "not_worse": _beats, "parity": _parity}
