"""Parts of the test rows in a few words: `length > 200`, `source == "app" and digits == 0`.

A query is conditions joined by `and`: a column, a sign (== != < <= > >=, or `contains` for texts) and a number or a
text in quotes; `20 < length <= 60` is a condition too. It is matched against patterns; nothing is executed.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: What rows can be asked for: column -> what it is. `length` and `digits` are counted here, the others the corpus has.
COLUMNS: dict[str, str] = {
    "length": "characters of the text",
    "digits": "digits in the text",
    "text": "the text",
    "label": "the true label",
    "source": "the source's name",
    "origin": "file and line that the row came from",
    "licence": "the source's licence",
    "consent": "what the row's owner agreed to",
    "subject": "whose data it is",
    "conversation": "the conversation it is from",
    "time": "when it was written, in seconds since 1970",
}
NUMBERS = frozenset({"length", "digits", "time"})

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    **_ORDER,
    "==": operator.eq,
    "!=": operator.ne,
    "contains": lambda value, wanted: wanted in value,
}
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
_TEXT = r"\"[^\"]*\"|'[^']*'"
_CONDITION = re.compile(
    rf"\s*(?:(?P<low>{_NUMBER})\s*(?P<under><=?)\s*)?(?P<column>[a-z_]+)\s*"
    rf"(?P<sign>[<>=!]=|[<>]|contains\b)\s*(?P<value>{_NUMBER}|{_TEXT})\s*",
    re.ASCII | re.IGNORECASE,
)
_AND = re.compile(r"and\b", re.IGNORECASE)
_LONGEST = 300
_EXAMPLES = """write for instance 'length > 200', 'source == "app"' or 'text contains "refund" and digits == 0'"""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """`column sign value`; a row without a value fits no condition but `!=`."""

    column: str
    sign: str
    value: float | str

    def fits(self, value: Any) -> bool:
        if value is None:
            return self.sign == "!="
        return _SIGNS[self.sign](value, self.value)


@dataclass(frozen=True, kw_only=True)
class Query:
    """Rows for which all `conditions` hold; `text` is as it was written."""

    text: str
    conditions: tuple[Condition, ...]

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(condition.column for condition in self.conditions)

    def mask(self, columns: Mapping[str, Sequence[Any]]) -> list[bool]:
        """For each row whether it is in the part."""
        rows = len(next(iter(columns.values())))
        return [all(each.fits(columns[each.column][row]) for each in self.conditions) for row in range(rows)]


def parse(text: str) -> Query:
    """The query that `text` writes. Raises `ValueError` that says what is wrong and how to write it."""
    written = " ".join(text.split())
    if not written or len(written) > _LONGEST:
        raise ValueError(f"a slice has {len(written)} characters; expected 1 to {_LONGEST}: {_EXAMPLES}")
    conditions: list[Condition] = []
    place = 0
    while True:
        found = _CONDITION.match(written, place)
        if found is None:
            raise ValueError(f"cannot read {written[place:].strip()!r} in the slice {written!r}; {_EXAMPLES}")
        conditions += _conditions(found, written)
        place = found.end()
        if place == len(written):
            return Query(text=written, conditions=tuple(conditions))
        joined = _AND.match(written, place)
        if joined is None:
            raise ValueError(
                f"cannot read {written[place:]!r} in the slice {written!r}: conditions are joined by 'and'; for 'or' "
                "write another slice"
            )
        place = joined.end()


def _conditions(found: re.Match[str], written: str) -> list[Condition]:
    column, sign, value = found["column"], found["sign"].lower(), found["value"]
    if column not in COLUMNS:
        near = difflib.get_close_matches(column.lower(), COLUMNS, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(COLUMNS)}"
        raise ValueError(f"the slice {written!r} asks for {column!r}, which is not known. {hint}")
    is_text = value[0] in "\"'"
    if (column in NUMBERS) == is_text:
        wanted = "a number" if column in NUMBERS else "a text in quotes"
        raise ValueError(f"the slice {written!r} compares {column} with {value}; expected {wanted}")
    if (is_text and sign in _ORDER) or (not is_text and sign == "contains"):
        raise ValueError(f"the slice {written!r} has {column} {sign} {value}; use == or != or, for texts, contains")
    conditions = [Condition(column=column, sign=sign, value=value[1:-1] if is_text else float(value))]
    if found["low"] is not None:
        if is_text or not sign.startswith("<"):
            raise ValueError(f"the slice {written!r} should be like 20 < length <= 60")
        turned = ">" + found["under"][1:]
        conditions.append(Condition(column=column, sign=turned, value=float(found["low"])))
    return conditions
