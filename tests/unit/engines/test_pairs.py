"""Two texts together: every form reads them as transformers' own model does, and says so when one is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from danlu.core.artifact import write_json
from danlu.core.asked import Asked, Takes
from danlu.core.errors import UserError
from danlu.engines.base import read_form
from danlu.engines.table import load
from danlu.learning import scratch
from tests.unit.engines import tiny

LABELS = ["other", "same"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export and, beside it, `checkpoint`: a classifier of pairs with random weights, wide so that answers differ."""
    folder = tmp_path_factory.mktemp("pairs")
    texts = tiny.texts(60)
    tokenizer = scratch.train_tokenizer(texts, scratch.ENCODER, 320)
    checkpoint = folder / "checkpoint"
    scratch.save_tokenizer(tokenizer, scratch.ENCODER, checkpoint, 40)
    torch.manual_seed(5)
    model = scratch.make_classifier(scratch.Shape(layers=2, width=64, heads=4, positions=64), tokenizer, LABELS)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(checkpoint)
    about = {"task": "classify", "labels": LABELS, "max_length": 40, "takes": Takes(pair=True).as_json()}
    write_json(checkpoint / "danlu.json", about | {"architecture": "tiny", "parameters": 1})
    write_json(checkpoint / "training.json", {"steps": 1, "samples": 32})
    part = folder / "corpus" / "validation" / "part-0.parquet"
    part.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.table({"text": texts, "pair": texts[::-1], "label": ["same"] * 60}), part)
    return tiny.run_compress(folder, checkpoint, folder / "corpus", ["torch", "onnx", "onnx-int8"])


def rows() -> list[Any]:
    texts = tiny.texts(24, seed=9)
    return [Asked(text=text, pair=pair) for text, pair in zip(texts, reversed(texts), strict=True)]


@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_forms_answer_as_transformers_does(made: Path, form: str) -> None:
    asked = rows()
    folder = made.parent / "checkpoint"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    read = tokenizer(
        [one.text for one in asked],
        [one.pair for one in asked],
        truncation="longest_first",
        max_length=40,
        padding=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        expected = torch.softmax(model(**read).logits, dim=-1).numpy()
    found = load(made / "forms" / form, 1).predict(asked)
    assert np.abs(found - expected).max() < 1e-5
    # Which of the two texts comes first matters to this model.
    turned = [Asked(text=one.pair, pair=one.text) for one in asked]
    assert np.abs(load(made / "forms" / form, 1).predict(turned) - found).max() > 1e-3


def test_a_form_remembers_that_it_is_asked_pairs(made: Path) -> None:
    assert read_form(made / "forms" / "onnx").takes == Takes(pair=True)
    engine = load(made / "forms" / "onnx", 1)
    with pytest.raises(UserError, match="Text 2: This model answers two texts together"):
        engine.predict([rows()[0], "alone"])


def test_the_answer_to_a_pair_is_the_same_in_any_batch(made: Path) -> None:
    asked = rows()
    for form in ("torch", "onnx", "onnx-int8"):
        engine = load(made / "forms" / form, 1)
        alone = np.concatenate([engine.predict([one]) for one in asked])
        assert np.abs(engine.predict(asked) - alone).max() < 1e-5


def test_a_form_for_texts_refuses_a_pair(classify_export: Path) -> None:
    with pytest.raises(UserError, match="A pair came, but this model is asked a text"):
        load(classify_export / "forms" / "torch", 1).predict([Asked(text="good", pair="bad")])
