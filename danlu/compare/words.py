"""Every word of a comparison in both languages: key -> (English, Chinese). Scores have the report's names."""

from __future__ import annotations

from danlu.report.words import Language
from danlu.report.words import words as report_words

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("The same rows through every model", "同样的数据，逐个模型来答"),
    "under": (
        "{rows} {part} rows of {run}, resampled {resamples} times; made on {cpu} with {threads} threads",
        "{run} 的 {rows} 行{part}数据，重抽样 {resamples} 次；机器：{cpu}，{threads} 个线程",
    ),
    "part_test": ("test", "测试"),
    "part_validation": ("validation", "验证"),
    "difference": ("difference to {first}", "与 {first} 的差"),
    "p_value": ("p, and after Holm", "p 值，及 Holm 校正后"),
    "verdict": ("verdict", "结论"),
    "better": ("clearly better", "明显更好"),
    "worse": ("clearly worse", "明显更差"),
    "chance": ("may be chance", "可能是偶然"),
    "first": ("the first", "基准"),
    "not_comparable": ("not comparable", "无法比较"),
    "unanswered": ("no label given", "没有给出标签"),
    "latency": ("latency p50 / p95", "延迟 p50 / p95"),
    "cost": ("cost of 1,000 rows", "每 1,000 行成本"),
    "tokens": ("tokens of 1,000 rows, in / out", "每 1,000 行词元，入/出"),
    "size": ("size", "大小"),
    "parameters": ("{parameters} parameters", "{parameters} 个参数"),
    "licence": ("licence", "许可证"),
    "context": ("longest text read", "最长可读文本"),
    "context_tokens": ("{tokens} tokens", "{tokens} 个词元"),
    "context_whole": ("whole texts", "整段文本"),
    "data": ("trained on", "训练数据"),
    "data_rows": ("{rows} rows", "{rows} 行"),
    "data_tokens": ("{tokens} tokens read", "读过 {tokens} 个词元"),
    "data_base": ("on top of {base}", "基于 {base}"),
    "unknown": ("not known", "不详"),
    "notes": ("What was not comparable, and what to know", "哪些无法比较，以及须知"),
    "plot": ("{metric} with 95% intervals", "{metric}及 95% 区间"),
    "plot_caption": (
        "A dot is a score, its line the 95% interval. The band is the interval of {first}. Whether two differ is told "
        "by the paired difference, not by whether their lines overlap.",
        "点是分数，线是 95% 区间，色带是 {first} 的区间。两者是否不同要看成对差异，而不是看线是否重叠。",
    ),
    "lower": ("less is better", "越小越好"),
    "footer": (
        "Differences are paired: all models answered the same rows. Intervals are 95 % bootstrap intervals of one "
        "comparison each; p-values are corrected by Holm for {many} of them, and below {level} a difference is called "
        "clear.",
        "差异是成对的：所有模型回答的是同样的行。区间是单次比较的 95% 自助法区间；p 值按 Holm 法对 {many} 次比较"
        "作了校正，低于 {level} 才称为明显。",
    ),
}


def words(language: Language) -> dict[str, str]:
    """Every word in one language, the report's names of scores included."""
    place = {"en": 0, "zh": 1}[language]
    return report_words(language) | {key: pair[place] for key, pair in _WORDS.items()}
