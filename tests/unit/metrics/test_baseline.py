from __future__ import annotations

import random

import numpy as np
import pytest

from danlu.metrics import baseline
from danlu.metrics.baseline import TextBaseline, features_for

_SIGN = {"good": ("great", "lovely", "superb"), "bad": ("awful", "broken", "dull"), "fine": ("okay", "usual", "plain")}
_SIGN_ZH = {"好": ("不错", "喜欢", "满意"), "差": ("太差", "失望", "退货")}


def english(rows: int, seed: int = 0, labels: tuple[str, ...] = ("good", "bad", "fine")) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    chosen = [draw.choice(labels) for _ in range(rows)]
    return [(f"the {draw.choice(('lamp', 'cup', 'bag'))} is {draw.choice(_SIGN[label])}", label) for label in chosen]


def chinese(rows: int, seed: int = 0) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    chosen = [draw.choice(("好", "差")) for _ in range(rows)]
    return [(f"这个{draw.choice('灯杯包')}{draw.choice(_SIGN_ZH[label])}了", label) for label in chosen]


def accuracy(rows: list[tuple[str, str]], test: list[tuple[str, str]]) -> float:
    model = TextBaseline().fit([text for text, _ in rows], [label for _, label in rows])
    answers = model.probabilities([text for text, _ in test])
    assert np.allclose(answers.sum(axis=1), 1.0)
    return float(np.mean([model.labels[k] == label for k, (_, label) in zip(answers.argmax(1), test, strict=True)]))


def test_learns_english_and_chinese() -> None:
    assert accuracy(english(200), english(60, seed=1)) == 1.0
    assert accuracy(chinese(200), chinese(60, seed=1)) == 1.0


def test_features_follow_script_and_size() -> None:
    assert features_for(["价格便宜 good", "质量很好"]) == "han"
    assert features_for(["cheap and cheerful 好"] * 3) == "latin"
    assert features_for(["cheap and cheerful"] * 10_001) == "latin, many"
    assert features_for(["", "!!"]) == "latin"


def test_is_deterministic() -> None:
    rows = english(100)
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    first, second = (TextBaseline().fit(texts, labels).probabilities(texts) for _ in range(2))
    assert (first == second).all()


def test_the_solver_does_not_stop_early(monkeypatch: pytest.MonkeyPatch) -> None:
    # A baseline that has not converged is too weak, and flatters every model that is compared with it.
    draw = random.Random(3)
    words = [f"w{number}" for number in range(300)]
    texts = [" ".join(draw.choices(words, k=6)) for _ in range(500)]
    labels = ["a" if sum(int(word[1:]) for word in text.split()) + draw.gauss(0, 200) < 900 else "b" for text in texts]
    found = TextBaseline().fit(texts[:400], labels[:400]).probabilities(texts[400:])
    monkeypatch.setattr(baseline, "TOLERANCE", 1e-8)
    monkeypatch.setattr(baseline, "ITERATIONS", 5_000)
    exact = TextBaseline().fit(texts[:400], labels[:400]).probabilities(texts[400:])
    assert np.abs(found - exact).max() < 0.005


def test_columns_follow_the_labels_asked_for() -> None:
    rows = english(60, labels=("good", "bad"))
    model = TextBaseline().fit([text for text, _ in rows], [label for _, label in rows])
    answers = model.probabilities(["a great cup"], ["good", "fine", "bad"])
    assert answers[0, 1] == 0.0
    assert answers[0, 0] > answers[0, 2]
    assert answers[0, [2, 0]] == pytest.approx(model.probabilities(["a great cup"])[0])
    assert model.probabilities([], ["good", "bad"]).shape == (0, 2)


def test_a_single_label_is_always_that_label() -> None:
    model = TextBaseline().fit(["one", "two"], ["good", "good"])
    assert model.probabilities(["three"], ["bad", "good"]).tolist() == [[0.0, 1.0]]


def test_two_rows_are_enough() -> None:
    model = TextBaseline().fit(["yes", "no"], ["a", "b"])
    assert model.probabilities(["yes"]).argmax() == 0


@pytest.mark.parametrize(("texts", "labels"), [([], []), (["a"], ["x", "y"])])
def test_refuses_rows_that_disagree(texts: list[str], labels: list[str]) -> None:
    with pytest.raises(ValueError, match="as many labels as texts"):
        TextBaseline().fit(texts, labels)


def test_a_fit_that_stops_early_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{mood} {place} of {place % 7}" for place in range(60) for mood in ("good", "bad", "so so")]
    labels = [text.split()[0] for text in texts]
    assert baseline.TextBaseline().fit(texts, labels).converged
    monkeypatch.setattr(baseline, "ITERATIONS", 2)
    assert not baseline.TextBaseline().fit(texts, labels).converged
