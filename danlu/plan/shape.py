"""The shape of a model, and how many parameters it has, without loading a weight."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.core.errors import ModelError
from danlu.learning.models import read_config
from danlu.learning.scratch import POSITIONS
from danlu.plan.config import ScratchConfig


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A transformer as it bears on cost.

    `width`: hidden size; `inner`: width inside the feed-forward block; `matrices`: weight matrices of that block
    (2, or 3 with a gate); `key_heads`: heads of keys and values; `positions`: longest input in tokens, and
    `learned_positions` says whether each has an embedding; `attention_dropout` whether training keeps the whole
    attention matrix; `tied` whether the output layer is the embedding.
    """

    layers: int
    width: int
    heads: int
    key_heads: int
    head_width: int
    inner: int
    matrices: int
    vocabulary: int
    positions: int
    learned_positions: bool
    types: int
    biases: bool
    attention_dropout: bool
    tied: bool

    @property
    def in_layer(self) -> int:
        """Weights of one layer that take part in matrix products."""
        queries = self.width * self.heads * self.head_width
        keys_and_values = 2 * self.width * self.key_heads * self.head_width
        return 2 * queries + keys_and_values + self.matrices * self.width * self.inner

    @property
    def in_products(self) -> int:
        """Weights of all layers that take part in matrix products, output layer not included."""
        return self.layers * self.in_layer


@dataclass(frozen=True, kw_only=True)
class Head:
    """What stands behind a model's layers, as it bears on cost.

    `classes`: an output for each class; `value`: one, a number; `tokens`: one for every token of the vocabulary, at
    every token of a text. `decoder`: made from nothing it is Llama's kin, else BERT's; `pooler` and `transform`: what
    else BERT has there.
    """

    classes: bool = False
    value: bool = False
    tokens: bool = False
    decoder: bool = False
    pooler: bool = False
    transform: bool = False


#: By the kind of model that an objective trains (`objectives.table.Kind.head`).
HEADS: dict[str, Head] = {
    "classifier": Head(classes=True, pooler=True),
    "tagger": Head(classes=True, pooler=True),
    "regressor": Head(value=True, pooler=True),
    "heads": Head(classes=True, pooler=True),
    "causal": Head(tokens=True, decoder=True),
    "masked": Head(tokens=True, transform=True),
    "encoder": Head(),
}


def from_config(config: Mapping[str, Any]) -> Shape:
    """Shape of the model that a Hugging Face `config.json` describes.

    Raises `ModelError` where it does not say how deep and wide the model is (it may not be a transformer).
    """
    config = config.get("text_config") or config

    def number(*names: str, default: int | None = None) -> int:
        for name in names:
            value = config.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
        if default is None:
            raise ModelError(
                f"The model's config.json has no {' or '.join(names)}; the plan cannot tell its size. Expected a "
                "transformer in the layout of Hugging Face transformers."
            )
        return default

    width = number("hidden_size", "n_embd", "d_model", "dim")
    heads = number("num_attention_heads", "n_head", "n_heads")
    decoder = "rms_norm_eps" in config
    return Shape(
        layers=number("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        width=width,
        heads=heads,
        key_heads=number("num_key_value_heads", default=heads),
        head_width=number("head_dim", default=width // heads),
        inner=number("intermediate_size", "n_inner", "hidden_dim", "ffn_dim", default=4 * width),
        matrices=3 if decoder else 2,
        vocabulary=number("vocab_size"),
        positions=number("max_position_embeddings", "n_positions", "n_ctx", default=512),
        learned_positions=not decoder,
        types=number("type_vocab_size", default=0),
        biases=not decoder,
        attention_dropout=float(config.get("attention_probs_dropout_prob", config.get("attention_dropout", 0.0)) or 0)
        > 0,
        tied=bool(config.get("tie_word_embeddings", not decoder)),
    )


def from_scratch(
    scratch: ScratchConfig, head: Head, *, vocabulary: int | None = None, positions: int = POSITIONS
) -> Shape:
    """Shape of the model that training makes from nothing; a teacher's tokenizer has a `vocabulary` of its own."""
    decoder = head.decoder
    return Shape(
        layers=scratch.layers,
        width=scratch.width,
        heads=scratch.heads,
        key_heads=scratch.heads,
        head_width=scratch.width // scratch.heads,
        inner=32 * -(-8 * scratch.width // 96) if decoder else 4 * scratch.width,
        matrices=3 if decoder else 2,
        vocabulary=scratch.vocabulary if vocabulary is None else vocabulary,
        positions=max(POSITIONS, positions),
        learned_positions=not decoder,
        types=0 if decoder else 2,
        biases=not decoder,
        attention_dropout=not decoder,
        # Only outputs for tokens can be tied to the embedding.
        tied=True,
    )


def parameters(shape: Shape, head: Head, labels: int = 0) -> int:
    """Parameters of the whole model; `labels` are the classes where the head has outputs for them.

    BERT (Devlin et al., 2018): embeddings with a norm, layers with biases and two norms, and a pooler and a classifier,
    or a transform with a norm and a bias a token. Llama (Touvron et al., 2023): embeddings, layers without biases and
    two scale-only norms, a last norm, and the output layer where it is not tied.
    """
    width = shape.width
    count = shape.vocabulary * width + shape.types * width + shape.in_products
    if shape.learned_positions:
        count += shape.positions * width
    if shape.biases:
        projections = (shape.heads + 2 * shape.key_heads) * shape.head_width + width
        count += shape.layers * (projections + shape.inner + width + 4 * width) + 2 * width
    else:
        count += shape.layers * 2 * width + width
    if head.tokens and not shape.tied:
        count += shape.vocabulary * width
    if head.transform:
        count += width * width + 3 * width + shape.vocabulary
    if head.pooler and shape.biases:
        count += width * width + width
    outputs = labels if head.classes else int(head.value)
    return count + outputs * width + (outputs if shape.biases else 0)


def count_stored(folder: Path) -> int:
    """Parameters that the safetensors files of `folder` hold, from their headers (8 bytes length, then JSON).

    Buffers of whole numbers (position ids) are not counted. The folder has passed `check_base`.
    """
    count = 0
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        for name, entry in header.items():
            if name == "__metadata__" or not entry["dtype"].startswith(("F", "BF")):
                continue
            size = 1
            for extent in entry["shape"]:
                size *= extent
            count += size
    return count


def of_base(folder: Path, labels: int = 0) -> tuple[Shape, int]:
    """`(shape, parameters)` of a stored model as it will be used: what is there, plus a new classifier's weights."""
    shape = from_config(read_config(folder))
    head = labels * shape.width + labels if labels else 0
    return shape, count_stored(folder) + head
