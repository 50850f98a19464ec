from __future__ import annotations

import pytest

from danlu.report import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.7734, "0.773"), (12.34, "12.3"), (4120.4, "4,120"), (0, "0"), (-0.53, "−0.530"), (2e-7, "2.00e-07")],
)
def test_number_keeps_three_digits_without_exponents_for_everyday_sizes(value: float, text: str) -> None:
    assert numbers.number(value) == text


@pytest.mark.parametrize("show", [numbers.number, numbers.percent, numbers.size, numbers.duration, numbers.count])
def test_what_is_missing_is_a_dash(show: object) -> None:
    assert show(None) == numbers.MISSING  # type: ignore[operator]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (0.02, "< 0.1 s"),
        (0.0, "0.0 s"),
        (12.4, "12 s"),
        (185, "3 min 05 s"),
        (1_096, "18 min"),
        (7_800, "2 h 10 min"),
        (3_599, "1 h 00 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(12, "12 B"), (22_900_000, "22.9 MB"), (999, "999 B"), (253_000_000, "253 MB")]
)
def test_size(value: float, text: str) -> None:
    assert numbers.size(value) == text


@pytest.mark.parametrize(
    ("usd", "text"), [(1.79, "$1.79"), (1_240, "$1,240"), (0.02, "$0.02"), (3.9e-5, "< $0.01"), (0, "$0")]
)
def test_money(usd: float, text: str) -> None:
    assert numbers.money(usd) == text


@pytest.mark.parametrize(
    ("kilograms", "text"), [(1.24, "1.2 kg"), (0.0049, "4.9 g"), (1.26e-4, "0.13 g"), (3.1e-6, "< 0.1 g"), (0, "0 g")]
)
def test_mass(kilograms: float, text: str) -> None:
    assert numbers.mass(kilograms) == text


@pytest.mark.parametrize(
    ("low", "high", "kind", "said"),
    [
        (18.0, 95.0, "seconds", "18–95 s"),
        (276.0, 905.0, "seconds", "4.6–15 min"),
        (0.15, 0.79, "seconds", "0.15–0.79 s"),
        (3.6e5, 9e5, "seconds", "4.2–10 days"),
        (6.81e8, 1.234e9, "bytes", "0.68–1.2 GB"),
        (0.00015, 0.0023, "usd", "< $0.01"),
        (0.00015, 0.023, "usd", "$0.00–0.02"),
        (0.5, 123.0, "usd", "$0–123"),
        (0.0, 0.02, "seconds", "< 0.1 s"),
        (0.01, 0.4, "seconds", "0–0.40 s"),
        (4.9e-4, 7.4e-3, "kilograms", "0.49–7.4 g"),
        (0.0, 0.0, "kilograms", "0–0 g"),
        (1e-5, 9e-5, "kilograms", "< 0.1 g"),
        (None, 1.0, "usd", "–"),
    ],
)
def test_between(low: float | None, high: float, kind: str, said: str) -> None:
    assert numbers.between(low, high, kind) == said
