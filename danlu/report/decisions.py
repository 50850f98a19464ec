"""What helps to decide about a classifier, in words: the version that is live, when to ask a person, which texts.

Each function takes the summary; sentences are `{"en": ..., "zh": ...}`, or None where there is nothing to say.
"""

from __future__ import annotations

from typing import Any

from danlu.report.numbers import MINUS, count, number, percent

Sentence = dict[str, str]
Numbers = dict[str, Any]

#: The share of texts that the model answers itself in the sentence about it.
_COVERAGE = 0.8


def compared_with(gate: dict[str, Any], numbers: Numbers) -> tuple[Sentence, dict[str, Any] | None]:
    """What a gate such as `beats(champion)` compares with, as it is called, and the comparison."""
    if "champion" in gate["expression"].partition("(")[2]:
        champion = numbers.get("champion") or {}
        number = (champion.get("version") or {}).get("number")
        called = {"en": f"the champion (version {number})", "zh": f"现役版本（第 {number} 版）"}
        return called, champion.get("comparison")
    baseline = numbers["baseline"] or {}
    name = baseline.get("name")
    return {"en": f"the baseline ({name})", "zh": f"基线（{name}）"}, baseline.get("comparison")


def no_measure(gate: dict[str, Any]) -> str:
    """Chinese for a gate that looked at no number."""
    return "还没有现役版本，不用比" if gate["passed"] else "没有可用的测量结果"


def more_rows(numbers: Numbers) -> Sentence | None:
    """What it takes to get the test rows that an open verdict lacks."""
    lacking = [gate["further"] for gate in numbers["gates"] or [] if gate.get("further") and not gate["passed"]]
    splits = (numbers["data"] or {}).get("splits") or {}
    rows = sum(part["rows"] for part in splits.values())
    if numbers["verdict"] != "undecided" or not lacking or not splits.get("test", {}).get("rows"):
        return None
    share, further = splits["test"]["rows"] / rows, max(lacking)
    in_all = count(float(f"{further / share:.2g}"))
    return {
        "en": f"Label more texts: {percent(share, 0)} of the rows go to the test part, so {count(further)} more there "
        f"are about {in_all} more in all, or fewer with a larger data.split.test.",
        "zh": f"多标一些文本：{percent(share, 0)} 的数据进测试集，要在那里多 {count(further)} 条，"
        f"总共大约要多标 {in_all} 条；把 data.split.test 调大就可以少标一些。",
    }


def champion_sentence(numbers: Numbers) -> Sentence | None:
    """How the model does beside the version that is live, on the same rows."""
    champion = numbers.get("champion")
    if not champion:
        return None
    if champion["missing"]:
        return {"en": f"Not compared: {champion['missing']}", "zh": f"没有比较：{champion['missing']}"}
    comparison = champion["comparison"]
    if not comparison:
        return {"en": "No other version is live yet.", "zh": "还没有别的现役版本。"}
    found = comparison["accuracy"]["difference"]
    ours, theirs = (champion["scores"][who]["accuracy"]["value"] for who in ("model", "champion"))
    number, rows = champion["version"]["number"], count(comparison["rows"])
    low, high = (percent(found[end]).removesuffix("%").replace("-", MINUS) for end in ("low", "high"))
    sentence = {
        "en": f"On the same {rows} texts it gets {percent(ours)} right and version {number}, which is live, "
        f"{percent(theirs)} (difference {low} to {high} points).",
        "zh": f"同样的 {rows} 条文本，它答对 {percent(ours)}，现役的第 {number} 版答对 {percent(theirs)}"
        f"（差 {low} 到 {high} 个百分点）。",
    }
    seen = champion["seen_rows"]
    if seen:
        sentence["en"] += f" {count(seen)} test texts are left out: version {number} has learned from them."
        sentence["zh"] += f"另有 {count(seen)} 条测试文本不算在内：第 {number} 版学过它们。"
    return sentence


