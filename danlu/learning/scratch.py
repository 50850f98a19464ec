"""Small models from nothing: a tokenizer learned from the texts, and weights drawn from a seed.

Byte-level BPE reads any text in any language without an unknown token. Han characters stand in runs without
spaces; merges inside a run find the frequent words (房间, 不错), as they find word pieces in English.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from danlu.core.artifact import write_json
from danlu.learning.chat import TURN_TOKENS
from danlu.learning.models import head_settings

#: Positions a small model has unless longer texts are asked for.
POSITIONS = 512


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The special tokens of a family of models, by the role that transformers gives them.

    `others` are special tokens without such a role: those that open a turn of a conversation are there from the start,
    also where a model first reads plain texts, so that it can learn to converse later. `template` is how a single text
    is dressed, `two` how two texts that are read together are; empty where the model reads one. `fold` says whether
    spellings that read alike (full width, capitals) become one: good for a model that only reads, impossible for one
    that must write the text back.
    """

    roles: dict[str, str]
    template: str
    fold: bool
    others: tuple[str, ...] = ()
    two: str = ""


ENCODER = Vocabulary(
    roles={
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    },
    template="[CLS] $A [SEP]",
    two="[CLS] $A [SEP] $B:1 [SEP]:1",
    fold=True,
)
DECODER = Vocabulary(
    roles={"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"},
    template="<s> $A",
    fold=False,
    others=TURN_TOKENS,
)

#: What transformers may keep beside `tokenizer.json`; small text files, copied from a base as they are.
_OTHER_TOKENIZER_FILES = ("special_tokens_map.json", "added_tokens.json", "chat_template.jinja")

#: The special tokens of each kind of model that is trained from nothing.
VOCABULARIES: dict[str, Vocabulary] = {
    "classifier": ENCODER,
    "tagger": ENCODER,
    "regressor": ENCODER,
    "heads": ENCODER,
    "causal": DECODER,
    "masked": ENCODER,
    "encoder": ENCODER,
}

#: How Qwen, Llama 3 and their kin cut text before merging, with one change: Han characters form runs of their own,
#: so that no token mixes 房间 with Latin letters.
_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{Han}+|[^\r\n\p{L}\p{N}]?(?:(?!\p{Han})\p{L})+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(texts: Iterable[str], vocabulary: Vocabulary, size: int) -> Tokenizer:
    """Learn a byte-level BPE of at most `size` tokens; the same texts give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    if vocabulary.fold:
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [*vocabulary.roles.values(), *vocabulary.others]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    used = [token for token in special if token in vocabulary.template.split()]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=vocabulary.template,
        pair=vocabulary.two or None,
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in used],
    )
    return tokenizer


def copy_tokenizer(base: Path, folder: Path, tokenizer: Tokenizer, max_length: int) -> None:
    """Write the base's tokenizer into `folder`, with no cutting or padding of its own but `max_length`."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(folder / "tokenizer.json"))
    source = base / "tokenizer_config.json"
    settings = json.loads(source.read_text(encoding="utf-8")) if source.is_file() else {}
    settings.pop("name_or_path", None)
    if not settings:
        settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(folder / "tokenizer_config.json", settings | {"model_max_length": max_length})
    for name in _OTHER_TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)


def save_tokenizer(tokenizer: Tokenizer, vocabulary: Vocabulary, folder: Path, max_length: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` such that transformers' AutoTokenizer loads them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = dict(vocabulary.roles) | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
    }
    if vocabulary.two:
        # Without it transformers would take the tokens of a second text for those of the first.
        settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    write_json(folder / "tokenizer_config.json", settings)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Size of a small model. `width` is the hidden size; `positions` the longest text in tokens."""

    layers: int
    width: int
    heads: int
    positions: int


def make_classifier(shape: Shape, tokenizer: Tokenizer, labels: Sequence[str]) -> Any:
    """A BERT-shaped classifier with random weights; seed torch first."""
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification(_bert(shape, tokenizer, **head_settings("classifier", labels)))


def make_tagger(shape: Shape, tokenizer: Tokenizer, labels: Sequence[str]) -> Any:
    """A BERT-shaped model with an answer of its own for each label, with random weights; seed torch first."""
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification(_bert(shape, tokenizer, **head_settings("tagger", labels)))


def make_regressor(shape: Shape, tokenizer: Tokenizer, labels: Sequence[str]) -> Any:
    """A BERT-shaped model that answers with one number, with random weights; `labels` are none of its business."""
    from transformers import BertForSequenceClassification

    del labels
    return BertForSequenceClassification(_bert(shape, tokenizer, **head_settings("regressor", ())))


def make_heads(shape: Shape, tokenizer: Tokenizer, labels: Sequence[str]) -> Any:
    """A BERT-shaped model with the outputs `labels` of several heads, with random weights; seed torch first."""
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification(_bert(shape, tokenizer, **head_settings("heads", labels)))


def make_masked(shape: Shape, tokenizer: Tokenizer, labels: Sequence[str]) -> Any:
    """A BERT-shaped model that foresees hidden tokens, with random weights; `labels` are none of its business."""
    from transformers import BertForMaskedLM

    del labels
    return BertForMaskedLM(_bert(shape, tokenizer))


def make_encoder(shape: Shape, tokenizer: Tokenizer, labels: Sequence[str]) -> Any:
    """A BERT-shaped model whose answer is a vector a token, with random weights; `labels` are none of its business."""
    from transformers import BertModel

    del labels
    return BertModel(_bert(shape, tokenizer), add_pooling_layer=False)


def _bert(shape: Shape, tokenizer: Tokenizer, **settings: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        max_position_embeddings=shape.positions,
        pad_token_id=tokenizer.token_to_id("[PAD]"),
        **settings,
    )


def make_generator(shape: Shape, tokenizer: Tokenizer, labels: Sequence[str]) -> Any:
    """A Llama-shaped language model with random weights; `labels` are none of its business."""
    from transformers import LlamaConfig, LlamaForCausalLM

    del labels
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            # SwiGLU has three matrices where a plain block has two: 8/3 of the width keeps the size (Shazeer 2020,
            # arXiv:2002.05202), rounded up to a multiple of 32.
            intermediate_size=32 * -(-8 * shape.width // 96),
            max_position_embeddings=shape.positions,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.token_to_id("<s>"),
            eos_token_id=tokenizer.token_to_id("</s>"),
            pad_token_id=tokenizer.token_to_id("<pad>"),
        )
    )


#: How each kind of model is made from nothing.
MAKERS = {
    "classifier": make_classifier,
    "tagger": make_tagger,
    "regressor": make_regressor,
    "heads": make_heads,
    "causal": make_generator,
    "masked": make_masked,
    "encoder": make_encoder,
}
