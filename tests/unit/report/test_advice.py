"""What a report asks of its reader: doubts beside a verdict, and what to do next."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from danlu.cli.tables import draw_summary
from danlu.core.store import Workspace
from danlu.report.meaning import meaning
from danlu.report.page import page
from danlu.report.summary import summary
from tests.unit.report.example import make_run, score


def changed(folder: Path, changes: dict[str, Callable[[Any], None]], **options: Any) -> dict[str, Any]:
    """The summary of a run of which some files, by name, were changed."""
    run = make_run(folder, **options)
    for name, change in changes.items():
        (path,) = (folder / "artifacts").glob(f"*/*/{name}")
        value = json.loads(path.read_text(encoding="utf-8"))
        change(value)
        path.write_text(json.dumps(value), encoding="utf-8")
    return summary(run, Workspace(folder))


def shown(numbers: dict[str, Any], language: str = "en") -> str:
    file = io.StringIO()
    draw_summary(Console(file=file, width=400), numbers, language)  # type: ignore[arg-type]
    return file.getvalue()


def advice(numbers: dict[str, Any]) -> str:
    return "\n".join(point["en"] for point in numbers["advice"])


def test_a_good_release_needs_no_advice_and_has_no_doubt(tmp_path: Path) -> None:
    found = changed(tmp_path, {})
    assert (found["advice"], found["doubt"]) == ([], None)
    assert " SHIP " in shown(found)


def taught(card: dict[str, Any]) -> None:
    card["teacher"] = {"held_out": {"test": {"people": 0, "teacher": 412}}}


def test_agreement_with_a_teacher_is_not_called_right(tmp_path: Path) -> None:
    plain = changed(tmp_path / "plain", {})
    assert any("right and" in point["en"] for point in meaning(plain))
    found = changed(tmp_path / "taught", {"card.json": taught})
    assert found["doubt"]["en"] == "it was tested on a teacher's answers, not on people's"
    said = " ".join(point["en"] for point in meaning(found))
    assert "412 test rows have the answers of a teacher" in said and "answers that agree with the test part's" in said
    assert not any("right and" in point["en"] for point in meaning(found))


def last_is_best(training: dict[str, Any]) -> None:
    training["best"] = {"step": 200, "metric": "macro_f1", "value": 0.767}


def test_a_refused_model_that_was_still_learning_is_told_so(tmp_path: Path) -> None:
    found = changed(tmp_path, {"training.json": last_is_best}, refused=True)
    assert "still learning when training ended (validation macro f1 0.760 → 0.767 at the last look): more epochs." in (
        advice(found)
    )
    assert "Raise train.epochs; it had 1.0 epochs." in advice(found)
    assert "还在进步" in shown(found, "zh")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="the best step came before the last"),
        pytest.param({"best": {"step": 200, "metric": "macro_f1", "value": 0.7}, "stopped_early": True}, id="stopped"),
    ],
)
def test_it_is_not_said_of_a_model_that_had_ceased_to_learn(tmp_path: Path, change: dict[str, Any]) -> None:
    found = changed(tmp_path, {"training.json": lambda training: training.update(change)}, refused=True)
    assert "still learning" not in advice(found)


def test_a_training_that_gave_up_is_told_loudly(tmp_path: Path) -> None:
    row = {"kind": "gave_up", "step": 150, "kept": 120, "why": "The loss has leapt to 9.1 at step 151 of 200"}
    found = changed(tmp_path, {"training.json": lambda training: training.update(gave_up=row, stopped_early=True)})
    assert "Training gave up before its end, and the model is that of step 120. The loss has leapt" in advice(found)
    assert "第 120 步" in shown(found, "zh")
    assert found["doubt"]["en"] == "its training gave up before its end"


def one_answer(evidence: dict[str, Any]) -> None:
    evidence["confusion"]["matrix"] = [[0, 0, sum(row)] for row in evidence["confusion"]["matrix"]]


def test_a_model_that_gives_one_answer_alone_is_told_to_train_longer(tmp_path: Path) -> None:
    changes = {"evidence.json": one_answer, "training.json": lambda training: training.update(stopped_early=True)}
    found = changed(tmp_path, changes, labels=["bad", "fair", "good"], refused=True)
    assert "It never answers “bad” or “fair”." in found["sentence"]["en"]
    assert "answers every text with “good”: in 200 steps it has learned nothing" in advice(found)
    assert "train.early_stopping" in advice(found)


def test_a_class_that_is_never_given_stands_beside_a_verdict_that_ships(tmp_path: Path) -> None:
    def never(evidence: dict[str, Any]) -> None:
        for row in evidence["confusion"]["matrix"]:
            row[0], row[1] = 0, row[0] + row[1]

    found = changed(tmp_path, {"evidence.json": never}, labels=["bad", "fair", "good"])
    assert found["verdict"] == "ship"
    assert found["doubt"]["en"] == "it never answers “bad”"
    assert "look twice" in found["sentence"]["en"]
    assert "It never answers “bad”." in found["sentence"]["en"]
    assert "Ship, but look twice" in page(found)


@pytest.mark.parametrize(
    ("significant", "theirs", "words"), [(False, 0.77, "does as well: consider it"), (True, 0.9, "does better")]
)
def test_a_baseline_that_is_not_beaten_stands_in_the_headline(
    tmp_path: Path, significant: bool, theirs: float, words: str
) -> None:
    def as_good(evidence: dict[str, Any]) -> None:
        evidence["baseline"]["comparison"]["significant"] = significant
        evidence["baseline"]["scores"]["macro_f1"] = score(theirs)

    found = changed(tmp_path, {"evidence.json": as_good})
    headline = shown(found).splitlines()[0]
    assert words in headline
    assert "SHIP?" in headline
    assert "可以上线，但请三思" in page(found, "zh")


def test_a_model_from_nothing_that_does_not_beat_the_baseline_is_told_to_take_a_pretrained_one(tmp_path: Path) -> None:
    def lose(evidence: dict[str, Any]) -> None:
        evidence["baseline"]["comparison"]["significant"] = False

    def few(card: dict[str, Any]) -> None:
        card["splits"]["train"]["rows"] = 504

    changes = {"evidence.json": lose, "card.json": few, "danlu.json": lambda model: model.update(base=None)}
    found = changed(tmp_path, changes, refused=True)
    assert "504 training rows are few" in advice(found)
    assert "model.base" in advice(found)


@pytest.mark.parametrize(("base", "words"), [(None, "is as cheap"), ("base://minilm", "cheap baseline does as well")])
def test_a_frozen_encoder_is_not_as_cheap_as_the_baseline(tmp_path: Path, base: str | None, words: str) -> None:
    def as_good(evidence: dict[str, Any]) -> None:
        evidence["form"] = "classic"
        evidence["baseline"]["comparison"]["significant"] = False

    def fitted(model: dict[str, Any]) -> None:
        model.update(base=base, architecture="Frozen embeddings + logistic regression")

    found = changed(tmp_path, {"evidence.json": as_good, "danlu.json": fitted})
    assert (found["doubt"] is None) == (base is None)
    told = shown(found)
    assert words in told
    assert "Frozen embeddings + logistic regression" in page(found)


def test_new_rows_of_small_classes_are_told(tmp_path: Path) -> None:
    made = {"bad & <b>": {"rows": 641, "new": 10_906}}
    found = changed(tmp_path, {"danlu.json": lambda model: model.update(made_rows=made)})
    assert "SMOTE made new vectors between training rows of small classes: bad &amp; &lt;b&gt; 641 + 10,906." in page(
        found
    )
    assert "641 + 10,906" in page(found, "zh")


@pytest.mark.parametrize(("rows", "told"), [(48, True), (199, True), (200, False)])
def test_few_test_rows_prove_little(tmp_path: Path, rows: int, told: bool) -> None:
    found = changed(tmp_path, {"evidence.json": lambda evidence: evidence.update(rows=rows)})
    sentence = f"{rows} test texts prove little: the true accuracy may lie anywhere from 76% to 79%."
    assert (sentence in advice(found)) is told
    assert ("说明不了什么" in page(found, "zh")) is told


def test_what_training_sees_beyond_the_corpus_is_shown(tmp_path: Path) -> None:
    def mixed(card: dict[str, Any]) -> None:
        sources = [
            {"name": "a.csv", "wanted": 0.5, "reached": 0.4375},
            {"name": "b.csv", "wanted": 0.5, "reached": 0.5625},
        ]
        card.update(added={"rows": 711}, mix={"unit": "rows", "sources": sources})

    found = changed(tmp_path, {"card.json": mixed})
    assert "711 rows were added to train (augmented or repeated); training sees 29,811" in shown(found)
    assert "a.csv 43.8% (asked for 50.0%), b.csv 56.2% (asked for 50.0%)" in page(found)


def test_what_its_base_has_read_is_among_the_leaked_rows(tmp_path: Path) -> None:
    seen = {"model.base": {"held_out_seen": 7}}
    found = changed(tmp_path, {"danlu.json": lambda model: model.update(lineage=seen)})
    assert (found["data"]["leaked_rows"], found["evidence"]["leaked_rows"]) == (7, 7)