def abstention_sentence(numbers: Numbers) -> Sentence | None:
    """What it gains to hand the unsure texts to a person."""
    points = (numbers["evidence"] or {}).get("abstention") or []
    part = next((point for point in points if point["coverage"] >= _COVERAGE), None)
    if part is None or part is points[-1]:
        return None
    every, kept = points[-1]["accuracy"]["value"], part["accuracy"]
    share, low, high = percent(part["coverage"], 0), percent(kept["low"]), percent(kept["high"])
    return {
        "en": f"Let it answer the {share} that it is surest of (confidence from {percent(part['threshold'])}), and "
        f"hand the rest to a person: of its answers {percent(kept['value'])} are right ({low} to {high}), instead of "
        f"{percent(every)}.",
        "zh": f"只让它回答最有把握的 {share}（把握不低于 {percent(part['threshold'])}），其余交给人："
        f"它的回答有 {percent(kept['value'])} 是对的（{low} 到 {high}），而不是 {percent(every)}。",
    }


def costs_sentence(numbers: Numbers) -> Sentence | None:
    """From which confidence on the model should answer, and what that costs."""
    costs = (numbers["evidence"] or {}).get("costs")
    if not costs:
        return None
    person, all_ = number(costs["person"]), number(costs["model"]["value"])
    if costs["threshold"] is None:
        return {
            "en": f"With a person at {person} a text, it should answer nothing: its mistakes cost more ({all_}).",
            "zh": f"人工每条 {person}，它什么都不该答：它的错误更贵（每条 {all_}）。",
        }
    cost, low, high = (number(costs["cost"][end]) for end in ("value", "low", "high"))
    share, threshold = percent(costs["coverage"], 0), percent(costs["threshold"])
    return {
        "en": f"At the costs that were given it should answer from a confidence of {threshold} on ({share} of the "
        f"texts, chosen on validation rows): {cost} a text ({low} to {high}), instead of {all_} if it answers all and "
        f"{person} if a person does.",
        "zh": f"按给定的成本，把握不低于 {threshold} 时由它回答（占 {share}，在验证集上选定）："
        f"每条 {cost}（{low} 到 {high}）；全由它答是 {all_}，全由人答是 {person}。",
    }


def calibration_hint(calibration: dict[str, Any]) -> Sentence:
    """What the temperature of the form has done, or that there could be one; with a space before the English."""
    without = (calibration.get("ece_without") or {}).get("value")
    if without is None:
        return {
            "en": " `compress.calibrate: true` may mend it.",
            "zh": "可以试试 compress.calibrate: true。",
        }
    temperature = number(calibration["temperature"])
    return {
        "en": f" Without the temperature fitted on validation rows ({temperature}) it would be {percent(without)}.",
        "zh": f"如果没有用验证集调的温度（{temperature}），会偏 {percent(without)}。",
    }


def slices_sentence(numbers: Numbers) -> Sentence | None:
    """What the search for texts that the model is worse at has found."""
    slices = (numbers["evidence"] or {}).get("slices")
    if not slices or not slices["searched"]:
        return None
    searched, fewest = count(slices["searched"]), count(slices["fewest_rows"])
    if not slices["found"]:
        return {
            "en": f"Of {searched} groups of texts that were tried ({fewest} texts or more each), it is clearly worse "
            "at none.",
            "zh": f"试了 {searched} 组文本（每组至少 {fewest} 条），没有哪一组明显更差。",
        }
    first = slices["found"][0]
    right, elsewhere = percent(first["accuracy"]["value"]), percent(first["elsewhere"])
    return {
        "en": f"It is clearly worse where {first['slice']}: {right} right, elsewhere {elsewhere}. {searched} groups of "
        "texts were tried; that is allowed for.",
        "zh": f"{first['slice']} 的文本上明显更差：答对 {right}，其余 {elsewhere}。"
        f"一共试了 {searched} 组文本，已经为此做了校正。",
    }


def slice_rows(numbers: Numbers) -> list[dict[str, Any]]:
    """The slices for the page's table: those asked for, then those found; `found` tells them apart."""
    slices = (numbers["evidence"] or {}).get("slices") or {"asked": [], "found": []}
    asked = {row["slice"] for row in slices["asked"]}
    return [row | {"was_found": False} for row in slices["asked"]] + [
        row | {"was_found": True} for row in slices["found"] if row["slice"] not in asked
    ]
