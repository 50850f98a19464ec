"""A checkpoint as an ONNX graph, and that graph with int8 weights.

Shapes: B texts, T tokens, P tokens before them, K classes, V tokens in the vocabulary, H key-value heads of size D.
The names of the graph's inputs and outputs are those that `danlu.engines.onnx_engine` describes.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers.cache_utils import DynamicCache

from danlu.core.asked import TEXT_ALONE, Takes
from danlu.core.errors import ModelError, first_line
from danlu.core.tasks import TaskName
from danlu.engines.onnx_engine import VECTORS
from danlu.learning.asking import CATEGORIES, NUMBERS, knows_two_segments

#: A protobuf file cannot be larger than 2 GiB; weights of larger models go into a file beside it.
_LARGEST_ONE_FILE = 1_900_000_000

#: The examples that the tracer sees. Their sizes differ from each other and from 0 and 1, which it would take
#: for constants.
_BATCH, _LENGTH, _BEFORE = 3, 7, 5


class _Classifier(torch.nn.Module):
    """`(input_ids, attention_mask) [B, T] -> logits [B, K]`; of an encoder that fills in words [B, T, V].

    For pairs of texts also `token_type_ids` [B, T], for columns beside them `numbers` [B, 2 M] and `categories` [B, C].
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        numbers: torch.Tensor | None = None,
        categories: torch.Tensor | None = None,
    ) -> torch.Tensor:
        given = {"token_type_ids": token_type_ids, NUMBERS: numbers, CATEGORIES: categories}
        beside = {name: values for name, values in given.items() if values is not None}
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, **beside).logits
        return logits


