"""Models that are fitted, not trained: what they learn, that they are kept whole, and that each text is alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from danlu.core.baseline import SOLVER
from danlu.core.errors import DataError, Interrupted, ModelError
from danlu.core.tasks import TASKS, TaskName
from danlu.examples import tiny_rated, tiny_rows, tiny_tagged
from danlu.learning.classic.base import Aim, Fitting, Rows
from danlu.learning.classic.config import (
    KINDS_FOR,
    Classic,
    ClassicConfig,
    LogisticConfig,
    RandomForestConfig,
    RidgeConfig,
    WordsFeatures,
    check_classic,
)
from danlu.learning.classic.forest import Forest
from danlu.learning.classic.linear import PENALTIES, Linear
from danlu.learning.classic.text_model import TextModel, class_weights, fit_ngrams
from danlu.learning.scale import Scale
from danlu.metrics.baseline import TextBaseline, options_for
from danlu.metrics.multilabel import TagBaseline
from danlu.metrics.regression import ValueBaseline
from danlu.metrics.thresholds import indicators

WORDS: dict[str, Any] = {"analyzer": "word", "ngram_range": (1, 2), "min_df": 1}
EVERY = [(task, kind) for task, kinds in KINDS_FOR.items() for kind in kinds]
#: Share that is right; a forest whose trees see few of the n-grams at a split learns one word in 30 slowly.
LEAST = {"random_forest": 0.75}
CLASSIFIERS = KINDS_FOR["classify"]

Given = list[dict[str, Any]]
ROWS: dict[str, Given] = {
    "classify": [dict(row) for row in tiny_rows(400)],
    "tag": tiny_tagged(400),
    "regress": tiny_rated(400),
}
TRAIN, VALIDATION, TEST = ROWS["classify"][:240], ROWS["classify"][240:320], ROWS["classify"][320:]


def texts_of(rows: Given) -> list[str]:
    return [row["text"] for row in rows]


def told(rows: Given) -> list[Any]:
    return [row["label"] for row in rows]


def targets(task: str, rows: Given, labels: list[str], scale: Scale | None) -> np.ndarray:
    if task == "tag":
        return indicators(told(rows), labels)
    if scale is not None:
        return scale.standardised(told(rows)).astype(np.float64)
    return np.array([labels.index(label) for label in told(rows)])


def fitted(
    kind: str,
    rows: Given = TRAIN,
    *,
    task: str = "classify",
    validation: Given | None = None,
    balanced: bool = False,
    how: Fitting | None = None,
    ngrams: list[dict[str, Any]] | None = None,
    **settings: Any,
) -> TextModel:
    config: Classic = TypeAdapter(ClassicConfig).validate_python({"kind": kind, **settings})
    validation = validation or [row for row in VALIDATION if row["label"] in told(rows)] or rows
    named = (
        {label for row in told(rows) for label in ([row] if isinstance(row, str) else row)} if task != "regress" else ()
    )
    labels = sorted(named)
    scale = Scale.of(told(rows)) if task == "regress" else None
    assert isinstance(config.features, WordsFeatures)
    features = fit_ngrams(texts_of(rows), ngrams or [WORDS], config.features, kind)

    def part(given: Given) -> Rows:
        known = targets(task, given, labels, scale)
        weights = class_weights(targets(task, rows, labels, scale), len(labels))[known] if balanced else None
        return Rows(features=features.of(texts_of(given)), targets=known, weights=weights)

    return TextModel.fit(
        part(rows),
        part(validation),
        task=cast(TaskName, task),
        labels=labels,
        features=features,
        config=config,
        how=how or Fitting(seed=3, threads=1),
    )


def of_task(task: str, kind: str, **settings: Any) -> TextModel:
    rows = ROWS[task]
    return fitted(kind, rows[:240], task=task, validation=rows[240:320], **settings)


def three_labels() -> Given:
    return [
        row | {"label": f"{row['label']} {'lamp' in row['text']}"} for row in TRAIN if "lamp" not in row["text"]
    ] + [row | {"label": "lamp"} for row in TRAIN if "lamp" in row["text"]]


@pytest.mark.parametrize(("task", "kind"), EVERY)
def test_learns_what_words_decide(task: str, kind: str) -> None:
    model, rows = of_task(task, kind), ROWS[task][320:]
    answers = model.answers(texts_of(rows))
    if task == "classify":
        np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-6)
        right = [model.labels[place] == row["label"] for place, row in zip(answers.argmax(axis=1), rows, strict=True)]
        assert np.mean(right) >= LEAST.get(kind, 0.95)
    elif task == "tag":
        right = (answers >= 0.5) == indicators(told(rows), list(model.labels))
        assert right.mean() >= LEAST.get(kind, 0.9)
    else:
        scale = Scale.of(told(ROWS[task][:240]))
        error = np.abs(scale.restored(answers)[:, 0] - np.array(told(rows)))
        assert error.mean() < 0.5 * np.abs(np.array(told(rows)) - scale.mean).mean()


@pytest.mark.parametrize(("task", "kind"), EVERY)
def test_is_kept_whole_and_in_the_same_bytes(task: str, kind: str, tmp_path: Path) -> None:
    model, again = of_task(task, kind), of_task(task, kind)
    for name, made in (("a", model), ("b", again)):
        (tmp_path / name).mkdir()
        made.save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    read, texts = TextModel.load(tmp_path / "a"), texts_of(ROWS[task][320:])
    np.testing.assert_array_equal(read.answers(texts), model.answers(texts))
    assert (read.labels, read.features, read.parameters) == (model.labels, model.features, model.parameters)
    assert (read.name, read.aim) == (model.name, model.aim)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_more_than_two_labels_are_kept_too(kind: str, tmp_path: Path) -> None:
    model = fitted(kind, three_labels())
    model.save(tmp_path)
    np.testing.assert_array_equal(TextModel.load(tmp_path).answers(texts_of(TEST)), model.answers(texts_of(TEST)))
    assert model.answers(["a lamp"]).shape == (1, 3)


@pytest.mark.parametrize(("task", "kind"), EVERY)
def test_each_text_is_answered_by_itself(task: str, kind: str) -> None:
    model, texts = of_task(task, kind), [*texts_of(TEST)[:20], "", "nothing that was ever seen"]
    together = model.answers(texts)
    for place, text in enumerate(texts):
        np.testing.assert_array_equal(model.answers([text])[0], together[place])
    assert model.answers([]).shape == (0, len(model.labels) or 1)


def test_logistic_is_scikit_learns() -> None:
    rows = three_labels()
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **WORDS)
    plain = LogisticRegression(C=4.0, max_iter=400).fit(vectorizer.fit_transform(texts_of(rows)), told(rows))
    ours = fitted("logistic", rows)
    assert list(ours.labels) == list(plain.classes_)
    held_out = texts_of(TEST)
    np.testing.assert_allclose(ours.answers(held_out), plain.predict_proba(vectorizer.transform(held_out)), atol=1e-5)


def test_a_forest_is_scikit_learns() -> None:
    """Its arrays answer as the trees do that they were read from; gini and the sum of variances choose alike."""
    random = np.random.default_rng(0)
    features = random.normal(size=(300, 6)).astype(np.float32)
    truth = (features[:, 0] > 0).astype(np.int64) + (features[:, 1] > 0.5)
    rows, aim = Rows(features=features, targets=truth), Aim(task="classify", columns=3)
    config = RandomForestConfig(trees=15, rows_in_leaf=2)
    ours = Forest.fit(rows, rows, aim, config, Fitting(seed=4, threads=1))
    plain = RandomForestClassifier(15, min_samples_leaf=2, max_features="sqrt", random_state=4).fit(features, truth)
    fresh = random.normal(size=(200, 6)).astype(np.float32)
    assert np.abs(ours.answers(fresh) - plain.predict_proba(fresh)).mean() < 0.02
    np.testing.assert_allclose(ours.answers(features).sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("steps", [SOLVER["max_iter"], 3], ids=["to its end", "stopped early"])
def test_logistic_is_the_baseline_itself(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    monkeypatch.setitem(SOLVER, "max_iter", steps)
    rows, said = three_labels(), list[str]()
    texts = texts_of(rows)
    baseline = TextBaseline().fit(texts, told(rows))
    how = Fitting(seed=3, threads=1, warn=said.append)
    model = fitted("logistic", rows, ngrams=options_for(texts), how=how)
    held_out = texts_of(TEST)
    np.testing.assert_allclose(model.answers(held_out), baseline.probabilities(held_out), atol=1e-5)
    assert bool(said) == (not baseline.converged) == (steps == 3)
    assert not said or "stopped after 3 steps before it had converged" in said[0]


def test_tagging_by_logistic_is_the_baseline_itself() -> None:
    rows = [row | {"label": [*row["label"], "all"]} for row in ROWS["tag"][:240]]  # one label that all rows have
    baseline = TagBaseline().fit(texts_of(rows), told(rows), sorted({name for row in told(rows) for name in row}))
    model = fitted("logistic", rows, task="tag", validation=rows, ngrams=options_for(texts_of(rows)))
    held_out = texts_of(TEST)
    np.testing.assert_allclose(model.answers(held_out), baseline.probabilities(held_out), atol=1e-5)
    assert (model.answers(held_out)[:, model.labels.index("all")] == 1.0).all()


def test_ridge_is_the_baseline_itself() -> None:
    rows, held_out = ROWS["regress"][:240], texts_of(TEST)
    baseline = ValueBaseline().fit(texts_of(rows), told(rows))
    model = fitted("ridge", rows, task="regress", validation=rows, ngrams=options_for(texts_of(rows)))
    answers = Scale.of(told(rows)).restored(model.answers(held_out))[:, 0]
    np.testing.assert_allclose(answers, baseline.answers(held_out), atol=2e-3)


@pytest.mark.parametrize("noise", [0.02, 30.0])
def test_the_penalty_of_a_ridge_follows_the_noise(noise: float) -> None:
    """The chosen strength has the least error on fresh rows among strengths far from it."""
    random = np.random.default_rng(1)
    weights = random.normal(size=40)
    aim, how = Aim(task="regress", columns=1), Fitting(seed=1, threads=1)

    def drawn(rows: int) -> Rows:
        features = random.normal(size=(rows, 40))
        return Rows(features=features, targets=features @ weights + noise * random.normal(size=rows))

    train, fresh = drawn(100), drawn(2_000)

    def error(alpha: Any) -> float:
        model = Linear.ridge(train, train, aim, RidgeConfig(alpha=alpha), how)
        return float(np.square(model.answers(fresh.features)[:, 0] - fresh.targets).mean())

    assert error("auto") <= error(1e4 if noise < 1 else 0.01)


def test_the_penalty_over_vectors_is_chosen() -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(400, 8)) * 0.01  # so small that a strong penalty would keep every weight at 0
    truth = (features[:, 0] > 0).astype(np.int64)
    rows, aim, how = Rows(features=features, targets=truth), Aim(task="classify", columns=2), Fitting(seed=1, threads=1)

    def loss(penalty: Any) -> float:
        answers = Linear.logistic(rows, rows, aim, LogisticConfig(penalty=penalty), how).answers(features)
        return -float(np.log(answers[np.arange(400), truth]).mean())

    assert loss("auto") == pytest.approx(loss(PENALTIES[-1]))
    assert loss("auto") < loss(PENALTIES[0])


@pytest.mark.parametrize("kind", ["gradient_boosting", "random_forest"])
def test_a_wish_to_stop_is_heard_between_rounds(kind: str) -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 4:
            raise Interrupted("Ctrl-C")

    with pytest.raises(Interrupted):
        fitted(kind, how=Fitting(seed=3, threads=1, check=check))
    with pytest.raises(Interrupted):
        asked = 3
        fitted("logistic", how=Fitting(seed=3, threads=1, check=check))


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_balanced_weights_help_a_rare_label(kind: str) -> None:
    rare = [row for row in TRAIN if row["label"] == "good"] + [row for row in TRAIN if row["label"] == "bad"][:4]
    texts = [row["text"] for row in TEST if row["label"] == "bad"]

    def chance(balanced: bool) -> float:
        return float(fitted(kind, rare, balanced=balanced).answers(texts)[:, 0].mean())

    assert chance(True) > chance(False)


def test_boosting_stops_where_validation_is_best() -> None:
    assert fitted("gradient_boosting", patience=2).parameters < fitted("gradient_boosting", patience=0).parameters


def test_most_features_are_the_most_frequent() -> None:
    assert fitted("logistic", features={"kind": "words", "most": 50}).features == "50 n-grams"


@pytest.mark.parametrize(
    ("task", "rows", "said"),
    [
        ("classify", [row for row in TRAIN if row["label"] == "good"], "same label 'good'"),
        ("tag", [{"text": "one two", "label": ["a"]}, {"text": "two three", "label": ["a"]}], "same labels"),
        ("regress", [{"text": "one two", "label": 2.0}, {"text": "two three", "label": 2.0}], "same number"),
    ],
)
def test_one_answer_is_refused(task: str, rows: Given, said: str) -> None:
    with pytest.raises(DataError, match=said):
        fitted("random_forest", rows, task=task, validation=rows)


def test_texts_without_ngrams_are_refused() -> None:
    with pytest.raises(DataError, match="no n-gram"):
        fitted("logistic", [{"text": "!", "label": "a"}, {"text": "?", "label": "b"}])


@pytest.mark.parametrize(
    ("task", "kind"), [*((("classify"), kind) for kind in CLASSIFIERS), ("tag", "gradient_boosting")]
)
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_model_is_refused(task: str, kind: str, damage: str, tmp_path: Path) -> None:
    of_task(task, kind).save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelError, match="danlu run"):
            TextModel.load(tmp_path)
        path.write_bytes(whole)


SMOTE = {"kind": "logistic", "smote": {}}
OVER = {"features": {"kind": "embeddings", "base": "minilm"}}


@pytest.mark.parametrize(
    ("task", "section", "weighted", "said"),
    [
        ("embed", {"kind": "logistic"}, False, "the recipe's task is embed"),
        ("regress", {"kind": "logistic"}, False, "logistic, which is not for regress; that has ridge"),
        ("tag", {"kind": "ridge"}, False, "ridge, which is not for tag"),
        ("tag", SMOTE | OVER, False, "of which a row of classify has one; the task is tag"),
        ("regress", {"kind": "gradient_boosting", "smote": {}} | OVER, False, "the task is regress"),
        ("classify", SMOTE, False, "halfway between two texts' words lies no text"),
        ("classify", SMOTE | OVER, True, "use one of them"),
    ],
)
def test_what_cannot_be_had_together(task: TaskName, section: dict[str, Any], weighted: bool, said: str) -> None:
    assert task in TASKS
    with pytest.raises(ValueError, match=said):
        check_classic(task, TypeAdapter(ClassicConfig).validate_python(section), class_weights=weighted)


def test_embeddings_need_an_encoder() -> None:
    with pytest.raises(ValidationError, match="base"):
        TypeAdapter(ClassicConfig).validate_python({"kind": "logistic", "features": {"kind": "embeddings"}})
