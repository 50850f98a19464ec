"""The baselines know what the model is asked beside a text: otherwise a comparison with them would be unfair."""

from __future__ import annotations

import random

import numpy as np
import pytest

from danlu.core.asked import Asked, Question
from danlu.metrics.baseline import TextBaseline, TextFeatures
from danlu.metrics.beside import OVERLAPS, cell_features, codes_of, every_text
from danlu.metrics.multilabel import TagBaseline
from danlu.metrics.regression import ValueBaseline

_THINGS = ("kettle", "lamp", "chair", "phone", "coat", "book")


def paired(rows: int, seed: int) -> tuple[list[Question], list[str]]:
    """Pairs of which only both together tell whether they name the same thing."""
    draw = random.Random(seed)
    asked: list[Question] = []
    labels = []
    for _ in range(rows):
        ours = draw.choice(_THINGS)
        theirs = ours if draw.random() < 0.5 else draw.choice(_THINGS)
        asked.append(Asked(text=f"where is the {ours} {draw.randrange(99)}", pair=f"a {theirs} came"))
        labels.append("same" if ours == theirs else "other")
    return asked, labels


def test_a_linear_baseline_tells_pairs_that_share_words() -> None:
    train, labels = paired(300, 0)
    test, truth = paired(100, 1)
    model = TextBaseline().fit(train, labels)
    answers = model.probabilities(test)
    right = np.mean([model.labels[k] == label for k, label in zip(answers.argmax(1), truth, strict=True)])
    assert right > 0.95
    tags = TagBaseline().fit(train, [["same"] if label == "same" else [] for label in labels], ["same"])
    assert np.mean((tags.probabilities(test)[:, 0] > 0.5) == (np.array(truth) == "same")) > 0.95
    value = ValueBaseline().fit(train, [float(label == "same") for label in labels])
    assert np.mean((value.answers(test) > 0.5) == (np.array(truth) == "same")) > 0.95


def test_overlaps_are_what_they_are_called() -> None:
    asked = [Asked(text="a red lamp", pair="red lamp"), Asked(text="灯坏了", pair="灯"), Asked(text="x", pair="y")]
    features = TextFeatures()
    found = features.fit(asked).toarray()[:, -len(OVERLAPS) :]
    shared = {name: found[:, place] for place, name in enumerate(OVERLAPS)}
    assert shared["jaccard"] == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert shared["first_in_second"] == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert shared["second_in_first"] == pytest.approx([1.0, 1.0, 0.0])
    assert shared["length_ratio"] == pytest.approx([0.8, 1 / 3, 1.0])
    assert shared["cosine"][0] > shared["cosine"][2] == 0.0
    assert features.of([Asked(text="lamp", pair="lamp")]).toarray()[0, -len(OVERLAPS)] == pytest.approx(1.0)


def test_texts_alone_have_the_features_they_had() -> None:
    texts = ["good lamp", "bad lamp", "good chair"]
    assert every_text(texts) == texts
    plain, wrapped = TextFeatures(), TextFeatures()
    assert np.array_equal(plain.fit(texts).toarray(), wrapped.fit([Asked(text=text) for text in texts]).toarray())


def test_a_baseline_knows_the_columns() -> None:
    draw = random.Random(5)
    asked: list[Question] = []
    labels = []
    for _ in range(200):
        amount, channel = draw.uniform(0, 10), draw.choice(("app", "web"))
        cells: dict[str, float | str | None] = {"amount": None if draw.random() < 0.1 else amount, "channel": channel}
        asked.append(Asked(text="hello", columns=cells))
        labels.append("yes" if amount + 6 * (channel == "app") > 8 else "no")
    model = TextBaseline().fit(asked[:150], labels[:150])
    answers = model.probabilities(asked[150:])
    right = np.mean([model.labels[k] == label for k, label in zip(answers.argmax(1), labels[150:], strict=True)])
    assert right > 0.9
    # A value that no row had, and a cell that is missing, are answered too.
    odd: list[Question] = [Asked(text="hello", columns={"channel": "fax"}), Asked(text="hello", columns={})]
    assert np.isfinite(model.probabilities(odd)).all()


def test_cells_stand_behind_the_texts_as_numbers_and_places() -> None:
    rows: list[dict[str, float | str | None]] = [{"a": 1.0, "c": "x"}, {"a": 3.0, "c": "x"}, {"c": "y"}]
    codes = codes_of(rows)
    assert cell_features(codes, rows).tolist() == [[-1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [0, 1, 1, 0, 0]]
