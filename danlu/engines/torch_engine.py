"""Answers by PyTorch, from float32 safetensors; generation keeps a key-value cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from danlu.engines.base import Form
from danlu.engines.common import LocalEngine
from danlu.learning.asking import knows_two_segments
from danlu.learning.models import load_checkpoint
from danlu.learning.pooling import pooled


class TorchEngine(LocalEngine):
    """Runs a model folder that transformers can load. `threads` holds for the whole process, as torch has it."""

    def __init__(self, folder: Path, form: Form, threads: int = 0) -> None:
        super().__init__(folder, form)
        if threads:
            torch.set_num_threads(threads)
        self._model: Any = load_checkpoint(folder)
        self._two_segments = knows_two_segments(self._model.config.to_dict())

    def _forward(self, ids: np.ndarray, mask: np.ndarray, **beside: np.ndarray) -> np.ndarray:
        if not self._two_segments:
            beside.pop("token_type_ids", None)
        with torch.inference_mode():
            attention_mask = torch.from_numpy(mask)
            more = {name: torch.from_numpy(values) for name, values in beside.items()}
            output = self._model(input_ids=torch.from_numpy(ids), attention_mask=attention_mask, **more)
            pooling = self.form.pooling
            answer = output.logits if pooling is None else pooled(output.last_hidden_state, attention_mask, pooling)
        found: np.ndarray = answer.numpy()
        return found

    def _decode(self, ids: np.ndarray, cache: Any) -> tuple[np.ndarray, Any]:
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.from_numpy(ids), past_key_values=cache, use_cache=True, logits_to_keep=1
            )
        return output.logits[0, -1].numpy(), output.past_key_values

    def close(self) -> None:
        """Free the memory; the engine cannot be used afterwards."""
        self._model = None
