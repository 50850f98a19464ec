"""Models: checked before they are touched, loaded from safetensors only, or made small from nothing.

Pickle weights are never read: loading one runs whatever its maker put in.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from danlu.core.errors import MissingDependency, ModelError, first_line
from danlu.core.lazy import need
from danlu.learning.asking import COLUMNS

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_LONGEST_HEADER_BYTES = 100_000_000

#: Compilers that torch looks for on a CPU, its own choice (the variable CXX) first.
_COMPILERS = tuple(filter(None, (os.environ.get("CXX"), "g++", "clang++")))


def check_base(folder: Path) -> None:
    """Refuse a model folder that cannot be used, reading a few kilobytes and importing nothing heavy.

    Raises `ModelError` for a folder without config, tokenizer or weights, with pickle weights only, or with a
    safetensors file that is cut short or is none.
    """
    if not folder.is_dir():
        raise ModelError(f"The base model {str(folder)!r} is not a folder. Give the folder that holds config.json.")
    read_config(folder)
    check_weights(folder)
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"The model folder {str(folder)!r} has no tokenizer.json. Load its tokenizer with transformers and "
            "call save_pretrained, which writes that file."
        )


def read_config(folder: Path) -> dict[str, Any]:
    """The model's `config.json`. Raises `ModelError` when it is missing or is not one."""
    path = folder / CONFIG
    if not path.is_file():
        raise ModelError(
            f"The model folder {str(folder)!r} has no config.json. Expected a folder in the layout of Hugging Face "
            "transformers: config.json, tokenizer.json, model.safetensors."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{str(path)!r} is not JSON: {error}. Fetch the model again.") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise ModelError(f"{str(path)!r} does not name a model_type, so nothing can say what these weights are.")
    return config


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / _INDEX
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{str(index)!r} is not an index of weights. Fetch the model again.") from error
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ModelError(f"The model folder {str(folder)!r} lacks {missing[0]!r}, which its index names.")
        return [folder / name for name in names]
    pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
    if pickles:
        raise ModelError(
            f"The model folder {str(folder)!r} has its weights as a pickle ({pickles[0]}). Loading a pickle can run "
            f"any code, so it is refused; expected {WEIGHTS}. Many models on the hub have it beside the pickle."
        )
    raise ModelError(
        f"The model folder {str(folder)!r} has no weights. Expected {WEIGHTS}, or shards with {_INDEX}. "
        "Was the download cut short, or does Git LFS still have to fetch the file?"
    )


def _check_safetensors(file: Path) -> None:
    """Compare the header with the size of the file (format: 8 bytes length, JSON header, tensors end to end)."""
    broken = f"{str(file)!r} is not a whole safetensors file"
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER_BYTES):
            raise ModelError(f"{broken}: it has {size:,} bytes and no header that fits. Fetch the model again.")
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ModelError(f"{broken}: its header cannot be read. Fetch the model again.") from error
    expected = 8 + length + max(ends, default=0)
    if expected != size:
        raise ModelError(f"{broken}: it has {size:,} bytes, its header says {expected:,}. Fetch the model again.")


def load_checkpoint(folder: Path) -> Any:
    """The model in `folder` as a `torch.nn.Module`: float32, in eval mode, on the CPU.

    A sequence classifier, a language model or an encoder, as `architectures` in its config says; an encoder with
    `columns.json` beside it comes with its head (`danlu.learning.fusion`). Raises `ModelError` for pickle weights, for
    a folder without weights, and for an architecture of another kind.
    """
    import transformers

    check_weights(folder)
    architecture = (read_config(folder).get("architectures") or [""])[0]
    head = next((head for ending, head in _HEADS.items() if architecture.endswith(ending)), None)
    if head is None:
        raise ModelError(
            f"The model in {str(folder)!r} is a {architecture or 'model of no stated architecture'}; expected one "
            "that classifies texts, generates text or reads it."
        )
    model = _plain(load_with(getattr(transformers, LOADERS[head]), folder), head)
    if (folder / COLUMNS).is_file():
        from danlu.learning.fusion import load_fusion

        model = load_fusion(model, folder)
    return model.eval()


def _plain(model: Any, head: str) -> Any:
    """`model` without the pooler that some encoders have on top: its weights would be drawn at random, and not used."""
    if head == "encoder" and getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model


#: The class of transformers that loads each kind of model.
LOADERS = {
    "classifier": "AutoModelForSequenceClassification",
    "tagger": "AutoModelForSequenceClassification",
    "regressor": "AutoModelForSequenceClassification",
    "heads": "AutoModelForSequenceClassification",
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "encoder": "AutoModel",
}

#: How the name of an architecture ends -> the kind of model; the first ending that fits.
_HEADS = {
    "ForSequenceClassification": "classifier",
    "ForCausalLM": "causal",
    "LMHeadModel": "causal",
    "ForMaskedLM": "masked",
    "Model": "encoder",
}


