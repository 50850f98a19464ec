"""A comparison in one sentence, and its numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from danlu.report import numbers as show

Standing = Literal["first", "better", "worse", "chance", "not_comparable"]

#: Scores that are shares, told in percent; their differences in points of a hundred.
SHARES = frozenset(("accuracy", "macro_f1", "weighted_f1", "recall_at_1", "recall_at_5", "recall_at_10"))

#: metric -> (English, Chinese), as the headline calls it.
_METRICS = {
    "macro_f1": ("macro F1", "宏平均 F1"),
    "bits_per_character": ("bits per character (less is better)", "每字符比特数（越小越好）"),
    "mrr_at_10": ("MRR at 10", "MRR@10"),
}


def standing(entrant: Mapping[str, Any], table: Mapping[str, Any]) -> Standing:
    """How an entrant stands to the first."""
    if entrant["name"] == table["entrants"][0]["name"]:
        return "first" if entrant["scores"] else "not_comparable"
    comparison = entrant["comparison"]
    if comparison is None:
        return "not_comparable"
    if not comparison["significant"]:
        return "chance"
    return "better" if (comparison["difference"]["value"] < 0) == table["lower_is_better"] else "worse"


def value(score: Mapping[str, Any] | None, metric: str) -> str:
    """A score without its interval."""
    form = show.percent if metric in SHARES else show.number
    return form(None if score is None else score["value"])


def ends(score: Mapping[str, Any] | None, metric: str) -> str:
    """The interval of a score; empty where it has none."""
    if score is None or score["low"] is None or score["high"] is None:
        return ""
    form = show.percent if metric in SHARES else show.number
    return f"{form(score['low'])}–{form(score['high'])}"


def difference(comparison: Mapping[str, Any]) -> tuple[str, str]:
    """A difference and its interval: `+2.1 pp` and `+0.3 to +4.0`."""
    form = _points if comparison["metric"] in SHARES else _signed
    found = comparison["difference"]
    unit = " pp" if comparison["metric"] in SHARES else ""
    if found["low"] is None:
        return form(found["value"]) + unit, ""
    return form(found["value"]) + unit, f"{form(found['low'])} … {form(found['high'])}"


def _points(amount: float | None) -> str:
    return show.MISSING if amount is None else f"{100 * amount:+.1f}".replace("-", show.MINUS)


def _signed(amount: float | None) -> str:
    if amount is None:
        return show.MISSING
    return f"{'+' if amount > 0 else ''}{show.number(amount)}"


def p_values(comparison: Mapping[str, Any]) -> str:
    """The p-value of a comparison, and after the correction: `0.012 → 0.036`."""
    return f"{_p(comparison['p_value'])} → {_p(comparison['p_holm'])}"


def _p(chance: float | None) -> str:
    return show.MISSING if chance is None else "< 0.001" if chance < 0.001 else f"{chance:.3f}"


def dollars(usd: float | None) -> str:
    """US dollars in two digits, also where that is a tiny part of a cent: $1.80, $0.000012."""
    if usd is None or usd == 0 or usd >= 0.01:
        return show.money(usd)
    return f"${usd:.{1 - math.floor(math.log10(usd))}f}"


def headline(table: Mapping[str, Any]) -> dict[str, str]:
    """The comparison in one sentence a founder can read aloud, in English ("en") and Chinese ("zh")."""
    first, *others = table["entrants"]
    english, chinese = _METRICS.get(table["primary"], (table["primary"], table["primary"]))
    rows = show.count(table["rows"])
    score = value(first["scores"] and first["scores"][table["primary"]], table["primary"])
    if first["scores"] is None:
        return {
            "en": f"{first['name']} cannot be scored on the rows of {table['run']}, so nothing is compared with it.",
            "zh": f"{first['name']} 无法在 {table['run']} 的数据上计分，所以没有可比的。",
        }
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entrant in others:
        groups.setdefault(standing(entrant, table), []).append(entrant)
    told = {
        "en": {
            "better": "clearly better: {names}",
            "worse": "clearly worse: {names}",
            "chance": "no clear difference: {names}",
            "not_comparable": "not comparable: {names}",
        },
        "zh": {
            "better": "明显更好：{names}",
            "worse": "明显更差：{names}",
            "chance": "没有明显差别：{names}",
            "not_comparable": "无法比较：{names}",
        },
    }
    parts = {
        language: [text.format(names=_names(groups[kind])) for kind, text in texts.items() if kind in groups]
        for language, texts in told.items()
    }
    return {
        "en": f"On {rows} {table['part']} rows of {table['run']}, {first['name']} reaches {english} {score}; "
        + "; ".join(parts["en"])
        + ".",
        "zh": f"在 {table['run']} 的 {rows} 行{_PARTS[table['part']]}数据上，{first['name']} 的{chinese}为 {score}；"
        + "；".join(parts["zh"])
        + "。",
    }


_PARTS = {"test": "测试", "validation": "验证"}


def _names(entrants: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(
        entrant["name"] + (f" ({difference(entrant['comparison'])[0]})" if entrant["comparison"] else "")
        for entrant in entrants
    )
