"""What the compress stage leaves behind, on tiny real models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from danlu.compress.config import FormName
from danlu.compress.forms import FORMS, Source, write_form
from danlu.compress.parity import answers, parity
from danlu.core.artifact import list_files
from danlu.core.errors import ModelError
from danlu.engines.base import Form
from danlu.engines.table import load
from tests.unit.engines import tiny


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_form_of_the_recipe_has_a_row() -> None:
    assert set(FORMS) == set(get_args(FormName))


def test_the_export_says_what_it_holds(classify_export: Path) -> None:
    export = read(classify_export / "export.json")
    assert export["ship"] == "torch"
    assert set(export["forms"]) == set(FORMS) - {"classic"}  # of models without a neural network alone
    assert read(classify_export / "training.json") == {"steps": 1, "samples": 32}
    for name, entry in export["forms"].items():
        folder = classify_export / "forms" / name
        form = read(folder / "form.json")
        assert (form["form"], form["task"], form["labels"], form["max_length"]) == (name, "classify", tiny.LABELS, 48)
        assert form["batch_invariant"] == entry["batch_invariant"] == FORMS[name].batch_invariant
        held = sum(file.stat().st_size for file in folder.iterdir() if file.name != "form.json")
        assert form["bytes"] == entry["bytes"] == held
        assert (folder / "tokenizer.json").is_file()
        measured = {"disagreement", "disagreement_low", "disagreement_high", "max_difference", "mean_difference"}
        assert set(entry["parity"]) == {"reference", "rows", *measured}
        assert entry["parity"]["rows"] == 40
    assert not (classify_export / "forms" / "torch" / "model.onnx").exists()


@pytest.mark.parametrize("task", ["classify", "generate"])
def test_float32_forms_agree_with_the_checkpoint_and_int8_nearly(request: pytest.FixtureRequest, task: str) -> None:
    forms = read(request.getfixturevalue(f"{task}_export") / "export.json")["forms"]
    assert forms["torch"]["parity"]["max_difference"] == 0
    assert 0 < forms["onnx"]["parity"]["max_difference"] < 1e-5
    assert forms["onnx"]["parity"]["disagreement"] == 0
    # Random weights are hard on int8; it must be another answer, yet mostly the same label.
    assert forms["onnx-int8"]["parity"]["max_difference"] > 1e-5
    assert forms["onnx-int8"]["parity"]["disagreement"] < 0.5


def test_int8_holds_every_matrix_and_embedding_as_int8(classify_export: Path) -> None:
    graph = onnx.load(classify_export / "forms" / "onnx-int8" / "model.onnx").graph
    large = [item for item in graph.initializer if np.prod(item.dims) > 1000]
    assert large
    assert {item.data_type for item in large} == {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    scales = [item for item in graph.initializer if item.name.endswith("_scale") and item.dims]
    assert scales  # one a channel, not one a matrix


@pytest.mark.parametrize("task", ["classify", "generate"])
@pytest.mark.parametrize("form", ["onnx", "onnx-int8"])
def test_graphs_take_any_batch_and_length_and_name_no_source(
    request: pytest.FixtureRequest, task: str, form: str
) -> None:
    path = request.getfixturevalue(f"{task}_export") / "forms" / form / "model.onnx"
    model = onnx.load(path)
    for item in model.graph.input:
        axes = item.type.tensor_type.shape.dim
        assert axes[0].dim_param == "batch"
        assert (axes[1] if len(axes) == 2 else axes[2]).dim_param in {"length", "before"}
    content = path.read_bytes()
    for trace in (b"site-packages", b".py", b"stack_trace", os.getcwd().encode()):
        assert trace not in content


def test_a_second_run_gives_equal_bytes_and_a_kill_leaves_no_half_graph(classify_export: Path, tmp_path: Path) -> None:
    half = tmp_path / "state" / "graph.tmp"
    half.mkdir(parents=True)
    (half / "model.onnx").write_bytes(b"half, as a killed run leaves it")
    beside = classify_export.parent
    again = tiny.run_compress(tmp_path, beside / "checkpoint", beside / "corpus", ["torch", "onnx", "onnx-int8"])
    assert list_files(again) == list_files(classify_export)
    # What the state folder holds now is whole: the next attempt takes it and needs no model.
    source = Source(
        folder=tmp_path / "gone", scratch=tmp_path / "state", task="classify", labels=tuple(tiny.LABELS), max_length=48
    )
    assert source.graph.read_bytes() == (classify_export / "forms" / "onnx" / "model.onnx").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classify", "generate"])
def test_other_processes_give_equal_bytes(request: pytest.FixtureRequest, tmp_path: Path, task: str) -> None:
    """Under other hash seeds, so that no set's or dict's order gets into a file."""
    export = request.getfixturevalue(f"{task}_export")
    script = """if True:
        import sys
        from pathlib import Path
        from tests.unit.engines import tiny
        beside = Path(sys.argv[1])
        tiny.run_compress(Path(sys.argv[2]), beside / "checkpoint", beside / "corpus", ["torch", "onnx", "onnx-int8"])
    """
    for seed in ("1", "2"):
        command = [sys.executable, "-c", script, str(export.parent), str(tmp_path / seed)]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True)
        assert list_files(tmp_path / seed / "out") == list_files(export)


def test_every_form_keeps_what_goes_with_the_tokenizer(classify_export: Path, tmp_path: Path) -> None:
    checkpoint = shutil.copytree(classify_export.parent / "checkpoint", tmp_path / "checkpoint")
    files = {"tokenizer_config.json": '{"model_max_length": 48}', "chat_template.jinja": "{{ messages }}"}
    for name, text in files.items():
        (checkpoint / name).write_text(text, encoding="utf-8")
    graph = (
        tmp_path / "state" / "graph"
    )  # made already, as far as an interrupted run gets: it is not what is asked here
    graph.mkdir(parents=True)
    shutil.copyfile(classify_export / "forms" / "onnx" / "model.onnx", graph / "model.onnx")
    forms = tiny.run_compress(tmp_path, checkpoint, classify_export.parent / "corpus", ["torch", "onnx"]) / "forms"
    for form in ("torch", "onnx"):
        for name, text in files.items():
            assert (forms / form / name).read_text(encoding="utf-8") == text
        held = sum(file.stat().st_size for file in (forms / form).iterdir() if file.name != "form.json")
        assert read(forms / form / "form.json")["bytes"] == held


def test_a_head_that_does_not_fit_the_labels_is_refused(classify_export: Path, tmp_path: Path) -> None:
    source = Source(
        folder=classify_export.parent / "checkpoint",
        scratch=tmp_path / "state",
        task="classify",
        labels=("yes", "no"),
        max_length=48,
    )
    with pytest.raises(ModelError, match="3 outputs for 2 labels"):
        write_form("torch", source, tmp_path / "form")


def test_a_diverged_model_is_named(classify_export: Path) -> None:
    engine = load(classify_export / "forms" / "torch", threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine._model.classifier.bias, "data", engine._model.classifier.bias.data * float("nan"))
        with pytest.raises(ModelError, match="NaN"):
            answers(engine, ["good"])


FORM = Form(
    name="torch",
    engine="torch",
    task="classify",
    labels=("bad", "good"),
    max_length=8,
    batch_invariant=True,
    precision="float32",
    bytes=0,
)


def test_parity_counts_changed_labels_and_differences() -> None:
    reference = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    other = np.array([[0.8, 0.2], [0.4, 0.6], [0.2, 0.8], [0.5, 0.5]])
    got = parity(reference, other, FORM)
    assert got["rows"] == 4
    assert got["disagreement"] == 0.25
    # Clopper and Pearson: 1 of 4.
    assert (got["disagreement_low"], got["disagreement_high"]) == pytest.approx((0.00631, 0.80588), abs=1e-4)
    none = parity(reference, reference, FORM)
    assert (none["disagreement"], none["disagreement_low"]) == (0, 0)
    assert none["disagreement_high"] == pytest.approx(1 - 0.025 ** (1 / 4))  # no difference seen is not none there
    assert got["max_difference"] == pytest.approx(0.2)
    assert got["mean_difference"] == pytest.approx((0.1 + 0.2) / 4)


def test_a_calibrated_export_divides_logits_by_a_temperature_fitted_on_validation_rows(
    classify_export: Path, tmp_path: Path
) -> None:
    """Each form has it, answers by it, keeps its labels, and is still compared with the checkpoint as it is served."""
    rows = tiny.texts(300, seed=9)
    plain = load(classify_export / "forms" / "torch", 1)
    before = plain.predict(rows)
    # Labels that come true by the square root of what the model says: it is twice too sure, in logits.
    honest = before**0.5 / (before**0.5).sum(axis=1, keepdims=True)
    draws = np.random.default_rng(3).random((len(rows), 1))
    truth = [tiny.LABELS[k] for k in np.minimum((honest.cumsum(axis=1) < draws).sum(axis=1), 2)]
    folder = tmp_path / "corpus" / "validation"
    folder.mkdir(parents=True)
    ids = [f"{place:03}" for place in range(len(rows))]
    parquet.write_table(pa.table({"id": ids, "text": rows, "label": truth}), folder / "part-0.parquet")
    checkpoint = classify_export.parent / "checkpoint"
    made = tiny.run_compress(tmp_path, checkpoint, tmp_path / "corpus", ["torch", "onnx"], calibrate=True)
    temperature = read(made / "forms" / "torch" / "form.json")["temperature"]
    assert temperature == pytest.approx(2.0, rel=0.25)
    assert read(made / "forms" / "onnx" / "form.json")["temperature"] == temperature
    after = load(made / "forms" / "onnx", 1).predict(rows)
    expected = before ** (1 / temperature)
    assert after == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-5)
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
    for form in read(made / "export.json")["forms"].values():
        assert form["parity"]["disagreement"] == 0
        assert form["parity"]["max_difference"] < 1e-5


def test_too_few_validation_rows_change_nothing(classify_export: Path, tmp_path: Path) -> None:
    corpus = classify_export.parent / "corpus"
    made = tiny.run_compress(tmp_path, classify_export.parent / "checkpoint", corpus, ["torch"], calibrate=True)
    assert read(made / "forms" / "torch" / "form.json")["temperature"] == 1.0
