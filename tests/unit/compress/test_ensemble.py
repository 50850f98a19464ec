"""The models of two folds, from their checkpoints to one form that answers with their mean."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch

import danlu.train.stage as train
from danlu.compress.forms import Source, write_form
from danlu.core.artifact import write_json
from danlu.core.errors import ModelError, UserError
from danlu.engines.base import read_form
from danlu.engines.table import load
from danlu.train.config import TrainStage
from tests.support import as_artifact, make_context
from tests.unit.engines import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folds artifact of two models, the checkpoint that the train stage makes of it, and its export."""
    root = tmp_path_factory.mktemp("ensemble")
    for number in range(2):
        member = tiny.write_checkpoint(root / "folds" / "members" / str(number), "classify")
        if number:
            torch.manual_seed(9)
            tiny._classify_model(
                len(json.loads((member / "tokenizer.json").read_text())["model"]["vocab"])
            ).save_pretrained(member)
        course = {"steps": 5, "planned_steps": 6, "epochs": 1.0 + number, "samples": 40, "tokens": 300 + number}
        course |= {"precision": "float32", "stopped_early": not number, "seed": 1, "method": {"kind": "full"}}
        write_json(member / "training.json", course | {"parameters": {"trainable": 1, "total": 1}, "rows": None})
        about = json.loads((member / "danlu.json").read_text())
        write_json(member / "danlu.json", about | {"trainable_parameters": 1, "max_length": 40 + 8 * number})
        speed = {"seconds": 2.0, "adversarial_seconds": 0.0, "peak_memory_bytes": 1 << 40}
        write_json(root / "folds" / "logs" / "members" / str(number) / "speed.json", speed)
    corpus = tiny.write_corpus(root / "corpus", tiny.texts(60, seed=7))
    (corpus / "train").mkdir()
    parquet.write_table(pa.table({"text": tiny.texts(30)}), corpus / "train" / "part-0.parquet")
    inputs = {"data": as_artifact(corpus, "data"), "folds": as_artifact(root / "folds", "folds")}
    ctx = make_context(root / "train", stage="train", inputs=inputs)
    train.run(ctx, TrainStage.model_validate({"task": "classify", "model": {"scratch": {}}, "train": {}}))
    tiny.run_compress(root / "compress", ctx.out, corpus, ["onnx", "torch"])
    return root


def test_the_checkpoint_says_what_its_members_are_together(folder: Path) -> None:
    facts = json.loads((folder / "train" / "out" / "danlu.json").read_text())
    assert (facts["members"], facts["architecture"], facts["parameters"]) == (2, "2 x tiny", 2)
    assert (facts["labels"], facts["task"], facts["max_length"]) == (tiny.LABELS, "classify", 48)
    training = json.loads((folder / "train" / "out" / "training.json").read_text())
    assert (training["steps"], training["samples"], training["tokens"], training["epochs"]) == (10, 80, 601, 1.5)
    assert training["rows"] == {"total": 30, "seen": 30, "bitmap": None}
    assert [member["tokens"] for member in training["members"]] == [300, 301]
    speed = json.loads((folder / "train" / "out" / "logs" / "speed.json").read_text())
    assert (speed["samples_per_second"], speed["seconds"], speed["peak_memory_bytes"]) == (20.0, 4.0, 1 << 40)


@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_it_answers_with_the_mean_of_its_members(folder: Path, name: str) -> None:
    form = folder / "compress" / "out" / "forms" / name
    told, texts = read_form(form), tiny.texts(20, seed=11)
    ensemble, members = load(form, 1), [load(form / "members" / str(number), 1) for number in range(2)]
    apart = [member.predict(texts) for member in members]
    assert np.abs(apart[0] - apart[1]).max() > 0.1, "two models"
    together = ensemble.predict(texts)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, (apart[0] + apart[1]) / 2, atol=1e-6)
    assert (told.engine, told.name, told.max_length) == ("ensemble", name, 48)
    assert [member.form.max_length for member in members] == [40, 48]
    assert told.bytes == sum(path.stat().st_size for path in (form / "members").rglob("*") if path.is_file())
    entry = json.loads((folder / "compress" / "out" / "export.json").read_text())["forms"][name]
    assert entry["bytes"] == told.bytes
    assert entry["parity"]["rows"] == 40
    assert entry["parity"]["max_difference"] < 1e-5
    assert ensemble.predict([]).shape == (0, 3)
    with pytest.raises(UserError, match="ensemble, which answers with labels or numbers alone"):
        ensemble.embed(texts)
    for engine in (ensemble, *members):
        engine.close()


def test_a_temperature_is_that_of_the_mean(folder: Path, tmp_path: Path) -> None:
    form = Path(shutil.copytree(folder / "compress" / "out" / "forms" / "torch", tmp_path / "form"))
    texts = tiny.texts(5)
    before = load(form, 1).predict(texts)
    values = json.loads((form / "form.json").read_text())
    write_json(form / "form.json", values | {"temperature": 2.0})
    roots = np.sqrt(before)
    np.testing.assert_allclose(load(form, 1).predict(texts), roots / roots.sum(axis=1, keepdims=True), atol=1e-5)


def test_an_ensemble_that_is_not_whole_is_refused(folder: Path, tmp_path: Path) -> None:
    form = Path(shutil.copytree(folder / "compress" / "out" / "forms" / "torch", tmp_path / "form"))
    values = json.loads((form / "members" / "1" / "form.json").read_text())
    write_json(form / "members" / "1" / "form.json", values | {"labels": ["bad", "good", "fine"]})
    with pytest.raises(ModelError, match="answers something else than its ensemble"):
        load(form, 1)
    shutil.rmtree(form / "members" / "1")
    with pytest.raises(ModelError, match="has 1 members below"):
        load(form, 1)


@pytest.mark.parametrize("task", ["tag", "regress"])
def test_other_answers_are_averaged_too(folder: Path, tmp_path: Path, task: str) -> None:
    from danlu.learning.scale import Scale

    labels = tuple(tiny.LABELS) if task == "tag" else None
    scale = Scale(mean=3.0, std=2.0) if task == "regress" else None
    sources = []
    for number in range(2):
        member = Path(shutil.copytree(folder / "folds" / "members" / str(number), tmp_path / str(number)))
        if task == "regress":
            torch.manual_seed(number)
            model = tiny._classify_model(len(json.loads((member / "tokenizer.json").read_text())["model"]["vocab"]))
            config = model.config
            config.num_labels = 1
            type(model)(config).save_pretrained(member)
        source = Source(folder=member, scratch=tmp_path, task=task, labels=labels, max_length=40, scale=scale)  # type: ignore[arg-type]
        sources.append(source)
    whole = Source(
        folder=tmp_path,
        scratch=tmp_path,
        task=task,  # type: ignore[arg-type]
        labels=labels,
        max_length=40,
        scale=scale,
        thresholds=(0.2, 0.5, 0.7) if task == "tag" else None,
        members=tuple(sources),
    )
    write_form("torch", whole, tmp_path / "form")
    texts = tiny.texts(6)
    apart = [load(tmp_path / "form" / "members" / str(number), 1).predict(texts) for number in range(2)]
    together = load(tmp_path / "form", 1).predict(texts)
    assert together.shape == (6, 3 if task == "tag" else 1)
    assert np.abs(apart[0] - apart[1]).max() > 0.01
    np.testing.assert_allclose(together, (apart[0] + apart[1]) / 2, rtol=1e-6, atol=1e-6)
