"""Several targets together: their mean quality, and what it takes to be better on all of them."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.metrics.targets import QUALITIES, of_all, together


def score(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


def test_an_error_becomes_a_quality_whose_low_end_is_that_of_the_largest_error() -> None:
    found = QUALITIES["regress"]({"mae": score(0.5, 0.25, 1.0)}, 2.0)
    assert found == score(0.75, 0.5, 0.875)
    assert QUALITIES["tag"]({"average_precision": score(0.3), "macro_f1": score(0.9)}, 1.0) == score(0.3)


def test_the_mean_has_a_value_only_where_all_have_one() -> None:
    assert of_all([score(0.5, 0.4, 0.6), score(0.7, 0.6, 0.8)]) == pytest.approx(score(0.6, 0.5, 0.7))
    assert of_all([score(0.5, 0.4, 0.6), score(0.7)]) == score(0.6)
    assert of_all([score(0.5), score(None)])["value"] is None


def compared(difference: float, chance: float, *, metric: str = "macro_f1") -> dict[str, Any]:
    return {
        "metric": metric,
        "difference": score(difference, difference - 0.1, difference + 0.1),
        "p_value": chance,
        "significant": chance < 0.05,
    }


def test_better_on_all_is_as_sure_as_on_the_least_sure_one() -> None:
    tasks, units = {"mood": "classify", "stars": "regress"}, {"mood": 1.0, "stars": 2.0}
    found = together({"mood": compared(0.2, 0.01), "stars": compared(-0.4, 0.03, metric="mae")}, tasks, units)
    assert found["p_value"] == 0.03
    assert found["significant"]
    # A number's gain is counted in standard deviations, and less error is more.
    assert found["difference"] == pytest.approx(score((0.2 + 0.2) / 2, (0.1 + 0.15) / 2, (0.3 + 0.25) / 2))
    apart = together({"mood": compared(0.2, 0.01), "stars": compared(0.4, 0.03, metric="mae")}, tasks, units)
    assert not apart["significant"], "better on one and worse on the other is not better"
    assert not together({"mood": compared(0.2, 0.01), "stars": compared(-0.4, 0.2)}, tasks, units)["significant"]
