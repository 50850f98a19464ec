"""Models without a neural network: what they learn, that they are kept whole, and that each text is alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from danlu.core.errors import DataError, ModelError
from danlu.examples import tiny_rows
from danlu.learning.classic.config import ClassicConfig
from danlu.learning.classic.text_model import TextModel

WORDS: dict[str, Any] = {"analyzer": "word", "ngram_range": (1, 2), "min_df": 1}
KINDS = ("logistic", "gradient_boosting")

TRAIN, VALIDATION, TEST = tiny_rows(400)[:240], tiny_rows(400)[240:320], tiny_rows(400)[320:]


def columns(rows: list[dict[str, str]]) -> tuple[list[str], list[str]]:
    return [row["text"] for row in rows], [row["label"] for row in rows]


def fitted(kind: str, rows: list[dict[str, str]] = TRAIN, *, balanced: bool = False, **settings: Any) -> TextModel:
    labels = sorted({row["label"] for row in rows})
    held_out = [row for row in VALIDATION if row["label"] in labels] or VALIDATION
    return TextModel.fit(
        columns(rows),
        columns(held_out) if set(columns(held_out)[1]) <= set(labels) else columns(rows),
        labels=labels,
        ngrams=[WORDS],
        config=TypeAdapter(ClassicConfig).validate_python({"kind": kind, **settings}),
        balanced=balanced,
        seed=3,
        threads=1,
    )


def three_labels() -> list[dict[str, str]]:
    return [
        row | {"label": f"{row['label']} {'lamp' in row['text']}"} for row in TRAIN if "lamp" not in row["text"]
    ] + [row | {"label": "lamp"} for row in TRAIN if "lamp" in row["text"]]


@pytest.mark.parametrize("kind", KINDS)
def test_learns_what_one_word_decides(kind: str) -> None:
    model = fitted(kind)
    answers = model.probabilities(columns(TEST)[0])
    assert answers.shape == (len(TEST), 2)
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-6)
    right = [model.labels[place] for place in answers.argmax(axis=1)]
    assert np.mean([found == row["label"] for found, row in zip(right, TEST, strict=True)]) >= 0.95


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [TRAIN, three_labels()], ids=["two labels", "three labels"])
def test_is_kept_whole_and_in_the_same_bytes(kind: str, rows: list[dict[str, str]], tmp_path: Path) -> None:
    model, again = fitted(kind, rows), fitted(kind, rows)
    for name, made in (("a", model), ("b", again)):
        (tmp_path / name).mkdir()
        made.save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    read, texts = TextModel.load(tmp_path / "a"), columns(TEST)[0]
    np.testing.assert_array_equal(read.probabilities(texts), model.probabilities(texts))
    assert (read.labels, read.features, read.parameters) == (model.labels, model.features, model.parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_each_text_is_answered_by_itself(kind: str) -> None:
    model, texts = fitted(kind), [*columns(TEST)[0][:20], "", "nothing that was ever seen"]
    together = model.probabilities(texts)
    for place, text in enumerate(texts):
        np.testing.assert_array_equal(model.probabilities([text])[0], together[place])
    assert model.probabilities([]).shape == (0, 2)


def test_logistic_is_scikit_learns() -> None:
    texts, labels = columns(three_labels())
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **WORDS)
    plain = LogisticRegression(C=4.0, max_iter=1_000).fit(vectorizer.fit_transform(texts), labels)
    ours = fitted("logistic", three_labels())
    assert list(ours.labels) == list(plain.classes_)
    held_out = columns(TEST)[0]
    np.testing.assert_allclose(
        ours.probabilities(held_out), plain.predict_proba(vectorizer.transform(held_out)), atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_balanced_weights_help_a_rare_label(kind: str) -> None:
    rare = [row for row in TRAIN if row["label"] == "good"] + [row for row in TRAIN if row["label"] == "bad"][:4]
    texts = [row["text"] for row in TEST if row["label"] == "bad"]

    def chance(balanced: bool) -> float:
        return float(fitted(kind, rare, balanced=balanced).probabilities(texts)[:, 0].mean())

    assert chance(True) > chance(False)


def test_boosting_stops_where_validation_is_best() -> None:
    assert fitted("gradient_boosting", patience=2).parameters < fitted("gradient_boosting", patience=0).parameters


def test_most_features_are_the_most_frequent() -> None:
    assert fitted("logistic", features=50).features == 50


def test_one_label_is_refused() -> None:
    with pytest.raises(DataError, match="label 'good'"):
        fitted("logistic", [row for row in TRAIN if row["label"] == "good"])


def test_texts_without_ngrams_are_refused() -> None:
    with pytest.raises(DataError, match="no n-gram"):
        fitted("logistic", [{"text": "!", "label": "a"}, {"text": "?", "label": "b"}])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_model_is_refused(kind: str, damage: str, tmp_path: Path) -> None:
    fitted(kind).save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelError, match="danlu run"):
            TextModel.load(tmp_path)
        path.write_bytes(whole)
