from __future__ import annotations

from pathlib import Path
from typing import Any

from danlu.engines.base import Ending
from danlu.evaluate.questions.sheet import AskedQuestion
from danlu.evaluate.questions.stage import _broken, _seen, _whole
from danlu.metrics.answers import rules_of
from danlu.release.facts import gather
from danlu.release.gates import evaluate, parse
from tests.unit.evaluate.conftest import write_corpus


def asked(text: str, **more: Any) -> AskedQuestion:
    return AskedQuestion(question=text, origin="asked.csv:2", **more)


def test_questions_in_the_training_part_are_told_whatever_their_case_and_width(tmp_path: Path) -> None:
    train = [("How long is the WARRANTY?", None, "a"), ("another text", None, "b")]
    test = [("Can I pay in cash?", None, "c")]
    corpus = write_corpus(tmp_path / "corpus", {"train": train, "test": test}, [])
    questions = [asked("how long is  the ｗarranty?"), asked("Can I pay in cash?")]
    assert _seen(corpus, questions).tolist() == [True, False]


def test_an_answer_is_whole_and_how_it_ended_is_known() -> None:
    def pieces() -> Any:
        yield " twelve"
        yield " months "
        return Ending(reason="length", tokens=2)

    text, ending = _whole(pieces())
    assert (text, ending.reason) == ("twelve months", "length")


def test_answers_that_break_a_rule_are_listed_with_what_is_wrong() -> None:
    questions = [asked("a", must_say=("30 days",)), asked("b", must_not_say=("never",))]
    answers = ["within 30 days", "we never do"]
    rules = [rules_of(text, one.must_say, one.must_not_say) for text, one in zip(answers, questions, strict=True)]
    (one,) = _broken(questions, answers, rules)
    assert (one["question"], one["missing"], one["forbidden"]) == ("b", [], ["never"])


def test_gates_ask_for_the_scores_of_questions_and_for_those_that_were_seen() -> None:
    found = {
        "form": "onnx",
        "with_rules": 20,
        "with_reference": 0,
        "seen_questions": 1,
        "scores": {"rules": {"value": 0.9, "low": 0.7, "high": 0.97}},
    }
    facts = gather(
        card={},
        checkpoint={},
        export={"ship": "onnx", "forms": {"onnx": {}}},
        evidence={"form": "onnx", "scores": {}},
        speed={"form": "onnx"},
        questions=found,
    )
    assert evaluate(parse("questions_rules >= 0.8"), facts).passed
    assert not evaluate(parse("questions_rules.low >= 0.8"), facts).passed
    assert not evaluate(parse("seen_questions == 0"), facts).passed
    assert not evaluate(parse("questions_f1 >= 0.1"), facts).passed  # what was not measured does not pass