class _Generator(torch.nn.Module):
    """`(input_ids [B, T], past 2 x layers of [B, H, P, D]) -> (logits [B, T, V], present [B, H, P + T, D]...)`.

    No attention mask: texts of a batch are padded on the right, where a causal model does not look.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, past: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        output = self.model(input_ids=input_ids, past_key_values=cache, use_cache=True)
        present = [tensor for layer in output.past_key_values.layers for tensor in (layer.keys, layer.values)]
        return (output.logits, *present)


def _classifier_call(model: Any, takes: Takes) -> dict[str, Any]:
    ids = torch.ones(_BATCH, _LENGTH, dtype=torch.int64)
    axes = {0: "batch", 1: "length"}
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if takes.pair and knows_two_segments(model.config.to_dict()):
        inputs["token_type_ids"] = torch.ones_like(ids)
    if takes.numeric:
        inputs[NUMBERS] = torch.zeros(_BATCH, 2 * len(takes.numeric))
    if takes.categorical:
        inputs[CATEGORIES] = torch.zeros(_BATCH, len(takes.categorical), dtype=torch.int64)
    return {
        "model": _Classifier(model),
        "kwargs": inputs,
        "input_names": list(inputs),
        "output_names": ["logits"],
        "dynamic_shapes": {name: {0: "batch"} if name in (NUMBERS, CATEGORIES) else axes for name in inputs},
    }


def _embedder_call(model: Any, takes: Takes) -> dict[str, Any]:
    """`model` is an encoder with its pooling (`danlu.learning.pooling.Embedder`)."""
    return {**_classifier_call(model, takes), "model": model, "output_names": [VECTORS]}


def _generator_call(model: Any, takes: Takes) -> dict[str, Any]:
    del takes  # a language model is asked a text
    ids = torch.ones(_BATCH, _LENGTH, dtype=torch.int64)
    with torch.inference_mode():
        layers = getattr(model(input_ids=ids[:1], use_cache=True).past_key_values, "layers", [])
    held = [getattr(layer, kind, None) for layer in layers for kind in ("keys", "values")]
    shapes = [tuple(tensor.shape) for tensor in held if tensor is not None]
    if not held or len(shapes) < len(held) or any(len(shape) != 4 or shape[2] != _LENGTH for shape in shapes):
        raise ModelError(
            f"{type(model).__name__} keeps something else than keys and values of every token, so it cannot be "
            "exported to ONNX. Set compress.forms and compress.ship to torch."
        )
    names = [f"past_{kind}_{layer}" for layer in range(len(layers)) for kind in ("key", "value")]
    past = [torch.zeros(_BATCH, shape[1], _BEFORE, shape[3]) for shape in shapes]
    return {
        "model": _Generator(model),
        "args": (ids, past),
        "input_names": ["input_ids", *names],
        "output_names": ["logits", *(name.replace("past_", "present_", 1) for name in names)],
        "dynamic_shapes": ({0: "batch", 1: "length"}, [{0: "batch", 2: "before"} for _ in past]),
    }


_CALLS: dict[TaskName, Callable[[Any, Takes], dict[str, Any]]] = {
    "classify": _classifier_call,
    "tag": _classifier_call,
    "regress": _classifier_call,
    "multitask": _classifier_call,
    "generate": _generator_call,
    "embed": _embedder_call,
    "fill": _classifier_call,
}


def export_onnx(model: Any, task: TaskName, path: Path, takes: Takes = TEXT_ALONE) -> None:
    """Write `model` (float32, eval mode) to `path` as an ONNX graph of any batch size and length.

    `takes`: what a question to it holds beside a text; it decides which inputs the graph has.

    Equal weights give equal bytes: what torch notes about its own source files and the tracing is taken out.
    Raises `ModelError` where the model's architecture cannot be exported.
    """
    call = _CALLS[task](model, takes)
    call["model"].eval()
    with _quiet():
        try:
            program: Any = torch.onnx.export(**call, dynamo=True, verbose=False)
        except torch.onnx.errors.OnnxExporterError as error:
            raise ModelError(
                f"{type(model).__name__} cannot be exported to ONNX: {first_line(error)}. Set compress.forms and "
                "compress.ship to torch."
            ) from error
        _forget_origin(program.model)
        size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
        program.save(path, external_data=size > _LARGEST_ONE_FILE)


def quantize(source: Path, target: Path) -> None:
    """Write the graph `source` to `target` with int8 weights (embeddings included), one scale per channel.

    Activations are quantized while the model runs, with one scale for the whole batch: that is why such a form
    is not batch invariant.
    """
    large = source.with_name(source.name + ".data").exists()
    model = onnx.load(source)
    _transpose_weights(model.graph)
    with _quiet():
        quantize_dynamic(
            model,
            target,
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=large,
        )


def _transpose_weights(graph: Any) -> None:
    """Do now what the graph would do to constant matrices on every run.

    An output layer that shares its weights with the embeddings multiplies by their transpose; the quantizer
    leaves a product alone whose matrix is not a constant, and the matrix would be widened again at every token.
    """
    weights = {weight.name: weight for weight in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in weights]:
        axes = next((list(item.ints) for item in node.attribute if item.name == "perm"), None)
        turned = np.ascontiguousarray(np.transpose(onnx.numpy_helper.to_array(weights[node.input[0]]), axes))
        graph.initializer.append(onnx.numpy_helper.from_array(turned, node.output[0]))
        graph.node.remove(node)


def _forget_origin(model: Any) -> None:
    """Take out of an onnxscript IR model what depends on when and where it was traced, and no engine reads."""
    holders = [model, model.graph, *model.graph.all_nodes(), *model.graph.inputs, *model.graph.initializers.values()]
    holders += [output for node in model.graph.all_nodes() for output in node.outputs]
    for holder in holders:
        holder.metadata_props.clear()
        holder.doc_string = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the log what the exporters say on every run and nobody can act on."""
    loggers = [logging.getLogger("torch.onnx._internal.exporter._registration"), logging.getLogger()]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # torch.export copies its own trees through a deprecated check.
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)", category=FutureWarning)
        # The same name for the same axis of two inputs is what we mean.
        warnings.filterwarnings("ignore", message=r".*The axis name: .* will not be used", category=UserWarning)
        try:
            # "torchvision is not installed", and onnxruntime's advice to optimize the graph before quantizing it.
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
