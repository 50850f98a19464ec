"""What models say, by task: from logits to what programs and people read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from danlu.core.artifact import write_json
from danlu.core.errors import ModelError
from danlu.engines.answers import ANSWERS, sigmoid
from danlu.engines.base import FORM, Form, read_form
from danlu.learning.scale import Scale

TAG = Form(
    name="torch",
    engine="torch",
    task="tag",
    labels=("late", "red", "small"),
    max_length=8,
    batch_invariant=True,
    precision="float32",
    bytes=0,
    thresholds=(0.5, 0.25, 0.75),
)
REGRESS = replace(TAG, task="regress", labels=None, thresholds=None, scale=Scale(mean=3.0, std=2.0))


def test_labels_hold_from_their_own_threshold_on() -> None:
    told = ANSWERS["tag"].told(np.array([0.5, 0.6, 0.7], dtype=np.float32), TAG)
    assert told["labels"] == ["red", "late"]
    assert told["probabilities"] == pytest.approx({"late": 0.5, "red": 0.6, "small": 0.7})
    assert ANSWERS["tag"].words(told) == ["red 60%, late 50%"]
    assert ANSWERS["tag"].words(ANSWERS["tag"].told(np.zeros(3), TAG)) == ["–"]


def test_probabilities_of_labels_are_each_by_itself() -> None:
    logits = np.array([[-1e9, 0.0, 800.0]], dtype=np.float32)
    assert sigmoid(logits).tolist() == [[0.0, 0.5, 1.0]]
    assert ANSWERS["tag"].probabilities(logits, TAG).dtype == np.float32


def test_numbers_are_in_the_unit_of_the_data() -> None:
    rows = ANSWERS["regress"].probabilities(np.array([[0.0], [-1.5]], dtype=np.float32), REGRESS)
    assert rows.tolist() == [[3.0], [0.0]]
    assert ANSWERS["regress"].told(rows[0], REGRESS) == {"value": 3.0}
    assert ANSWERS["regress"].words({"value": 3.14159}) == ["3.142"]


def test_forms_differ_where_a_decision_does_or_a_number_by_a_hundredth_of_its_spread() -> None:
    ours = np.array([[0.5, 0.2, 0.7], [0.9, 0.9, 0.9]])
    theirs = np.array([[0.49, 0.2, 0.7], [0.8, 0.8, 0.8]])
    assert ANSWERS["tag"].differs(ours, theirs, TAG).tolist() == [True, False]
    values = np.array([[3.0], [3.0]])
    assert ANSWERS["regress"].differs(values, values + np.array([[0.019], [0.021]]), REGRESS).tolist() == [False, True]


@pytest.mark.parametrize("form", [TAG, REGRESS], ids=["tag", "regress"])
def test_a_form_is_read_as_it_was_written(form: Form, tmp_path: Path) -> None:
    write_json(tmp_path / FORM, form.as_json())
    assert read_form(tmp_path) == form
    assert form.answers == (3 if form is TAG else 1)


@pytest.mark.parametrize(("form", "lacking"), [(TAG, "thresholds"), (TAG, "labels"), (REGRESS, "scale")])
def test_a_form_that_lacks_what_its_task_needs_is_refused(form: Form, lacking: str, tmp_path: Path) -> None:
    values = form.as_json() | {lacking: None}
    (tmp_path / FORM).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ModelError, match=f"has no {lacking}, which a model for {form.task} needs"):
        read_form(tmp_path)