def start_from_base(folder: Path, head: str, labels: Sequence[str], **settings: Any) -> Any:
    """A pretrained model of the kind `head` (a key of `LOADERS`), with outputs for `labels` where there are some.

    A head that the base has not, or has for other classes, is drawn at random: seed torch first. `settings` are
    those of `from_pretrained`. Raises `ModelError`.
    """
    import transformers

    outputs = head_settings(head, labels)
    if outputs:
        settings |= outputs | {"ignore_mismatched_sizes": True}
    return _plain(load_with(getattr(transformers, LOADERS[head]), folder, **settings), head)


def like_base(folder: Path, head: str, labels: Sequence[str], **changes: Any) -> Any:
    """What `start_from_base` makes, but from `config.json` alone: no weight is read.

    Make it on the device meta, where weights take no memory. `changes` are settings of the configuration. Raises
    `ModelError` for a configuration that transformers does not know.
    """
    import torch
    import transformers

    quiet_transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, **head_settings(head, labels), **changes
        )
        model = getattr(transformers, LOADERS[head]).from_config(config, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"transformers cannot make a model of {str(folder)!r}: {first_line(error)}.") from error
    return _plain(model, head)


def head_settings(head: str, labels: Sequence[str]) -> dict[str, Any]:
    """The settings by which a transformers config knows the outputs of a head (a key of `LOADERS`) for `labels`."""
    named = label_settings(labels) if labels else {}
    return named | _OUTPUTS.get(head, {})


#: What a head of `LOADERS` says of itself beside its labels: transformers' pipelines go by it.
_OUTPUTS: dict[str, dict[str, Any]] = {
    "tagger": {"problem_type": "multi_label_classification"},
    "regressor": {"problem_type": "regression", "num_labels": 1},
}


def label_settings(labels: Sequence[str]) -> dict[str, Any]:
    """The settings by which a transformers config knows its classes."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def load_with(loader: Any, folder: Path, **settings: Any) -> Any:
    """`loader.from_pretrained(folder)` in float32, from local safetensors only, its failures told as `ModelError`."""
    import torch
    from safetensors import SafetensorError

    quiet_transformers()
    check_weights(folder)
    try:
        return loader.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, **settings
        )
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"transformers cannot load the model in {str(folder)!r}: {first_line(error)}.") from error


def quiet_transformers() -> None:
    """No bars of its own, and no table about a new head, which is expected here and worries people."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def recompute_activations(model: Any) -> None:
    """Keep only each layer's input for the backward pass (Chen et al. 2016, arXiv:1604.06174); gradients are the same.

    Raises `ModelError` for an architecture that transformers cannot do it for.
    """
    if not model.supports_gradient_checkpointing:
        raise ModelError(
            f"{type(model).__name__} cannot compute its activations anew. Set train.checkpointing: false, and lower "
            "train.micro_batch where memory is short."
        )
    model.activation_checkpointing_enable({"use_reentrant": False})
    # Only the reentrant kind needs inputs with gradients; without them nothing goes back below the trained layers.
    model.disable_input_require_grads()


def compile_forward(model: Any) -> None:
    """Compile what `model(...)` does, in place and for any batch size and length. Names of weights stay.

    Raises `MissingDependency` where there is no compiler for the device.
    """
    import torch

    if torch.cuda.is_available():
        need("triton")
    elif not any(shutil.which(name) for name in _COMPILERS):
        raise MissingDependency(
            f"train.compile is true, but none of the C++ compilers {', '.join(_COMPILERS)} is on the PATH. Install one "
            "(Debian: apt install g++), or set train.compile: false."
        )
    model.compile(dynamic=True)


def without_compilation(model: Any) -> None:
    """Let `model` run as it is written again: what is compiled keeps its idea of the modules inside."""
    model._compiled_call_impl = None


def check_weights(folder: Path) -> None:
    """The part of `check_base` about weights: safetensors there, and whole."""
    for file in _weight_files(folder):
        _check_safetensors(file)


#: Families whose positions start behind the padding token's number, so that fewer are left for tokens.
_POSITIONS_AFTER_PAD = {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "roberta-prelayernorm"}

#: Positions to count on where a config names none (relative or rotary ones without a stated limit).
_UNSTATED_POSITIONS = 512


def positions_of(config: dict[str, Any]) -> int:
    """The most tokens a model can take, special ones included, by its `config.json`."""
    stated = config.get("max_position_embeddings") or config.get("n_positions") or _UNSTATED_POSITIONS
    if config.get("model_type") in _POSITIONS_AFTER_PAD:
        stated -= (config.get("pad_token_id") or 0) + 1
    return int(stated)
