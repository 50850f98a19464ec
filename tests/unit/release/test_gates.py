"""Gates: what they mean, what they refuse, and that no text does anything but parse or raise ValueError."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from danlu.core.tasks import TASKS
from danlu.release.gates import DEFAULTS, FACTS, FUNCTIONS, defaults, evaluate, parse

SCORE = {"value": 0.72, "low": 0.64, "high": 0.80}
FACTS_HERE: dict[str, Any] = {
    "macro_f1": SCORE,
    "accuracy": {"value": 0.8, "low": None, "high": None},
    "leaked_rows": 0,
    "p95_ms": 25.0,
    "parity": 0.005,
    "perplexity": {"value": None, "low": None, "high": None},
    "roc_auc": {"value": math.nan, "low": 0.1, "high": 0.2},
    "bytes": True,
    "rows": None,
}


@pytest.mark.parametrize(
    ("text", "passed", "observed"),
    [
        ("macro_f1 >= 0.70", True, 0.72),
        ("macro_f1>=.72", True, 0.72),
        ("  macro_f1   >   0.72 ", False, 0.72),
        ("macro_f1.low >= 0.65", False, 0.64),
        ("macro_f1.high >= 0.8", True, 0.80),
        ("macro_f1.value >= 0.7", True, 0.72),
        ("leaked_rows == 0", True, 0),
        ("leaked_rows != 0", False, 0),
        ("p95_ms <= 30", True, 25.0),
        ("p95_ms < 2.5e1", False, 25.0),
        ("parity <= 1e-2", True, 0.005),
    ],
)
def test_a_fact_against_a_number(text: str, passed: bool, observed: float) -> None:
    result = evaluate(parse(text), FACTS_HERE)
    assert (result.passed, result.observed) == (passed, observed)
    assert result.expression == " ".join(text.split())
    assert result.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("perplexity <= 200", "perplexity has no value"),
        ("bits_per_character <= 2", "bits_per_character was not measured"),
        ("rows >= 0", "rows was not measured"),
        ("roc_auc <= 1", "roc_auc is not a finite number"),
        ("roc_auc != 0.5", "roc_auc is not a finite number"),
        ("accuracy.low >= 0", "accuracy has no low end of its interval"),
        ("bytes >= 0", "bytes is not a number"),
    ],
)
def test_what_was_not_measured_fails(text: str, reason: str) -> None:
    result = evaluate(parse(text), FACTS_HERE)
    assert (result.passed, result.observed, result.reason) == (False, None, reason)


def compared(metric: str, difference: float | None, significant: bool) -> dict[str, Any]:
    score = {"value": difference, "low": difference, "high": difference}
    comparison = {"metric": metric, "difference": score, "significant": significant, "p_value": 0.01, "name": "TF-IDF"}
    return {"comparisons": {"baseline": comparison}}


@pytest.mark.parametrize(
    ("metric", "difference", "significant", "passed", "says"),
    [
        ("macro_f1", 0.05, True, True, "better than the baseline (TF-IDF) by 0.05 in macro_f1"),
        ("macro_f1", 0.05, False, False, "may be chance"),
        ("macro_f1", -0.05, True, False, "the baseline (TF-IDF) is better by 0.05"),
        ("macro_f1", 0.0, True, False, "as good"),
        ("bits_per_character", -0.5, True, True, "better than the baseline (TF-IDF) by 0.5"),
        ("bits_per_character", 0.5, True, False, "is better by 0.5"),
        ("macro_f1", None, True, False, "no result"),
        ("macro_f1", math.nan, True, False, "not a finite number"),
    ],
)
def test_beats(metric: str, difference: float | None, significant: bool, passed: bool, says: str) -> None:
    result = evaluate(parse("beats(baseline)"), compared(metric, difference, significant))
    assert result.passed is passed
    assert says in result.reason


@pytest.mark.parametrize(
    ("difference", "significant", "passed", "says"),
    [
        (0.05, False, True, "no worse than the baseline (TF-IDF)"),
        (0.0, False, True, "no worse than the baseline (TF-IDF)"),
        (-0.05, False, True, "may be chance"),
        (-0.05, True, False, "the baseline (TF-IDF) is better by 0.05"),
        (None, True, False, "no result"),
    ],
)
def test_not_worse(difference: float | None, significant: bool, passed: bool, says: str) -> None:
    result = evaluate(parse("not_worse(baseline)"), compared("macro_f1", difference, significant))
    assert result.passed is passed
    assert says in result.reason


def test_a_model_without_a_network_need_not_beat_the_baseline_but_may_not_be_worse() -> None:
    assert defaults("classify", "onnx") == DEFAULTS["classify"]
    assert "not_worse(baseline)" in defaults("classify", "classic")
    assert "beats(baseline)" not in defaults("classify", "classic")


def test_beats_without_a_comparison_fails_and_says_why() -> None:
    result = evaluate(parse("beats( baseline )"), {"comparisons": {}})
    assert not result.passed
    assert "evaluate.baseline" in result.reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("macrof1 >= 0.7", "Did you mean 'macro_f1'"),
        ("xyz >= 0.7", "Known: accuracy, macro_f1"),
        ("beat(baseline)", "Did you mean 'beats'"),
        ("beats(champion)", "known: baseline"),
        ("beats()", r"write it like 'beats\(baseline\)'"),
        ("macro_f1 >= 70", r"did you mean 0\.7\?"),
        ("macro_f1 >= 70%", "not a plain number"),
        ("macro_f1 >= nan", "not a plain number"),
        ("p95_ms <= 1e999", "not a plain number"),
        ("macro_f1.mean >= 0.7", "there are macro_f1.low and macro_f1.high"),
        ("parity_max.low <= 0.1", "parity_max has no interval"),
        ("macro_f1 >= 0.7 and accuracy >= 0.7", "a line of its own"),
        ("macro_f1 = 0.7", "cannot read"),
        ("0.7 <= macro_f1", "cannot read"),
        ("__import__('os').system('true')", "cannot read|not known"),
        ("", "empty"),
        ("x" * 1000, "more than 200"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


PIECES = st.sampled_from(
    [*FACTS, *FUNCTIONS, "baseline", ".low", ".high", "(", ")", ">=", "==", "<", " ", "0.5", "1e9", "é"]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
@example("macro_f1 >= 0.5\x00")
@example("ｍacro_f1 >= 0.5")
@example("accuracy >= ٠")
def test_any_text_parses_or_raises_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        gate = parse(text)
        result = evaluate(gate, {})
        assert not result.passed
        assert parse(gate.expression) == gate


@given(st.floats(0, 1), st.floats(allow_nan=True), st.sampled_from([">=", "<=", "<", ">"]))
def test_a_comparison_is_what_python_says(number: float, observed: float, sign: str) -> None:
    result = evaluate(parse(f"macro_f1 {sign} {number!r}"), {"macro_f1": {"value": observed}})
    expected = {">=": observed >= number, "<=": observed <= number, "<": observed < number, ">": observed > number}
    assert result.passed is (expected[sign] and math.isfinite(observed))


def test_every_task_has_defaults_that_parse_and_fail_on_nothing() -> None:
    assert set(DEFAULTS) == set(TASKS)
    for texts in DEFAULTS.values():
        assert not any(evaluate(parse(text), {}).passed for text in texts)
