"""Vectors of texts, by every form of one tiny real encoder; and that other libraries read its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from danlu.compress.parity import FAR, parity
from danlu.core.errors import ModelError, UserError
from danlu.engines.base import Engine, read_form
from danlu.engines.table import load
from danlu.learning.pooling import Embedder, pooled
from danlu.learning.text import encode, load_tokenizer
from tests.unit.engines import tiny

FORMS = ["torch", "onnx", "onnx-int8"]


@pytest.fixture(scope="module", params=FORMS)
def embedder(request: pytest.FixtureRequest, embed_export: Path) -> Iterator[Engine]:
    engine = load(embed_export / "forms" / request.param, threads=1)
    yield engine
    engine.close()


def test_a_vector_of_length_1_for_each_text_in_the_given_order_and_any_batch(embedder: Engine) -> None:
    rows = tiny.texts(60)
    alone = np.concatenate([embedder.embed([row]) for row in rows])
    assert alone.shape == (60, 64) and alone.dtype == np.float32
    assert np.abs(np.linalg.norm(alone, axis=1) - 1).max() < 1e-5
    assert len(np.unique(alone.round(4), axis=0)) > 40  # the model does tell texts apart
    random = np.random.default_rng(4)
    for _ in range(8):
        chosen = random.integers(0, len(rows), size=random.integers(1, 40))
        assert np.abs(embedder.embed([rows[index] for index in chosen]) - alone[chosen]).max() < 1e-5
    assert embedder.embed([]).shape == (0, 64)
    assert np.isfinite(embedder.embed(["", " ", "今天 good", "\ud83d"])).all()


def test_batch_invariance_is_declared_as_it_is(embedder: Engine) -> None:
    """Below the engine's care: the model itself, in random batches. If int8 held, it should say so."""
    rows = encode(embedder._tokenizer, [text for text in tiny.texts(60) if text], 48)  # type: ignore[attr-defined]
    forward = lambda chosen: embedder._forward(*embedder._rectangle(chosen))  # type: ignore[attr-defined] # noqa: E731
    alone = np.concatenate([forward([row]) for row in rows])
    random = np.random.default_rng(9)
    worst = 0.0
    for _ in range(8):
        chosen = random.permutation(len(rows))[: random.integers(2, 30)]
        worst = max(worst, float(np.abs(forward([rows[index] for index in chosen]) - alone[chosen]).max()))
    assert (worst < 1e-5) == embedder.form.batch_invariant, worst


def test_float32_forms_agree_with_the_checkpoint_and_int8_nearly(embed_export: Path) -> None:
    forms = json.loads((embed_export / "export.json").read_text(encoding="utf-8"))["forms"]
    assert forms["torch"]["parity"]["max_difference"] == 0
    assert forms["onnx"]["parity"]["max_difference"] < 1e-8
    assert forms["onnx"]["parity"]["disagreement"] == 0
    assert 1e-6 < forms["onnx-int8"]["parity"]["mean_difference"] < 0.2
    assert forms["onnx"]["parity"]["rows"] == 80  # of each pair both texts


def test_parity_is_the_cosine_distance(embed_export: Path) -> None:
    random = np.random.default_rng(1)
    reference = random.normal(size=(50, 8))
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    other = reference + random.normal(size=(50, 8)) * np.linspace(0, 0.2, 50)[:, None]
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    distances = 1 - (reference * other).sum(axis=1)
    measured = parity(reference, other, read_form(embed_export / "forms" / "torch"))
    assert measured["max_difference"] == pytest.approx(distances.max())
    assert measured["mean_difference"] == pytest.approx(distances.mean())
    assert 0 < measured["disagreement"] == (distances >= FAR).mean() < 1
    assert measured["disagreement_low"] < measured["disagreement"] < measured["disagreement_high"]


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_pooling_is_over_the_tokens_alone(pooling: str) -> None:
    torch.manual_seed(1)
    hidden = torch.randn(3, 5, 4)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    found = pooled(hidden, mask, pooling)
    for row, count in enumerate((5, 2, 1)):
        plain = hidden[row, :count].mean(dim=0) if pooling == "mean" else hidden[row, 0]
        assert torch.allclose(found[row], plain / plain.norm(), atol=1e-6)


def test_transformers_reads_the_folder_and_computes_the_same(embed_export: Path) -> None:
    folder = embed_export / "forms" / "torch"
    rows = tiny.texts(10)
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    batches = [torch.tensor([row]) for row in encode(load_tokenizer(folder), rows, 48)]
    embedder = Embedder(model, "mean")
    with torch.inference_mode():
        expected = torch.cat([embedder(batch, torch.ones_like(batch)) for batch in batches]).numpy()
    assert np.abs(load(folder).embed(rows) - expected).max() < 1e-5
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    assert [module["type"].rpartition(".")[2] for module in modules] == ["Transformer", "Pooling", "Normalize"]
    pooling = json.loads((folder / modules[1]["path"] / "config.json").read_text(encoding="utf-8"))
    assert pooling["word_embedding_dimension"] == 64 and pooling["pooling_mode_mean_tokens"]
    form = read_form(folder)
    held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != "form.json")
    assert (form.pooling, form.dimensions, form.bytes) == ("mean", 64, held)


def test_calls_of_other_tasks_and_a_form_without_pooling_are_refused(embedder: Engine, tmp_path: Path) -> None:
    for call in (lambda: embedder.predict(["a"]), lambda: embedder.score(["a"]), lambda: embedder.generate("a")):
        with pytest.raises(UserError, match="/v1/embeddings"):
            call()
    values = embedder.form.as_json() | {"pooling": None}
    (tmp_path / "form.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ModelError, match="pooling"):
        read_form(tmp_path)
