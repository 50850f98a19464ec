"""What was not comparable, in both languages; a comparison that does not say it is an advertisement."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

#: kind -> (English, Chinese); the values in braces are those of the note.
_TEXTS: dict[str, tuple[str, str]] = {
    "seen_dropped": (
        "{rows} of {total} rows, or ones nearly equal, were in the {part} part of what {name} was made from; nobody is "
        "scored on them.",
        "{total} 行里有 {rows} 行（或几乎相同的）出现在 {name} 所用语料的 {part} 部分；所有模型都不在这些行上计分。",
    ),
    "seen_kept": (
        "{rows} of {total} rows, or ones nearly equal, were in the {part} part of what {name} was made from: its "
        "scores say too much.",
        "{total} 行里有 {rows} 行（或几乎相同的）出现在 {name} 所用语料的 {part} 部分：它的分数偏高。",
    ),
    "seen_unknown": (
        "It is not known whether {name} was trained on these rows.",
        "不知道 {name} 是否拿这些行训练过。",
    ),
    "chosen_on": (
        "{rows} of {total} rows, or ones nearly equal, were in the validation part that the checkpoint of {name} was "
        "chosen by.",
        "{total} 行里有 {rows} 行（或几乎相同的）在 {name} 用来挑选检查点的验证部分里。",
    ),
    "corpus_gone": (
        "The corpus that {name} was trained on is gone: whether it holds these rows was not checked.",
        "{name} 的训练语料已经不在了：没有检查其中是否有这些行。",
    ),
    "rows_missing": (
        "{name} lacks {rows} of {total} rows; nobody is scored on them.",
        "{name} 缺 {total} 行中的 {rows} 行；所有模型都不在这些行上计分。",
    ),
    "rows_foreign": (
        "{rows} rows of {name} are not in this part and were left out.",
        "{name} 里有 {rows} 行不属于这一部分，没有使用。",
    ),
    "unanswered": (
        "{name} gave no label for {rows} of {total} rows ({cut} of them cut off by the token limit); they count as "
        "wrong. {examples}",
        "{name} 在 {total} 行里有 {rows} 行没有给出标签（其中 {cut} 行因词元上限被截断），按答错计。{examples}",
    ),
    "labels_unknown_here": (
        "{name} may also answer {labels}, which no row of this run has: then it is wrong.",
        "{name} 还可能回答 {labels}，本次运行的数据里没有这些标签：这样答就算错。",
    ),
    "labels_it_lacks": (
        "{name} does not know the label {labels}, and is wrong on all rows that have it.",
        "{name} 不认识标签 {labels}，带这些标签的行它都会答错。",
    ),
    "masked": (
        "In {rows} rows personal data was masked before they were sent to {name}; the others read them unmasked.",
        "有 {rows} 行在发给 {name} 之前遮盖了个人信息；其他模型读到的是未遮盖的。",
    ),
    "no_probabilities": (
        "{name} gives labels alone, without probabilities: nothing is said about its calibration.",
        "{name} 只给标签，不给概率：无法评价它的校准。",
    ),
    "latency_elsewhere": (
        "The latency of {name} was measured from here, network included, {concurrency} requests at a time; that of "
        "releases one at a time on this machine.",
        "{name} 的延迟从本机测得，含网络，同时 {concurrency} 个请求；发布版本的延迟在本机逐条测得。",
    ),
    "latency_kept": (
        "{rows} answers of {name} were kept from an earlier command; their latency and tokens are of that day.",
        "{name} 有 {rows} 条回答来自先前命令的缓存；延迟和词元数是当时的。",
    ),
    "own_temperature": (
        "{name} was asked at its own temperature: another time it may answer otherwise.",
        "{name} 使用了自己的温度：再问一次，回答可能不同。",
    ),
    "no_price": (
        "No price was given for {name} (--price), so that its cost is not told.",
        "没有给出 {name} 的价格（--price），所以不报它的成本。",
    ),
    "tokens_unknown": (
        "{name} did not count the tokens of {rows} answers; its cost is of the others.",
        "{name} 有 {rows} 条回答没有给出词元数；成本按其余的算。",
    ),
    "electricity_alone": (
        "The cost of releases is electricity alone ({how}); --machine-price adds what this machine costs an hour.",
        "发布版本的成本只算电费（{how_zh}）；用 --machine-price 加上这台机器每小时的价格。",
    ),
    "not_for_task": (
        "{name} cannot be compared here: {why}",
        "{name} 在这里无法比较：{why_zh}",
    ),
    "other_tokens": (
        "{name} cuts texts into other tokens than {first}: compare bits per character, not perplexity.",
        "{name} 的词元切分与 {first} 不同：请比较每字符比特数，不要比较困惑度。",
    ),
    "other_characters": (
        "{name} does not foresee the same characters as {first} (their first tokens, ends or templates differ): no "
        "paired difference is told.",
        "{name} 预测的字符与 {first} 不同（首个词元、结尾或模板不同）：不报成对差异。",
    ),
    "few_rows": (
        "Only {rows} rows: the intervals are wide, and little can be shown.",
        "只有 {rows} 行：区间很宽，能说明的不多。",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Note:
    """One thing that a reader must know; `name` is the model it is about, empty for all."""

    kind: str
    name: str
    en: str
    zh: str

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def note(kind: str, name: str = "", **values: Any) -> Note:
    """The note of this kind, with its values filled in."""
    english, chinese = _TEXTS[kind]
    shown = {key: f"{value:,}" if isinstance(value, int) else value for key, value in values.items()} | {"name": name}
    return Note(kind=kind, name=name, en=english.format(**shown).strip(), zh=chinese.format(**shown).strip())
