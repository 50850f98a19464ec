"""Parameter counts equal those of the real models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformers import BertConfig, BertForSequenceClassification, BertModel, LlamaConfig, LlamaForCausalLM

from danlu.core.errors import ModelError
from danlu.learning import scratch
from danlu.plan.shape import HEADS, count_stored, from_config, from_scratch, of_base, parameters
from danlu.train.config import ScratchConfig


def real_count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def tokenizer_of(size: int, head: str) -> Tokenizer:
    special = list(scratch.VOCABULARIES[head].roles.values())
    words = special + [f"w{number}" for number in range(size - len(special))]
    return Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=special[1]))


@pytest.mark.parametrize("labels", [2, 5])
def test_bert_is_counted_exactly(labels: int) -> None:
    config = BertConfig(
        vocab_size=1_000,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=200,
        num_labels=labels,
    )
    with torch.device("meta"):
        model = BertForSequenceClassification(config)
    assert parameters(from_config(config.to_dict()), HEADS["classifier"], labels) == real_count(model)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("key_heads", [1, 4])
def test_llama_is_counted_exactly(tied: bool, key_heads: int) -> None:
    config = LlamaConfig(
        vocab_size=900,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=key_heads,
        intermediate_size=172,
        tie_word_embeddings=tied,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    assert parameters(from_config(config.to_dict()), HEADS["causal"]) == real_count(model)


@pytest.mark.parametrize("positions", [scratch.POSITIONS, 700])
@pytest.mark.parametrize("head", sorted(scratch.MAKERS))
def test_what_training_makes_from_nothing_is_counted_exactly(head: str, positions: int) -> None:
    labels = ["a", "b", "c"] if HEADS[head].classes else []
    asked = ScratchConfig(layers=2, width=40, heads=4, vocabulary=500)
    made = scratch.Shape(layers=2, width=40, heads=4, positions=positions)
    model = scratch.MAKERS[head](made, tokenizer_of(500, head), labels)
    shape = from_scratch(asked, HEADS[head], positions=positions)
    assert parameters(shape, HEADS[head], len(labels)) == real_count(model)


def test_every_kind_of_model_that_training_makes_has_a_head() -> None:
    assert set(HEADS) == set(scratch.MAKERS)


def test_a_base_is_counted_from_the_header(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    model = BertModel(config)
    weights: dict[str, Any] = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights | {"position_ids": torch.arange(512)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    assert count_stored(tmp_path) == real_count(model)
    shape, count = of_base(tmp_path, labels=3)
    assert (shape.layers, shape.width, shape.inner) == (1, 32, 64)
    assert count == real_count(model) + 3 * 32 + 3


def test_a_config_without_a_size_is_refused() -> None:
    with pytest.raises(ModelError, match="hidden_size"):
        from_config({"model_type": "resnet", "depths": [3, 4]})
