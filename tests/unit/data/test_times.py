"""Dates as people write them; what can mean two things is not guessed."""

from __future__ import annotations

import datetime

import pytest

from danlu.core.errors import DataError
from danlu.data.times import NO_TIME, DayOrder, check_times, to_epoch


def seconds(*parts: int) -> int:
    return int(datetime.datetime(*parts, tzinfo=datetime.UTC).timestamp())  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-03-01", seconds(2024, 3, 1)),
        ("2024-03-01T10:00:00Z", seconds(2024, 3, 1, 10)),
        ("2024-03-01 10:00:00+08:00", seconds(2024, 3, 1, 2)),
        ("2024-03-01T10:00:00.999", seconds(2024, 3, 1, 10)),
        ("2024-03-01 10:00:00 UTC", seconds(2024, 3, 1, 10)),
        ("2024-03-01 10:00:00 +0800 UTC", seconds(2024, 3, 1, 2)),
        ("2024/03/01 10:00:00 GMT", seconds(2024, 3, 1, 10)),
        ("2024/3/1", seconds(2024, 3, 1)),
        ("2024.03.01 9:05", seconds(2024, 3, 1, 9, 5)),
        (" 2024年3月1日 ", seconds(2024, 3, 1)),
        ("２０２４年３月１日", seconds(2024, 3, 1)),
        ("2024年3月1日 15:05", seconds(2024, 3, 1, 15, 5)),
        ("2024年3月1日下午3点05分", seconds(2024, 3, 1, 15, 5)),
        ("2024年3月1日 上午12:10", seconds(2024, 3, 1, 0, 10)),
        ("2024年3月1日15时5分6秒", seconds(2024, 3, 1, 15, 5, 6)),
        ("2024年3月1日（星期五）", seconds(2024, 3, 1)),
        ("2024年3月", seconds(2024, 3, 1)),
        ("2024年", seconds(2024, 1, 1)),
        ("二〇二四年十二月二十一日", seconds(2024, 12, 21)),
        ("20240301", seconds(2024, 3, 1)),
        (20240301, seconds(2024, 3, 1)),
        ("20240301150506", seconds(2024, 3, 1, 15, 5, 6)),
        ("202403", seconds(2024, 3, 1)),
        (45352, seconds(2024, 3, 1)),
        ("45352.75", seconds(2024, 3, 1, 18)),
        (1709251200, seconds(2024, 3, 1)),
        ("1709251200.9", seconds(2024, 3, 1)),
        (1709251200123, seconds(2024, 3, 1)),
        (1709251200123456, seconds(2024, 3, 1)),
        (1709251200123456789, seconds(2024, 3, 1)),
        ("Fri, 01 Mar 2024 10:00:00 +0800", seconds(2024, 3, 1, 2)),
        (datetime.date(2024, 3, 1), seconds(2024, 3, 1)),
        (datetime.datetime(1969, 12, 31, 23, 59, 59, 500_000), -1),
        ("31/12/2024", seconds(2024, 12, 31)),
        ("12/31/2024 3:05 PM", seconds(2024, 12, 31, 15, 5)),
        ("03.03.2024", seconds(2024, 3, 3)),
    ],
)
def test_a_time_is_read(value: object, expected: int) -> None:
    assert to_epoch([value]).tolist() == [expected]


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "soon",
        "2024-02-30",
        "2024年13月1日",
        "03/04/2024",
        None,
        True,
        5,
        "17",
        float("nan"),
        1e30,
        "2024-03-01x",
    ],
)
def test_what_is_no_time_is_not_read(value: object) -> None:
    assert to_epoch([value]).tolist() == [NO_TIME]


def test_the_column_says_whether_the_day_comes_first() -> None:
    day, month = seconds(2024, 4, 3), seconds(2024, 3, 4)
    assert to_epoch(["03/04/2024", "13/04/2024"])[0] == day
    assert to_epoch(["03/04/2024", "04/13/2024"])[0] == month
    assert to_epoch(["03/04/2024", "13/04/2024", "04/13/2024"])[0] == NO_TIME
    order = DayOrder().see(["03/04/2024"]).see(["2024-01-01", "13/04/2024"])
    assert to_epoch(["03/04/2024"], order)[0] == day
    assert to_epoch(["13/04/2024"], order.see(["04/13/2024"]))[0] == NO_TIME


def test_unread_times_are_counted_and_too_many_refused() -> None:
    values = ["2024-03-01"] * 8 + ["soon", "n/a"]
    assert check_times(values[:8], to_epoch(values[:8]), "sent") == []
    (warning,) = check_times(values, to_epoch(values), "sent")
    assert warning.startswith("2 of 10 values of the column 'sent' cannot be read as a time, such as 'soon', 'n/a'.")
    with pytest.raises(DataError, match=r"2 of 3 values.*Write times as 2024-03-01"):
        check_times(values[7:], to_epoch(values[7:]), "sent")


def test_values_that_a_message_shows_are_masked() -> None:
    values = ["2024-03-01", "2024-03-02", "2024-03-03", "13800138000", "li.ming@example.com"]
    (warning,) = check_times(values, to_epoch(values), "sent")
    assert "'[PHONE]', '[EMAIL]'" in warning
    with pytest.raises(DataError) as caught:
        check_times(values[2:], to_epoch(values[2:]), "sent")
    assert "138" not in str(caught.value)
