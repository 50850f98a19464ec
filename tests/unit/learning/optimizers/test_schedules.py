"""The learning rate by step: warm-up, then the schedule's shape."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.learning.optimizers.config import ConstantSchedule, CosineSchedule, LinearSchedule, PlateauSchedule
from danlu.learning.optimizers.schedules import rate_at


def rates(schedule: Any) -> list[float]:
    return [rate_at(step, steps=100, schedule=schedule, peak=2.0) for step in range(100)]


@pytest.mark.parametrize("schedule", [CosineSchedule(warmup=0.1), LinearSchedule(warmup=0.1)])
def test_rises_and_falls(schedule: Any) -> None:
    course = rates(schedule)
    assert max(course) == pytest.approx(2.0)
    assert course[:11] == sorted(course[:11])
    assert course[10:] == sorted(course[10:], reverse=True)
    assert 0 < course[0] < 0.5
    assert 0 < course[-1] < 0.03


def test_half_way_down() -> None:
    at = {"steps": 100, "peak": 2.0}
    assert rate_at(50, schedule=CosineSchedule(warmup=0.0), **at) == pytest.approx(1.0)
    assert rate_at(25, schedule=LinearSchedule(warmup=0.0), **at) == pytest.approx(1.5)
    assert rate_at(0, steps=1, schedule=CosineSchedule(warmup=0.0), peak=2.0) == 2.0


def test_constant_and_plateau_stay() -> None:
    assert set(rates(ConstantSchedule(warmup=0.1))[10:]) == {2.0}
    assert rates(PlateauSchedule(warmup=0.1)) == rates(ConstantSchedule(warmup=0.1))
