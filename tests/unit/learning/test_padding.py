"""Padding behind a text changes nothing of what a causal model learns, though no mask says where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional as F

from danlu.learning.batching import NO_TARGET, Batch, Examples
from danlu.learning.fast import fast_attention
from danlu.learning.objectives.base import forward
from danlu.learning.objectives.causal import outcome

SIZES = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
INNER = {"intermediate_size": 48, "num_key_value_heads": 1}


def llama() -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, **INNER))


def with_a_window() -> Any:
    return transformers.MistralForCausalLM(transformers.MistralConfig(**SIZES, **INNER, sliding_window=8))


def with_learned_positions() -> Any:
    config = transformers.OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=32, dropout=0.0)
    return transformers.OPTForCausalLM(config)


def with_positions_in_its_scores() -> Any:
    return transformers.BloomForCausalLM(transformers.BloomConfig(vocab_size=61, hidden_size=32, n_layer=2, n_head=2))


FAMILIES = [llama, with_a_window, with_learned_positions, with_positions_in_its_scores]


def padded(longest: int) -> Batch:
    """Three texts, of which two are shorter."""
    draw = np.random.default_rng(5)
    rows = [draw.integers(3, 61, size).tolist() for size in (longest, longest // 2, longest // 4)]
    return Examples.from_rows(rows).batch(np.arange(3), pad_id=0)


@pytest.mark.parametrize("longest", [24, 220], ids=["short texts", "long texts"])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_mask_is_needed_over_padding_at_the_end(family: Callable[[], Any], longest: int) -> None:
    torch.manual_seed(4)
    model, batch = family().train(), padded(longest)
    real = torch.from_numpy(batch.mask).bool()
    found = []
    with fast_attention(model):
        for causal in (False, True):
            model.zero_grad()
            logits = forward(model, batch, causal=causal, use_cache=False).logits
            wanted = torch.from_numpy(batch.targets).flatten()
            F.cross_entropy(logits.flatten(0, 1), wanted, ignore_index=NO_TARGET).backward()
            gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
            found.append([logits[real].detach(), *(gradient.clone() for gradient in gradients)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_what_stands_at_padding_does_not_count() -> None:
    torch.manual_seed(4)
    model, batch = llama().train(), padded(24)
    before = outcome(model, batch).loss
    batch.ids[batch.mask == 0] = 7
    assert torch.equal(outcome(model, batch).loss, before)
