"""Fitted models that are told columns beside the text: as the baselines are, and kept with their codes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from danlu.core.asked import Asked, Cell, Question
from danlu.core.columns import Codes
from danlu.core.tasks import TaskName
from danlu.examples import tiny_rows
from danlu.learning.classic.base import Fitting, Rows
from danlu.learning.classic.beside import Cells
from danlu.learning.classic.config import KINDS_FOR, ClassicConfig, WordsFeatures
from danlu.learning.classic.text_model import TextModel, fit_ngrams
from danlu.learning.scale import Scale
from danlu.metrics.baseline import TextBaseline, options_for
from danlu.metrics.regression import ValueBaseline

TEXTS = [row["text"] for row in tiny_rows(260)]


def cells(seed: int = 5) -> list[dict[str, Cell]]:
    draw = random.Random(seed)
    return [
        {"amount": None if draw.random() < 0.2 else draw.gauss(40, 10), "channel": draw.choice(["app", "shop", None])}
        for _ in TEXTS
    ]


CELLS = cells()
#: What the cells alone decide.
LABELS = ["big" if (row["amount"] or 0) > 40 or row["channel"] == "app" else "small" for row in CELLS]  # type: ignore[operator]
TRAIN, TEST = slice(0, 200), slice(200, 260)


def fitted(task: TaskName, kind: str, **settings: Any) -> TextModel:
    config = TypeAdapter(ClassicConfig).validate_python({"kind": kind, **settings})
    words = WordsFeatures()
    features = fit_ngrams(TEXTS[TRAIN], options_for(TEXTS[TRAIN]), words, kind)
    codes = Codes.of(CELLS[TRAIN], ["amount"], ["channel"])
    known = np.array([float(label == "big") for label in LABELS])
    targets = {
        "classify": known.astype(np.int64),
        "tag": np.stack([known, 1 - known], axis=1).astype(bool),
        "regress": Scale.of(known[TRAIN].tolist()).standardised(known.tolist()).astype(np.float64),
    }[task]

    def part(which: slice) -> Rows:
        made = features.of(TEXTS[which])
        return Rows(features=Cells.of(codes, CELLS[which]).behind(made), targets=targets[which])

    return TextModel.fit(
        part(TRAIN),
        part(TEST),
        task=task,
        labels=[] if task == "regress" else ["small", "big"],
        features=features,
        config=config,
        codes=codes,
        how=Fitting(seed=1, threads=1),
    )


@pytest.mark.parametrize(("task", "kind"), [(task, kind) for task, kinds in KINDS_FOR.items() for kind in kinds])
def test_are_kept_with_their_codes(task: TaskName, kind: str, tmp_path: Path) -> None:
    model = fitted(task, kind)
    answers = model.answers(TEXTS[TEST], CELLS[TEST])
    model.save(tmp_path)
    read = TextModel.load(tmp_path)
    np.testing.assert_array_equal(read.answers(TEXTS[TEST], CELLS[TEST]), answers)
    assert read.name == model.name
    assert "TF-IDF and columns + " in model.name
    for place, text in enumerate(TEXTS[TEST][:5]):
        np.testing.assert_array_equal(model.answers([text], [CELLS[TEST][place]])[0], answers[place])


def test_cells_decide_where_they_do() -> None:
    model = fitted("classify", "gradient_boosting")
    right = model.answers(TEXTS[TEST], CELLS[TEST]).argmax(axis=1) == [label == "big" for label in LABELS[TEST]]
    assert right.mean() > 0.9


def test_are_the_baselines_themselves() -> None:
    asked: list[Question] = [Asked(text=text, columns=row) for text, row in zip(TEXTS, CELLS, strict=True)]
    baseline = TextBaseline().fit(asked[TRAIN], LABELS[TRAIN])
    ours = fitted("classify", "logistic").answers(TEXTS[TEST], CELLS[TEST])
    np.testing.assert_allclose(ours, baseline.probabilities(asked[TEST], ["small", "big"]), atol=2e-4)
    known = [float(label == "big") for label in LABELS]
    value = ValueBaseline().fit(asked[TRAIN], known[TRAIN])
    numbers = Scale.of(known[TRAIN]).restored(fitted("regress", "ridge").answers(TEXTS[TEST], CELLS[TEST]))[:, 0]
    np.testing.assert_allclose(numbers, value.answers(asked[TEST]), atol=2e-3)


@pytest.mark.parametrize(("cell", "same"), [(" app ", "app"), ("app\u3000", "app"), ("", None), (" ", None)])
def test_a_category_is_coded_as_training_reads_it(cell: str, same: str | None) -> None:
    column = Codes.of(CELLS[TRAIN], [], ["channel"])
    asked = column.categories({"channel": cell})
    assert asked == column.categories({"channel": same})
    assert asked != column.categories({"channel": "phone"})
