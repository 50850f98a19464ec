from __future__ import annotations

from typing import Any

import pytest

from danlu.evaluate.config import EvaluateConfig
from danlu.evaluate.query import parse
from danlu.metrics.slices import parts

ROWS: dict[str, list[Any]] = {
    "length": [10, 25, 60, 300],
    "digits": [0, 2, 0, 1],
    "source": ["app", "mail", None, "app and mail"],
    "text": ["a refund", "order 12", "hello", "refund 1"],
}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("length > 20", [False, True, True, True]),
        ("20 < length <= 60", [False, True, True, False]),
        ("25 <= length < 60", [False, True, False, False]),
        ('source == "app"', [True, False, False, False]),
        ('source == "app and mail"', [False, False, False, True]),
        ("source != 'app'", [False, True, True, True]),
        ('text contains "refund" and digits == 0', [True, False, False, False]),
        ("  length>=10   AND digits  !=  0 ", [False, True, False, True]),
    ],
)
def test_a_query_is_what_it_says(query: str, expected: list[bool]) -> None:
    assert parse(query).mask(ROWS) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "expected 1 to"),
        ("lenght > 3", "Did you mean 'length'"),
        ("length > many", "cannot read 'length > many'"),
        ('length > "3"', "expected a number"),
        ("source == 3", "a text in quotes"),
        ('source > "a"', "use == or !="),
        ("length contains 3", "contains"),
        ("length > 3 or digits > 1", "joined by 'and'"),
        ("length > 3 and", "cannot read ''"),
        ("3 > length", "cannot read '3 > length'"),
        ("3 < length >= 5", "20 < length <= 60"),
        ("__import__('os') == 1", "cannot read"),
    ],
)
def test_a_mistake_is_told(query: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(query)
    with pytest.raises(ValueError, match=message):
        EvaluateConfig(slices=[query])


def test_what_the_search_prints_can_be_asked_for() -> None:
    columns: dict[str, list[Any]] = {
        "length": [n * 7 % 113 for n in range(400)],
        "digits": [n % 4 for n in range(400)],
        "source": ["a file.csv" if n % 3 else "mail" for n in range(400)],
    }
    found = parts(columns, 10)
    assert len(found) > 20
    for conditions, mask in found.items():
        assert parse(" and ".join(conditions)).mask(columns) == mask.tolist()
