"""QLoRA (Dettmers et al. 2023, arXiv:2305.14314): the frozen weights in 4 bits (NF4), low-rank additions in float32."""

from __future__ import annotations

import importlib.util
from typing import Any

from danlu.core.errors import ModelError
from danlu.core.lazy import need
from danlu.learning.adapters.base import Adapted, count
from danlu.learning.adapters.config import QloraMethod
from danlu.learning.adapters.low_rank import LowRank, settings_of, state_of, wrap

#: Parts behind the layers that classifiers of transformers have; they are trained, and so are not kept in 4 bits.
_HEADS = ["classifier", "score", "pooler", "head", "pre_classifier", "lm_head"]


def settings() -> dict[str, Any]:
    """What the base is loaded with: 4-bit NormalFloat, its scales quantised too, products in bfloat16 (section 3).

    Raises `ModelError` without a CUDA GPU or without bitsandbytes.
    """
    import torch
    from transformers import BitsAndBytesConfig

    instead = "Set train.method to {kind: lora}: it learns the same additions over weights of 32 bits."
    if not torch.cuda.is_available():
        raise ModelError(f"train.method.kind is qlora, which needs a CUDA GPU; this machine has none. {instead}")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            "train.method.kind is qlora, which needs the library bitsandbytes, which is not installed. Install "
            f"it with: pip install bitsandbytes. Or: {instead}"
        )
    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=_HEADS,
    )
    return {"quantization_config": quantised, "device_map": {"": torch.cuda.current_device()}}


class FourBit(LowRank):
    """Low-rank additions over weights of 4 bits."""

    def __init__(self, wrapper: Any, settings: dict[str, Any]) -> None:
        super().__init__(wrapper)
        self._settings = settings

    def restore(self) -> None:
        """Bring the 4-bit weights back to 32 bits and put the additions over them, where they can be merged exactly.

        The exported model is the one that was trained: the rounding to 4 bits stays in its weights.
        """
        peft = need("peft")
        tensors = state_of(self._wrapper)
        model = self._wrapper.unload()
        model.dequantize()
        model.float()
        self._wrapper = wrap(model, self._settings)
        peft.set_peft_model_state_dict(self._wrapper, tensors)


def qlora(model: Any, config: QloraMethod) -> Adapted:
    """Additions over a base that was loaded with `settings`."""
    peft = need("peft")
    # A quantised tensor packs two weights into a byte.
    total = sum(value.numel() * (2 if hasattr(value, "quant_state") else 1) for value in model.parameters())
    peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    chosen = settings_of(model, config, dora=False)
    wrapper = wrap(model, chosen)
    return Adapted(trainable=count(model.parameters(), trainable=True), total=total, adapter=FourBit(wrapper, chosen))
