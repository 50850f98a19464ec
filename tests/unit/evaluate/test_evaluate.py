from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from sklearn import metrics

from danlu.core.artifact import Artifact, write_json
from danlu.core.context import Context
from danlu.core.errors import DataError, Interrupted, UserError
from danlu.engines.table import load
from danlu.engines.torch_engine import TorchEngine
from danlu.evaluate import stage
from danlu.evaluate.config import EvaluateStage
from danlu.evaluate.rows import leaked_rows, read_part, rows_seen
from danlu.evaluate.stage import run
from danlu.learning.batching import pack_rows
from danlu.learning.corpus import read_part as read_in_training
from danlu.metrics.baseline import TextBaseline
from danlu.metrics.ngram import CharacterModel
from tests.support import as_artifact, make_context
from tests.unit.engines import tiny
from tests.unit.evaluate.conftest import NAIVE, MakeCorpus, sentiment

_SCORE = {"value", "low", "high"}


def settings(task: str, **evaluate: Any) -> EvaluateStage:
    return EvaluateStage.model_validate({"task": task, "evaluate": {"resamples": 100, **evaluate}})


def evaluated(folder: Path, corpus: Artifact, export: Artifact, config: EvaluateStage) -> tuple[Context, Any]:
    context = make_context(folder, stage="evaluate", inputs={"data": corpus, "compress": export})
    run(context, config)
    return context, json.loads((context.out / "evidence.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def classified(
    tmp_path_factory: pytest.TempPathFactory, corpus: Artifact, classify_export: Artifact
) -> tuple[Context, Any]:
    return evaluated(tmp_path_factory.mktemp("evidence"), corpus, classify_export, settings("classify", worst_rows=5))


def test_predictions_are_the_engines_own(
    classified: tuple[Context, Any], corpus: Artifact, classify_export: Artifact
) -> None:
    context, _ = classified
    table = parquet.read_table(context.out / "predictions.parquet")
    test = read_part(corpus, "test")
    engine = load(classify_export / "forms" / "torch", 1)
    expected = engine.predict(test.texts)
    assert table.column("id").to_pylist() == sorted(test.ids)
    assert np.allclose(table.column("probabilities").to_pylist(), expected, atol=1e-6)
    assert table.column("predicted").to_pylist() == [tiny.LABELS[k] for k in expected.argmax(axis=1)]
    assert table.column("label").to_pylist() == test.labels


def test_scores_are_those_of_the_predictions(classified: tuple[Context, Any]) -> None:
    context, evidence = classified
    table = parquet.read_table(context.out / "predictions.parquet").to_pydict()
    truth, predicted = table["label"], table["predicted"]
    assert evidence["scores"]["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert evidence["scores"]["macro_f1"]["value"] == pytest.approx(
        metrics.f1_score(truth, predicted, average="macro", labels=sorted(set(truth)))
    )
    assert evidence["confusion"]["matrix"] == metrics.confusion_matrix(truth, predicted, labels=tiny.LABELS).tolist()
    assert all(set(score) == _SCORE for score in evidence["scores"].values())


def test_evidence_has_everything_that_later_rooms_read(classified: tuple[Context, Any]) -> None:
    context, evidence = classified
    assert (evidence["task"], evidence["form"], evidence["primary"]) == ("classify", "torch", "macro_f1")
    assert evidence["rows"] == 90
    assert evidence["naive"] == NAIVE
    assert evidence["leaked_rows"] == 0
    assert set(evidence["per_class"]) == set(tiny.LABELS)
    assert evidence["calibration"]["ece"] == evidence["scores"]["ece"]
    assert (evidence["calibration"]["temperature"], evidence["calibration"]["ece_without"]) == (1.0, None)
    assert set(evidence["forms"]) == {"torch", "onnx", "onnx-int8"}
    for form in evidence["forms"].values():
        assert set(form["scores"]) == {"accuracy", "macro_f1"}
    onnx, torch = (evidence["forms"][name]["scores"]["accuracy"] for name in ("onnx", "torch"))
    assert onnx == torch
    says = context.emit.texts("say")  # type: ignore[attr-defined]
    assert any("macro_f1" in line and "90 test texts" in line for line in says)


def test_worst_rows_are_the_surest_mistakes(classified: tuple[Context, Any]) -> None:
    context, evidence = classified
    table = parquet.read_table(context.out / "predictions.parquet").to_pylist()
    wrong = [row for row in table if row["label"] != row["predicted"]]
    surest = sorted((max(row["probabilities"]) for row in wrong), reverse=True)[:5]
    assert [row["confidence"] for row in evidence["worst"]] == pytest.approx(surest, abs=1e-6)
    by_id = {row["id"]: row for row in wrong}
    for row in evidence["worst"]:
        assert (row["label"], row["predicted"]) == (by_id[row["id"]]["label"], by_id[row["id"]]["predicted"])


def test_the_baseline_learns_from_the_rows_the_model_has_seen(
    classified: tuple[Context, Any], corpus: Artifact
) -> None:
    _, evidence = classified
    baseline = evidence["baseline"]
    train, test = read_part(corpus, "train"), read_part(corpus, "test")
    model = TextBaseline().fit(train.texts[::3], train.labels[::3])
    predicted = [model.labels[k] for k in model.probabilities(test.texts).argmax(axis=1)]
    assert baseline["rows"] == 100
    assert baseline["all_rows"]["rows"] == 300
    assert baseline["rows_rule"].startswith("the rows the model has been trained on")
    assert baseline["converged"] is True
    assert baseline["scores"]["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(test.labels, predicted))
    # The tiny model has random weights: the baseline must come out clearly better.
    comparison = baseline["comparison"]
    assert (comparison["metric"], comparison["significant"]) == ("macro_f1", True)
    assert comparison["difference"]["high"] < 0
    assert comparison["accuracy"]["only_theirs"] > comparison["accuracy"]["only_ours"]


def test_same_inputs_same_bytes(
    classified: tuple[Context, Any], tmp_path: Path, corpus: Artifact, classify_export: Artifact
) -> None:
    again, _ = evaluated(tmp_path, corpus, classify_export, settings("classify", worst_rows=5))
    for name in ("evidence.json", "predictions.parquet"):
        assert (again.out / name).read_bytes() == (classified[0].out / name).read_bytes()


def test_without_a_baseline_and_with_few_rows(tmp_path: Path, corpus: Artifact, classify_export: Artifact) -> None:
    config = settings("classify", baseline=False, max_rows=20, worst_rows=0)
    _, evidence = evaluated(tmp_path, corpus, classify_export, config)
    assert (evidence["rows"], evidence["baseline"], evidence["worst"]) == (20, None, [])


@pytest.mark.parametrize("rows", [[("good", "good", "1")], [("bad a", "bad", "1"), ("bad b", "bad", "2")]])
def test_a_tiny_test_part_gives_null_never_a_crash(
    tmp_path: Path, make_corpus: MakeCorpus, classify_export: Artifact, rows: Any
) -> None:
    corpus = make_corpus({"train": sentiment(300, 1), "validation": [], "test": rows})
    _, evidence = evaluated(tmp_path, corpus, classify_export, settings("classify"))
    assert evidence["scores"]["roc_auc"]["value"] is None
    assert evidence["per_class"]["fine"]["f1"]["value"] is None


def test_leaks_are_counted_anew_and_told(tmp_path: Path, make_corpus: MakeCorpus, classify_export: Artifact) -> None:
    train = sentiment(300, 1)
    train.append(("the pump of the garden well is loud at night and stops in the rain", "bad", "a well"))
    equal = (train[0][0], "good", "elsewhere")
    near = ("the pump of the garden well is loud at night, and stops in the snow!", "bad", "no well")
    other = ("quite another text of which training holds no word", "bad", "a well")
    corpus = make_corpus({"train": train, "validation": [equal], "test": [near, other]})
    card = corpus.json("card.json")
    assert card["leaked_rows"] == 0
    context = make_context(tmp_path)
    assert leaked_rows(context, corpus, 0.7) == 2  # the clusters lie, both ways: the texts are what counts
    assert leaked_rows(context, corpus, None) == 1
    write_json(corpus / "card.json", card | {"duplicates": {"threshold": 0.7}})
    context, evidence = evaluated(tmp_path, corpus, classify_export, settings("classify"))
    assert evidence["leaked_rows"] == 2
    assert "2 validation or test rows are also in training" in context.emit.texts("warn")[0]  # type: ignore[attr-defined]


def test_rows_seen_are_counted_as_training_counts_them(tmp_path: Path) -> None:
    """Also where the files of a part are not in the order of the ids: one reader, one order."""
    for number, names in enumerate((["m", "z"], ["a"])):
        folder = tmp_path / "train"
        folder.mkdir(exist_ok=True)
        rows = pa.table({"id": names, "text": [f"text {name}" for name in names]})
        parquet.write_table(rows, folder / f"part-{number}.parquet")
    corpus = as_artifact(tmp_path, "data")
    part = read_part(corpus, "train")
    assert part.texts == read_in_training(tmp_path, "train", ["text"])["text"] == ["text m", "text z", "text a"]
    assert part.labels == []
    seen, _ = rows_seen({"rows": pack_rows(np.array([True, False, False]))}, len(part), seed=1)
    assert part.where(seen).ids == ["m"]


def test_forms_are_compared_on_the_same_rows(
    tmp_path: Path, corpus: Artifact, classify_export: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_ROWS_TO_COMPARE_FORMS", 31)
    context, evidence = evaluated(tmp_path, corpus, classify_export, settings("classify", baseline=False))
    assert evidence["rows"] == 90
    assert {form["rows"] for form in evidence["forms"].values()} == {31}
    table = parquet.read_table(context.out / "predictions.parquet").slice(0, 31).to_pydict()
    shipped = evidence["forms"]["torch"]["scores"]
    assert shipped == evidence["forms"]["onnx"]["scores"]
    assert shipped["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(table["label"], table["predicted"]))
    assert shipped["accuracy"]["value"] != evidence["scores"]["accuracy"]["value"]


def test_an_empty_test_part_is_the_users_to_mend(
    tmp_path: Path, make_corpus: MakeCorpus, classify_export: Artifact
) -> None:
    corpus = make_corpus({"train": sentiment(300, 1), "validation": [], "test": []})
    with pytest.raises(DataError, match="no test rows"):
        evaluated(tmp_path, corpus, classify_export, settings("classify"))


def test_a_model_that_answers_nan_is_refused(
    tmp_path: Path, corpus: Artifact, classify_export: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = TorchEngine.predict
    monkeypatch.setattr(TorchEngine, "predict", lambda self, texts: honest(self, texts) * np.nan)
    with pytest.raises(UserError, match=r"learning_rate"):
        evaluated(tmp_path, corpus, classify_export, settings("classify"))


def test_ctrl_c_stops_it(tmp_path: Path, corpus: Artifact, classify_export: Artifact) -> None:
    context = make_context(tmp_path, inputs={"data": corpus, "compress": classify_export})
    context.limits.asked = "interrupted"
    with pytest.raises(Interrupted):
        run(context, settings("classify"))


def test_rows_seen_says_how_it_knows() -> None:
    mask = np.arange(10) < 4
    seen, rule = rows_seen({"samples": 4, "rows": pack_rows(mask)}, 12, seed=1)
    assert seen.tolist() == [*mask.tolist(), False, False]
    assert "trained on" in rule
    assert "come from all training rows" in rule
    seen, rule = rows_seen({"samples": 5}, 12, seed=1)
    assert (seen.sum(), "at random" in rule) == (5, True)
    seen, rule = rows_seen({"samples": 99}, 12, seed=1)
    assert (seen.all(), "all training rows" in rule) == (True, True)


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory, prose: Artifact, generate_export: Artifact) -> tuple[Context, Any]:
    return evaluated(tmp_path_factory.mktemp("evidence"), prose, generate_export, settings("generate"))


def test_perplexity_is_that_of_the_engine(
    read: tuple[Context, Any], prose: Artifact, generate_export: Artifact
) -> None:
    context, evidence = read
    test = read_part(prose, "test")
    found = load(generate_export / "forms" / "torch", 1).score(test.texts)
    likelihood, tokens = sum(one.log_likelihood for one in found), sum(one.tokens for one in found)
    assert evidence["primary"] == "perplexity"
    assert evidence["scores"]["perplexity"]["value"] == pytest.approx(math.exp(-likelihood / tokens), rel=1e-5)
    bits = -likelihood / math.log(2) / sum(one.characters for one in found)
    assert evidence["scores"]["bits_per_character"]["value"] == pytest.approx(bits, rel=1e-5)
    table = parquet.read_table(context.out / "predictions.parquet")
    assert table.column_names == ["id", "tokens", "log_likelihood", "characters"]
    assert sum(table.column("tokens").to_pylist()) == tokens
    assert set(evidence["forms"]["onnx"]["scores"]) == {"perplexity", "bits_per_character"}
    assert evidence["end_counted"] is True


def test_the_ngram_baseline_foresees_the_same_events(read: tuple[Context, Any], prose: Artifact) -> None:
    context, evidence = read
    train, test = read_part(prose, "train"), read_part(prose, "test")
    characters = parquet.read_table(context.out / "predictions.parquet").column("characters").to_pylist()
    model = CharacterModel().fit(train.texts)
    likelihood = sum(model.log_likelihood(test.texts, characters, end=evidence["end_counted"]))
    baseline = evidence["baseline"]
    expected = -likelihood / math.log(2) / sum(characters)
    assert baseline["scores"]["bits_per_character"]["value"] == pytest.approx(expected)
    assert baseline["comparison"]["metric"] == "bits_per_character"
    # Random weights: the model needs more bits, and clearly so.
    assert baseline["comparison"]["difference"]["low"] > 0
    assert baseline["rows"] == baseline["all_rows"]["rows"] == 200


def test_slices_and_abstention_are_of_the_same_answers(
    tmp_path: Path, corpus: Artifact, classify_export: Artifact
) -> None:
    asked = ["length > 40", 'label == "good"', "time > 3"]
    config = settings("classify", slices=asked, slice_rows=5, baseline=False)
    context, evidence = evaluated(tmp_path, corpus, classify_export, config)
    table = parquet.read_table(context.out / "predictions.parquet").to_pydict()
    hits = np.array(table["label"]) == np.array(table["predicted"])
    test = read_part(corpus, "test")
    long, good, timed = evidence["slices"]["asked"]
    mask = np.array([len(text) > 40 for text in test.texts])
    assert (long["slice"], long["rows"]) == ("length > 40", mask.sum())
    assert long["accuracy"]["value"] == pytest.approx(hits[mask].mean())
    assert good["accuracy"]["value"] == pytest.approx(evidence["per_class"]["good"]["recall"]["value"])
    assert (timed["rows"], timed["accuracy"]) == (0, None)
    assert any("'time'" in text for text in context.emit.texts("warn"))  # type: ignore[attr-defined]
    assert evidence["slices"]["searched"] > 0
    last = evidence["abstention"][-1]
    assert (last["coverage"], last["rows"]) == (1.0, 90)
    assert last["accuracy"]["value"] == pytest.approx(evidence["scores"]["accuracy"]["value"])


def test_a_temperature_of_the_form_is_evaluated_and_what_it_would_be_without(
    tmp_path: Path, corpus: Artifact, classify_export: Artifact, classified: tuple[Context, Any]
) -> None:
    """The evidence is about the probabilities that are served; those without the temperature are found again."""
    shutil.copytree(classify_export.folder, tmp_path / "export")
    form = tmp_path / "export" / "forms" / "torch" / "form.json"
    write_json(form, json.loads(form.read_text(encoding="utf-8")) | {"temperature": 2.0})
    config = settings("classify", worst_rows=5)
    _, evidence = evaluated(tmp_path, corpus, as_artifact(tmp_path / "export", "compress"), config)
    plain = classified[1]
    assert evidence["scores"]["accuracy"] == plain["scores"]["accuracy"]
    assert evidence["scores"]["ece"]["value"] != pytest.approx(plain["scores"]["ece"]["value"], abs=1e-3)
    assert evidence["calibration"]["ece_without"]["value"] == pytest.approx(plain["scores"]["ece"]["value"], abs=1e-4)


def test_when_to_ask_a_person_is_chosen_on_validation_rows(
    tmp_path: Path, corpus: Artifact, classify_export: Artifact
) -> None:
    costs = {"mistake": 2.0, "person": 1.5, "mistakes": {"good": {"bad": 3.0}}}
    config = settings("classify", costs=costs, baseline=False)
    context, evidence = evaluated(tmp_path / "a", corpus, classify_export, config)
    found = evidence["costs"]
    table = parquet.read_table(context.out / "predictions.parquet").to_pydict()
    paid = [
        0.0 if truth == said else 3.0 if (truth, said) == ("good", "bad") else 2.0
        for truth, said in zip(table["label"], table["predicted"], strict=True)
    ]
    assert found["validation_rows"] == 30
    assert found["model"]["value"] == pytest.approx(np.mean(paid))
    sure = [found["threshold"] is not None and max(row) >= found["threshold"] for row in table["probabilities"]]
    assert found["cost"]["value"] == pytest.approx(np.mean(np.where(sure, paid, 1.5)))
    wrong = settings("classify", costs={"mistake": 1.0, "person": 1.0, "mistakes": {"god": {"bad": 1.0}}})
    with pytest.raises(UserError, match="'god' is no label here"):
        evaluated(tmp_path / "b", corpus, classify_export, wrong)
