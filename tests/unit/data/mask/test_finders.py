"""Models as finders: a real token classification model, trained here; Presidio where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

from danlu.core.config import resources
from danlu.core.errors import MissingDependency, UserError
from danlu.core.fingerprint import plain
from danlu.data.mask.config import MaskConfig
from danlu.data.mask.finders import PresidioFinder
from danlu.data.mask.masker import Masker

WORDS = ["[PAD]", "[UNK]", "zorblax", "quimby", "vex", "met", "saw", "the", "cat", "and", "again", "."]
LABELS = ["O", "B-PER", "I-PER"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that learned that zorblax, quimby and vex are people."""
    folder = tmp_path_factory.mktemp("ner")
    bare = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    bare.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="[PAD]", unk_token="[UNK]")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        id2label=dict(enumerate(LABELS)), label2id={label: number for number, label in enumerate(LABELS)},
    )  # fmt: skip
    network = BertForTokenClassification(config)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    ids = torch.randint(2, len(WORDS), (64, 6))
    person = ids < 5
    follows = torch.cat([torch.zeros(64, 1, dtype=torch.bool), person[:, :-1]], dim=1)
    labels = torch.where(person, torch.where(follows, 2, 1), 0)
    for _ in range(60):
        optimizer.zero_grad()
        loss = network(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
    network.save_pretrained(folder)
    return folder


def _masker(model: Path, **more: object) -> Masker:
    section = {"kinds": ["email"], "finders": [{"finder": "transformers", "model": str(model), **more}]}
    return Masker(MaskConfig.model_validate(section))


def test_a_token_classification_model_finds_whole_names(model: Path) -> None:
    masked = _masker(model).mask_parts(("the cat saw zorblax quimby and vex again. a@b.cn",))
    assert masked.parts == ("the cat saw [PERSON] and [PERSON] again. [EMAIL]",)
    assert masked.counts == {"person": 2, "email": 1}


def test_a_long_text_is_read_in_pieces(model: Path) -> None:
    text = "the cat saw " * 40 + "zorblax"
    assert _masker(model, max_tokens=16).mask_parts((text,)).parts == ("the cat saw " * 40 + "[PERSON]",)


def test_what_cannot_be_used_is_explained(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no label 'LOC'; it has PER"):
        _masker(model, labels={"LOC": "address"})
    with pytest.raises(UserError, match="cannot be loaded"):
        _masker(tmp_path)


def test_another_model_is_another_fingerprint(model: Path, tmp_path: Path) -> None:
    section = {"finders": [{"finder": "transformers", "model": "ner"}]}
    config = MaskConfig.model_validate(section)
    assert list(resources(config)) == ["finders[0].model"]
    assert plain(config, {"finders[0].model": "a"}) != plain(config, {"finders[0].model": "b"})
    masker = Masker(config, paths={"finders[0].model": model})
    assert masker.mask_parts(("the cat met vex.",)).parts == ("the cat met [PERSON].",)


@pytest.mark.skipif(importlib.util.find_spec("presidio_analyzer") is not None, reason="presidio is installed")
def test_presidio_is_asked_for_by_name() -> None:
    with pytest.raises(MissingDependency, match="presidio_analyzer"):
        Masker(MaskConfig.model_validate({"finders": [{"finder": "presidio"}]}))


@pytest.mark.skipif(importlib.util.find_spec("presidio_analyzer") is None, reason="presidio is not installed")
def test_presidio_finds_people() -> None:
    config = MaskConfig.model_validate({"kinds": [], "finders": [{"finder": "presidio"}]})
    assert config.finders
    found = PresidioFinder(config.finders[0])  # type: ignore[arg-type]
    assert [span.kind for span in found.find("Yesterday Barack Obama spoke.")] == ["person"]
