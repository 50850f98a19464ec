"""LoRA and DoRA by peft: small matrices beside frozen ones, which are added to them in the end.

peft changes the model in place. The loop goes on with transformers' own class; peft's wrapper is used to save and to
merge only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from danlu.core.artifact import write_json
from danlu.core.errors import ModelError
from danlu.core.lazy import need
from danlu.learning.adapters.base import Adapted, Parts, count, linear_layers, parts_of
from danlu.learning.adapters.config import DoraMethod, LoraMethod, QloraMethod

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"


class LowRank:
    """The low-rank additions of one model, as peft holds them."""

    def __init__(self, wrapper: Any) -> None:
        self._wrapper = wrapper

    def save(self, folder: Path, base: str | None) -> None:
        """Write `adapter_model.safetensors` and `adapter_config.json`; the same weights give the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = state_of(self._wrapper)
        save_file(
            {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}, folder / ADAPTER_WEIGHTS
        )
        settings = self._wrapper.peft_config["default"].to_dict()
        settings |= {"base_model_name_or_path": base, "inference_mode": True, "task_type": self._task()}
        write_json(folder / ADAPTER_CONFIG, {name: _plain(value) for name, value in sorted(settings.items())})

    def restore(self) -> None:
        """Nothing to do: the frozen weights are in float32."""

    def merge(self) -> None:
        """Add them to the weights. Raises `ModelError` where the sum holds something that is no number."""
        try:
            self._wrapper.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise ModelError(
                f"The adapter cannot be merged into its base: {error} Lower train.learning_rate."
            ) from error

    def _task(self) -> str:
        return "SEQ_CLS" if self._wrapper.get_base_model().get_output_embeddings() is None else "CAUSAL_LM"


def lora(model: Any, config: LoraMethod) -> Adapted:
    """Add to the linear layers what LoRA trains; a head without pretrained weights is trained whole."""
    return adapted_by(model, settings_of(model, config, dora=False))


def dora(model: Any, config: DoraMethod) -> Adapted:
    """The same with the length of each output's weights apart."""
    return adapted_by(model, settings_of(model, config, dora=True))


def adapted_by(model: Any, settings: Mapping[str, Any]) -> Adapted:
    """`model` with a fresh adapter in it."""
    total = count(model.parameters())
    wrapper = wrap(model, settings)
    return Adapted(trainable=count(model.parameters(), trainable=True), total=total, adapter=LowRank(wrapper))


def wrap(model: Any, settings: Mapping[str, Any]) -> Any:
    """The wrapper of peft around `model`, which is changed in place; everything but the adapter is frozen."""
    peft = need("peft")
    with warnings.catch_warnings():
        # peft 0.21 asks transformers for this by its name of before.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        return peft.get_peft_model(model, peft.LoraConfig(**settings))


def settings_of(model: Any, config: LoraMethod | DoraMethod | QloraMethod, *, dora: bool) -> dict[str, Any]:
    """What peft's `LoraConfig` is given. Layers are named in full, so that nothing else of a like name is meant."""
    from transformers.pytorch_utils import Conv1D

    parts = parts_of(model)
    layers = dict(linear_layers(model, parts.blocks))
    chosen = list(layers) if config.targets == "auto" else _named(layers, config.targets)
    return {
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": chosen,
        "modules_to_save": _head(model, parts) or None,
        "use_dora": dora,
        "fan_in_fan_out": any(isinstance(layers[name], Conv1D) for name in chosen),
    }


def state_of(wrapper: Any) -> dict[str, Any]:
    """The adapter's tensors by peft's names."""
    tensors: dict[str, Any] = need("peft").get_peft_model_state_dict(wrapper, save_embedding_layers=False)
    return tensors


def _named(layers: Mapping[str, Any], targets: Sequence[str]) -> list[str]:
    ends = sorted({name.rpartition(".")[2] for name in layers})
    for target in targets:
        if not any(_ends(name, target) for name in layers):
            raise ModelError(
                f"train.method.targets names {target!r}, but no linear layer of the model's blocks ends in it. There "
                f"are {', '.join(ends)}."
            )
    return [name for name in layers if any(_ends(name, target) for target in targets)]


def _ends(name: str, target: str) -> bool:
    return f".{name}".endswith(f".{target}")


def _head(model: Any, parts: Parts) -> list[str]:
    """What stands behind the layers of a classifier: it is new, or made for another aim, and is trained whole."""
    if model.get_output_embeddings() is not None:
        return []
    return [name for name in parts.behind if not isinstance(model.get_submodule(name), nn.Embedding)]


def _plain(value: Any) -> Any:
    """Sets as sorted lists, so that equal settings are equal bytes."""
    return sorted(value) if isinstance(value, set | frozenset) else value
