"""Guesses which column of a table is what: the text, what it is to be answered with, whose it is, when it came."""

from __future__ import annotations

import re
from collections import Counter

from danlu.core.errors import DataError
from danlu.core.tasks import CLASSIFY, GENERATE, REGRESS, TAG, TaskName

#: Values of a column that are told apart; a column with more is no label.
MOST_VALUES = 1_000

#: Most classes, and longest value in characters, of a column taken for the label unless its name says so.
_MOST_CLASSES = 30
_LONGEST_LABEL = 40

#: Up to so many different numbers are classes, such as one to five stars; with halves among them, up to so many.
_FEW_NUMBERS = 10
_FEW_WITH_HALVES = 3

#: From this share of cells that look like lists on, and up to so many labels in one, a column holds several labels.
_SEVERAL = 0.1
_MOST_LABELS = 10

_TEXT_NAMES = re.compile(
    r"text|content|review|comment|message|body|sentence|tweet|document|description|question|utterance"
    r"|文本|内容|评论|正文|文章|句子|留言|反馈|描述|问题|评价|诉求",
    re.IGNORECASE,
)
LABEL_NAMES = re.compile(
    r"label|class|categor|sentiment|target|topic|intent|polarity|emotion|标签|类别|分类|类型|情感|情绪|意图|主题|态度",
    re.IGNORECASE,
)

#: Columns that say whose data a row is, and when it came, by their whole name.
SUBJECT_NAMES = re.compile(
    r"(?:customer|user|client|member|buyer|patient|account|subject|person|student|author)"
    r"[ _-]?(?:id|no|number|name|key)?"
    r"|(?:客户|用户|会员|买家|顾客|患者|病人|学生|账号|账户|作者)(?:编号|号|号码|名|名称|姓名|代码|[ _-]?id)?",
    re.IGNORECASE,
)
TIME_NAMES = re.compile(
    r"(?:.*[ _-])?(?:date|time|datetime|timestamp)|(?:created|updated|posted|published)(?:[ _-]?(?:at|on|time|date))?"
    r"|.*(?:日期|时间)",
    re.IGNORECASE,
)
#: How dates and times start, roughly: what a column so named must mostly hold.
_DATE = re.compile(r"\d{4}[-/.年]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d{8}(?:\D|$)|\d{10}(?:\d{3})?$")

_LETTER = re.compile(r"[^\W\d_]")
_ANY_NUMBER = re.compile(r"[-+]?[0-9]*[.]?[0-9]+(?:e[-+]?[0-9]+)?", re.IGNORECASE)

#: Short words with bars or in brackets: several labels of one text.
_LIST = re.compile(r"[^|]{1,40}(?:[|][^|]{1,40})+|\[.*\]", re.DOTALL)

#: Names of columns that hold a number worth foreseeing, not a class: stars, scores, prices.
_VALUE_NAMES = re.compile(r"star|rating|score|grade|price|strength|评分|得分|分数|星级|价格|打分", re.IGNORECASE)

_NUMBER = re.compile(r"[-+]?[0-9]*[.][0-9]+(?:e[-+]?[0-9]+)?", re.IGNORECASE)


class Look:
    """One column under way."""

    def __init__(self) -> None:
        self.filled = 0
        self.characters = 0
        self.decimals = 0
        self.fractions = 0
        self.wordy = 0
        self.dated = 0
        self.longest = 0
        self.lists = 0
        self.numbers = 0
        self.values: Counter[str] | None = Counter()

    def add(self, value: str) -> None:
        stripped = value.strip()
        if not stripped:
            return
        self.filled += 1
        self.characters += len(stripped)
        self.longest = max(self.longest, len(stripped))
        self.wordy += _LETTER.search(stripped) is not None
        self.dated += _DATE.match(stripped) is not None
        if _NUMBER.fullmatch(stripped):
            self.decimals += 1
            self.fractions += not float(stripped).is_integer()
        self.numbers += _ANY_NUMBER.fullmatch(stripped) is not None
        self.lists += _LIST.fullmatch(stripped) is not None
        if self.values is not None:
            self.values[value[: 4 * _LONGEST_LABEL]] += 1
            if len(self.values) > MOST_VALUES:
                self.values = None

    @property
    def mean(self) -> float:
        return self.characters / self.filled if self.filled else 0.0


def text_column(looks: dict[str, Look], file: str) -> str:
    """The column with the most to read; one whose name says that it is text needs less."""

    def weight(name: str) -> float:
        look = looks[name]
        different = 2.0 if look.values is None else len(look.values) / max(1, look.filled)
        return look.characters * min(1.0, different) * (4.0 if _TEXT_NAMES.search(name) else 1.0)

    wordy = [name for name, look in looks.items() if look.wordy * 2 > look.filled and look.lists * 2 <= look.filled]
    best = max(wordy, key=weight, default=None)
    if best is None:
        shown = ", ".join(map(repr, list(looks)[:10])) or "none"
        raise DataError(f"{file} has no column with text. Its columns: {shown}. Danlu learns from texts.")
    return best


def target_column(looks: dict[str, Look], text: str, rows: int) -> tuple[str | None, TaskName]:
    """The column with what a text is to be answered with, and for which task."""
    for name, look in looks.items():
        named = LABEL_NAMES.search(name) is not None
        several = look.lists >= _SEVERAL * look.filled and look.longest <= _MOST_LABELS * _LONGEST_LABEL
        if name != text and look.filled >= rows / 4 and several and (named or look.lists > rows / 2):
            return name, TAG.name
    label = _label_column(looks, text, rows)
    if label is not None and not _is_value(label, looks[label]):
        return label, CLASSIFY.name
    values = [name for name, look in looks.items() if name != text and _is_value(name, look) and look.filled > rows / 2]
    if values:
        return values[0], REGRESS.name
    return label, CLASSIFY.name if label is not None else GENERATE.name


def _is_value(name: str, look: Look) -> bool:
    """Whether a column holds numbers to foresee, by its name; few different ones are as well taken for classes."""
    few = _FEW_WITH_HALVES if look.fractions else _FEW_NUMBERS
    if look.numbers < look.filled or (look.values is not None and len(look.values) <= few):
        return False
    return _VALUE_NAMES.search(name) is not None or (look.decimals > 0 and LABEL_NAMES.search(name) is not None)


def _label_column(looks: dict[str, Look], text: str, rows: int) -> str | None:
    """The column that looks like a class: few short values, each many times; names count most."""
    best: tuple[tuple[bool, int], str] | None = None
    for name, look in looks.items():
        if name == text or look.values is None or look.decimals or look.filled < rows / 2:
            continue
        named = LABEL_NAMES.search(name) is not None
        classes = len(look.values)
        fits = 2 <= classes <= (MOST_VALUES if named else _MOST_CLASSES)
        if fits and classes * 2 <= look.filled and look.longest <= _LONGEST_LABEL:
            rank = (named, -classes)
            if best is None or rank > best[0]:
                best = (rank, name)
    return best[1] if best else None


def named_column(
    looks: dict[str, Look], taken: tuple[str | None, ...], names: re.Pattern[str], *, dated: bool = False
) -> str | None:
    """The first column of such a name that is not `taken` and is half filled; with dates, where that is asked for."""
    for name, look in looks.items():
        if name in taken or not names.fullmatch(name.strip()) or not look.filled:
            continue
        if not dated or look.dated * 2 > look.filled:
            return name
    return None
