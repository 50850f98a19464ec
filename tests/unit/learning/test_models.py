"""What is refused before it is loaded, and what comes back when it is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from danlu.core.errors import ModelError
from danlu.learning import scratch
from danlu.learning.models import check_base, load_checkpoint, positions_of, read_config, start_from_base
from danlu.learning.text import load_tokenizer

LABELS = ["bad", "good"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tokenizer = scratch.train_tokenizer(["a small text", "another text"], scratch.ENCODER, 300)
    scratch.save_tokenizer(tokenizer, scratch.ENCODER, folder, 32)
    torch.manual_seed(1)
    shape = scratch.Shape(layers=1, width=32, heads=2, positions=32)
    scratch.make_classifier(shape, tokenizer, LABELS).save_pretrained(folder)
    return folder


@pytest.fixture
def base(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "base"))


def test_a_whole_folder_passes_and_loads(base: Path) -> None:
    check_base(base)
    model = load_checkpoint(base)
    assert not model.training
    assert model.config.id2label == dict(enumerate(LABELS))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_no_weights(base: Path) -> None:
    (base / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        check_base(base)
    with pytest.raises(ModelError, match="has no weights"):
        load_checkpoint(base)


def test_pickle_weights_are_refused(base: Path) -> None:
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    for load in (check_base, load_checkpoint):
        with pytest.raises(ModelError, match=r"pickle \(pytorch_model\.bin\)"):
            load(base)


@pytest.mark.parametrize("keep", [0, 4, 100, -1], ids=["empty", "no header", "cut header", "one byte short"])
def test_a_safetensors_file_cut_short(base: Path, keep: int) -> None:
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    for load in (check_base, load_checkpoint):
        with pytest.raises(ModelError, match="not a whole safetensors file"):
            load(base)


def test_a_safetensors_file_of_noise(base: Path) -> None:
    (base / "model.safetensors").write_bytes((20).to_bytes(8, "little") + b"\xff" * 100)
    with pytest.raises(ModelError, match="header cannot be read"):
        check_base(base)


def test_a_missing_shard_is_named(base: Path) -> None:
    (base / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="model-00001-of-00002"):
        check_base(base)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_missing_file_is_named(base: Path, name: str) -> None:
    (base / name).unlink()
    with pytest.raises(ModelError, match=name):
        check_base(base)


def test_another_kind_of_model_is_refused(base: Path) -> None:
    config = read_config(base) | {"architectures": ["BertForQuestionAnswering"]}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="BertForQuestionAnswering"):
        load_checkpoint(base)


def test_a_base_with_a_head_for_other_classes_gets_a_new_head(base: Path) -> None:
    model = start_from_base(base, "classifier", ["a", "b", "c"])
    assert model.classifier.out_features == 3
    old = load_checkpoint(base)
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, old.bert.embeddings.word_embeddings.weight)


def test_positions() -> None:
    assert positions_of({"max_position_embeddings": 512, "model_type": "bert"}) == 512
    assert positions_of({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}) == 512
    assert positions_of({"n_positions": 1024, "model_type": "gpt2"}) == 1024


def test_tokenizer_of_a_base_is_copied_without_its_cutting(base: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(base)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(base / "tokenizer.json"))
    out = tmp_path / "out"
    out.mkdir()
    scratch.copy_tokenizer(base, out, load_tokenizer(base), 24)
    written = json.loads((out / "tokenizer.json").read_text())
    assert written["truncation"] is None
    assert written["padding"] is None
    assert json.loads((out / "tokenizer_config.json").read_text())["model_max_length"] == 24
