"""A model that is told columns beside its text: an encoder of transformers, and a small head over all it knows.

The tokens' vectors are averaged to the text's own; behind it stand the standardised numbers, an indicator for each that
is missing, and a learned vector for the value of each category. One hidden layer mixes them, a last one answers. The
vector of an unknown value is 0 in the beginning, so that it says nothing where no training row had one.

A checkpoint has the encoder as transformers writes it (`config.json`, `model.safetensors`: `AutoModel` loads it), the
head in `fusion.safetensors`, and in `columns.json` how cells are coded (`danlu.core.columns`).

Shapes: B texts, T tokens of the longest one, D units of the encoder, M numeric and C categorical columns, H hidden
units, K outputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from transformers.modeling_outputs import SequenceClassifierOutput

from danlu.core.artifact import write_json
from danlu.core.columns import UNKNOWN, Codes
from danlu.core.errors import ModelError
from danlu.learning.asking import COLUMNS, load_codes
from danlu.learning.pooling import POOLINGS

HEAD_WEIGHTS = "fusion.safetensors"

#: Hidden units, and the widest vector of a category's value: half as wide as it has values, at most this.
_HIDDEN = 64
_WIDEST = 16

_DROPOUT = 0.1


class FusionHead(nn.Module):
    """`(text [B, D], numbers [B, 2 M], categories [B, C]) -> logits [B, K]`; seed torch first."""

    def __init__(self, codes: Codes, width: int, outputs: int) -> None:
        super().__init__()
        places = [nn.Embedding(column.size, min(_WIDEST, (column.size + 1) // 2)) for column in codes.categorical]
        beside = 2 * len(codes.numeric) + sum(place.embedding_dim for place in places)
        self.places = nn.ModuleList(places)
        self.dropout = nn.Dropout(_DROPOUT)
        self.hidden = nn.Linear(width + beside, _HIDDEN)
        self.answer = nn.Linear(_HIDDEN, outputs)
        with torch.no_grad():
            for place in places:
                place.weight[UNKNOWN].zero_()

    def forward(
        self, text: torch.Tensor, numbers: torch.Tensor | None, categories: torch.Tensor | None
    ) -> torch.Tensor:
        parts = [self.dropout(text)]
        if numbers is not None:
            parts.append(numbers.to(text.dtype))
        if categories is not None:
            parts += [place(categories[:, column]) for column, place in enumerate(self.places)]
        mixed = F.gelu(self.hidden(torch.cat(parts, dim=-1)))
        logits: torch.Tensor = self.answer(self.dropout(mixed))
        return logits


class FusionModel(nn.Module):
    """An encoder with its `FusionHead`. What it has not itself (`config`, the embeddings) is the encoder's."""

    def __init__(self, encoder: Any, codes: Codes) -> None:
        super().__init__()
        self.encoder = encoder
        self.codes = codes
        self.head = FusionHead(codes, int(encoder.config.hidden_size), int(encoder.config.num_labels))

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        numbers: torch.Tensor | None = None,
        categories: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **segments).last_hidden_state
        text = POOLINGS["mean"](hidden, attention_mask)
        return SequenceClassifierOutput(logits=self.head(text, numbers, categories))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "encoder":
                raise
            return getattr(self.encoder, name)

    def save_pretrained(self, folder: Path, **settings: Any) -> None:
        """Write the encoder as transformers does, and the head and `columns.json` beside it."""
        self.encoder.save_pretrained(folder, **settings)
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.head.state_dict().items()}
        save_file(weights, Path(folder) / HEAD_WEIGHTS)
        write_json(Path(folder) / COLUMNS, self.codes.as_json())


def with_columns(encoder: Any, codes: Codes, outputs: dict[str, Any]) -> FusionModel:
    """A model with a new head on `encoder`, whose config is told its `outputs` (`head_settings`); seed torch first."""
    for name, value in outputs.items():
        setattr(encoder.config, name, value)
    return FusionModel(encoder, codes)


def load_fusion(encoder: Any, folder: Path) -> FusionModel:
    """The model whose head lies in `folder`, on its encoder. Raises `ModelError` where the two do not fit."""
    model = FusionModel(encoder, load_codes(folder))
    try:
        model.head.load_state_dict(load_file(folder / HEAD_WEIGHTS))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{folder / HEAD_WEIGHTS} does not fit the columns in {COLUMNS}: {str(error).splitlines()[0]}. Export the "
            "model again with `danlu run`."
        ) from error
    return model
