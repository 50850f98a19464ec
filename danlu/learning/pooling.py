"""From a vector a token to the vector of a text, of length 1, so that the product of two of them is their cosine.

B texts in a batch, T tokens of the longest one, D units of a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from danlu.core.artifact import write_json

#: The file by which sentence-transformers knows a folder as one of its own.
MODULES = "modules.json"


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the tokens [B, T, D] that are no padding (Reimers and Gurevych 2019, arXiv:1908.10084)."""
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def _first(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    del mask
    return hidden[:, 0]


#: How the tokens' vectors [B, T, D] and their mask [B, T] become the text's [B, D].
POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {"mean": _mean, "first": _first}


def pooled(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """The texts' vectors [B, D], float32 and of length 1."""
    return F.normalize(POOLINGS[pooling](hidden.float(), mask), dim=-1)


class Embedder(torch.nn.Module):
    """`(input_ids, attention_mask) [B, T] -> vectors [B, D]`: an encoder together with its pooling."""

    def __init__(self, model: Any, pooling: str) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return pooled(hidden, attention_mask, self.pooling)


def write_modules(folder: Path, pooling: str, dimensions: int, max_length: int) -> None:
    """Write beside an encoder what lets sentence-transformers load it, with pooling and length 1.

    The layout is that of its own models: `modules.json`, a folder a module, `sentence_bert_config.json`.
    """
    kinds = ("Transformer", "Pooling", "Normalize")
    places = ("", "1_Pooling", "2_Normalize")
    modules = [
        {"idx": number, "name": str(number), "path": place, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, place) in enumerate(zip(kinds, places, strict=True))
    ]
    write_json(folder / MODULES, modules)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    (folder / places[1]).mkdir(exist_ok=True)
    write_json(
        folder / places[1] / "config.json",
        {
            "word_embedding_dimension": dimensions,
            "pooling_mode_mean_tokens": pooling == "mean",
            "pooling_mode_cls_token": pooling == "first",
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )
