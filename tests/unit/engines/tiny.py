"""Tiny real models: seeded random weights, a tokenizer learned in the test, and what the compress stage makes of them.

Exports take seconds, so each is made once a test session.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForSequenceClassification, BertModel, LlamaConfig, LlamaForCausalLM

from danlu.compress.config import CompressStage
from danlu.compress.stage import run
from danlu.core.artifact import write_json
from tests.support import as_artifact, make_context

LABELS = ["bad", "fine", "good"]
MAX_LENGTH = {"classify": 48, "generate": 64, "embed": 48}
_WORDS = ["炉火", "纯青", "丹砂", "今天", "天气", "很好", "不好", "好吃", "难吃", "。", "！", ","]
_WORDS += ["fast", "slow", "screen", "battery", "good", "bad", "fine", "the", "is", "not", "very"]


def texts(count: int, seed: int = 3) -> list[str]:
    """Chinese and English texts of very different lengths."""
    draw = random.Random(seed)
    return [" ".join(draw.choice(_WORDS) for _ in range(draw.choice((1, 2, 5, 9, 20)))) for _ in range(count)]


def _classify_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(texts(300), trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def _generate_tokenizer() -> Tokenizer:
    """Byte-level BPE so small that most Chinese characters are spread over several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280, special_tokens=["<pad>", "<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(texts(300), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def _classify_model(vocabulary: int) -> Any:
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=64,
        initializer_range=0.5,  # wide, so that answers differ from text to text and int8 has something to lose
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    return BertForSequenceClassification(config)


def _embed_model(vocabulary: int) -> Any:
    return BertModel(_classify_model(vocabulary).config, add_pooling_layer=False)


def _generate_model(vocabulary: int) -> Any:
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=128,
        max_position_embeddings=64,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


_MAKERS = {
    "classify": (_classify_tokenizer, _classify_model),
    "generate": (_generate_tokenizer, _generate_model),
    "embed": (_classify_tokenizer, _embed_model),
}


def write_checkpoint(folder: Path, task: str) -> Path:
    """A Checkpoint folder in the layout that the train stage writes."""
    make_tokenizer, make_model = _MAKERS[task]
    tokenizer = make_tokenizer()
    torch.manual_seed(5)
    make_model(tokenizer.get_vocab_size()).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    labels = LABELS if task == "classify" else None
    about = {"task": task, "labels": labels, "max_length": MAX_LENGTH[task], "architecture": "tiny", "parameters": 1}
    write_json(folder / "danlu.json", about | ({"pooling": "mean", "dimensions": 64} if task == "embed" else {}))
    write_json(folder / "training.json", {"steps": 1, "samples": 32})
    return folder


def write_corpus(folder: Path, rows: list[str]) -> Path:
    """The part of a Corpus that compress reads."""
    path = folder / "validation" / "part-0.parquet"
    path.parent.mkdir(parents=True)
    ids = [hashlib.sha256(f"{index}{text}".encode()).hexdigest() for index, text in enumerate(rows)]
    pyarrow.parquet.write_table(pyarrow.table({"id": ids, "text": rows, "pair": rows[::-1]}), path)
    return folder


def run_compress(folder: Path, checkpoint: Path, corpus: Path, forms: list[str]) -> Path:
    """Run the compress stage; returns its artifact's folder."""
    task = json.loads((checkpoint / "danlu.json").read_text(encoding="utf-8"))["task"]
    inputs = {"train": as_artifact(checkpoint, "train"), "data": as_artifact(corpus, "data")}
    context = make_context(folder, stage="compress", inputs=inputs)
    compress = {"forms": forms, "ship": forms[0], "parity_rows": 40}
    run(context, CompressStage.model_validate({"task": task, "compress": compress}))
    return context.out


def export(factory: pytest.TempPathFactory, task: str) -> Path:
    """All forms of the tiny model for `task`; beside the artifact's folder lie its `checkpoint` and `corpus`.

    Made once a test session, whichever of its processes asks first; nobody may write there.
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    kept = root / f"export-{task}"
    with (root / f"export-{task}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            folder = factory.mktemp(f"export-{task}-unfinished")
            checkpoint = write_checkpoint(folder / "checkpoint", task)
            corpus = write_corpus(folder / "corpus", texts(60, seed=7))
            run_compress(folder, checkpoint, corpus, ["torch", "onnx", "onnx-int8"])
            folder.rename(kept)
    return kept / "out"
