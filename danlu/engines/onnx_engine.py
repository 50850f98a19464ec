"""Answers by ONNX Runtime. Imports neither torch nor transformers, so that a server starts fast and light.

The graph's inputs and outputs are named by what is below:
classify: `input_ids`, `attention_mask` [B, T] -> `logits` [B, K]; for pairs of texts, where the model tells their
tokens apart, also `token_type_ids` [B, T]; for columns beside the text `numbers` [B, 2 M] and `categories` [B, C].
fill: `input_ids`, `attention_mask` [B, T] -> `logits` [B, T, V].
embed: `input_ids`, `attention_mask` [B, T] -> `vectors` [B, D], pooled and of length 1.
generate: `input_ids` [B, T] and for every layer L `past_key_L`, `past_value_L` [B, H, P, D] -> `logits` [B, T, V] and
`present_key_L`, `present_value_L` [B, H, P + T, D]: keys and values of H heads of size D for the P tokens before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from danlu.core.errors import ModelError, first_line
from danlu.engines.base import Form
from danlu.engines.common import LocalEngine

MODEL = "model.onnx"
LOGITS, VECTORS = "logits", "vectors"

_ERRORS_ONLY = 3


class OnnxEngine(LocalEngine):
    """Runs a `model.onnx` on the CPU with `threads` threads (0: one a core)."""

    def __init__(self, folder: Path, form: Form, threads: int = 0) -> None:
        super().__init__(folder, form)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # Threads that spin between two requests would take the cores from the server's other work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(folder / MODEL), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library raises its own kinds, which share no base but this
            raise ModelError(
                f"ONNX Runtime cannot load {folder / MODEL}: {first_line(error)}. Export the model again with "
                "`danlu run`."
            ) from error
        self._inputs = {item.name: item for item in self._session.get_inputs()}
        self._answer_name = VECTORS if form.task == "embed" else LOGITS
        self._past = [name for name in self._inputs if name.startswith("past_")]
        self._present = [name.replace("past_", "present_", 1) for name in self._past]

    def _forward(self, ids: np.ndarray, mask: np.ndarray, **beside: np.ndarray) -> np.ndarray:
        feeds = {"input_ids": ids, "attention_mask": mask, **beside, **self._no_past(len(ids))}
        answer: np.ndarray = self._session.run([self._answer_name], {name: feeds[name] for name in self._inputs})[0]
        return answer

    def _decode(self, ids: np.ndarray, cache: Any) -> tuple[np.ndarray, Any]:
        to_value = onnxruntime.OrtValue.ortvalue_from_numpy
        if cache is None:
            cache = {name: to_value(past) for name, past in self._no_past(1).items()}
        # OrtValues stay inside the runtime: the cache is never copied to numpy and back.
        logits, *present = self._session.run_with_ort_values(
            ["logits", *self._present], {"input_ids": to_value(ids), **cache}
        )
        return logits.numpy()[0, -1], dict(zip(self._past, present, strict=True))

    def _no_past(self, batch: int) -> dict[str, np.ndarray]:
        """Keys and values of no tokens, for each layer [B, H, 0, D]."""
        empty = {}
        for name in self._past:
            _, heads, _, size = self._inputs[name].shape
            empty[name] = np.zeros((batch, heads, 0, size), dtype=np.float32)
        return empty

    def close(self) -> None:
        """Free the memory; the engine cannot be used afterwards."""
        self._session = None
