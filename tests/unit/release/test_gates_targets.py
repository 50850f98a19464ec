"""Gates of a model with several targets: the fact of one, and comparisons that must hold for each."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.release.facts import gather
from danlu.release.gates import evaluate, fact_of, parse

FACTS: dict[str, Any] = {
    "mood.macro_f1": {"value": 0.72, "low": 0.64, "high": 0.80},
    "mood.rows": 90,
    "stars.mae": {"value": 0.4, "low": 0.3, "high": 0.5},
    "quality": {"value": 0.7, "low": 0.6, "high": 0.8},
    "rows": 100,
}


@pytest.mark.parametrize(
    ("text", "passed", "observed"),
    [
        ("mood.macro_f1 >= 0.7", True, 0.72),
        ("mood.macro_f1.low >= 0.7", False, 0.64),
        ("mood.macro_f1.value >= 0.7", True, 0.72),
        ("stars.mae.high <= 0.5", True, 0.5),
        ("mood.rows >= 50", True, 90),
        ("quality.low >= 0.5", True, 0.6),
    ],
)
def test_a_fact_of_one_target(text: str, passed: bool, observed: float) -> None:
    result = evaluate(parse(text), FACTS)
    assert (result.passed, result.observed) == (passed, observed)


def test_the_rows_that_a_bound_lacks_are_counted_in_those_of_the_target() -> None:
    gate = parse("mood.macro_f1.low >= 0.7")
    of_target = evaluate(gate, FACTS).further
    assert of_target is not None
    assert of_target == pytest.approx(evaluate(gate, FACTS | {"mood.rows": 180}).further / 2, rel=0.05)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mood.macro_f2 >= 0.7", "asks for 'macro_f2', which is not known. Did you mean 'macro_f1'"),
        ("mood.macro_f1.lowest >= 0.7", "there are macro_f1.low and macro_f1.high"),
        ("macro_f1.lowest >= 0.7", "there are macro_f1.low and macro_f1.high"),
        ("mood.macro_f1 >= 70", "did you mean 0.7"),
        ("a.b.c.d >= 1", "cannot read the gate"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_which_target_a_gate_is_about() -> None:
    assert fact_of("mood.macro_f1.low >= 0.7") == ("mood", "macro_f1")
    assert fact_of("leaked_rows == 0") == ("", "leaked_rows")
    assert fact_of("beats(baseline)") is None


def comparison(difference: float, half: float, *, metric: str = "macro_f1", significant: bool = True) -> dict[str, Any]:
    ends = {"value": difference, "low": difference - half, "high": difference + half}
    return {"metric": metric, "difference": ends, "p_value": 0.01, "significant": significant, "rows": 100}


def against(**targets: dict[str, Any]) -> dict[str, Any]:
    whole = {"metric": "gain", "difference": {"value": 0.1}, "name": "TF-IDF", "targets": targets}
    return FACTS | {"comparisons": {"baseline": whole}}


BETTER, LESS_WRONG = comparison(0.1, 0.05), comparison(-0.2, 0.1, metric="mae")
WORSE, UNSURE = comparison(0.2, 0.1, metric="mae"), comparison(0.05, 0.07, significant=False)


def test_beats_asks_it_of_every_target() -> None:
    both = evaluate(parse("beats(baseline)"), against(mood=BETTER, stars=LESS_WRONG))
    assert both.passed
    assert "mood: better than the baseline (TF-IDF) by 0.1 in macro_f1" in both.reason
    one = evaluate(parse("beats(baseline)"), against(mood=BETTER, stars=WORSE))
    assert not one.passed
    assert one.reason == "stars: the baseline (TF-IDF) is better by 0.2 in mae (p = 0.01)"
    assert one.further is None


def test_rows_are_lacking_only_where_they_would_settle_every_target() -> None:
    assert evaluate(parse("beats(baseline)"), against(mood=UNSURE, stars=LESS_WRONG)).further is not None
    assert evaluate(parse("beats(baseline)"), against(mood=UNSURE, stars=WORSE)).further is None


def test_not_worse_asks_it_of_every_target() -> None:
    assert evaluate(parse("not_worse(baseline)"), against(mood=UNSURE, stars=LESS_WRONG)).passed
    assert not evaluate(parse("not_worse(baseline)"), against(mood=BETTER, stars=WORSE)).passed
    assert evaluate(parse("not_worse(baseline, 0.05)"), against(mood=UNSURE, stars=LESS_WRONG)).passed
    assert not evaluate(parse("not_worse(baseline, 0.01)"), against(mood=UNSURE, stars=LESS_WRONG)).passed


def test_the_worst_label_is_known_of_each_target() -> None:
    def scored(value: float) -> dict[str, Any]:
        return {metric: {"value": value, "low": None, "high": None} for metric in ("f1", "recall")}

    facts = gather(
        card={},
        checkpoint={},
        export={"ship": "onnx", "forms": {"onnx": {}}},
        evidence={
            "form": "onnx",
            "scores": {},
            "per_class": {"mood=bad": scored(0.5), "mood=good": scored(0.9), "says=late": scored(0.2)},
            "heads": [
                {"name": "mood", "task": "classify", "labels": ["bad", "good"], "rows": 40},
                {"name": "says", "task": "tag", "labels": ["late"], "rows": 30},
            ],
        },
        speed={"form": "onnx"},
    )
    assert facts["mood.worst_class_f1"]["value"] == 0.5
    assert facts["says.worst_class_recall"]["value"] == 0.2
    assert facts["mood.rows"] == 40


def test_a_teachers_answers_in_the_test_can_be_gated_on() -> None:
    def known(card: dict[str, Any]) -> dict[str, Any]:
        evidence = {"form": "onnx", "scores": {}}
        return gather(
            card=card,
            checkpoint={},
            export={"ship": "onnx", "forms": {"onnx": {}}},
            evidence=evidence,
            speed={"form": "onnx"},
        )

    gate = parse("taught_rows == 0")
    assert evaluate(gate, known({})).passed and evaluate(gate, known({"teacher": {}})).passed
    held_out = {"validation": {"people": 0, "teacher": 9}, "test": {"people": 40, "teacher": 3}}
    assert not evaluate(gate, known({"teacher": {"held_out": held_out}})).passed
