"""/v1/embeddings in OpenAI's form: vectors of texts, as numbers or as base64 of little-endian float32."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import numpy as np
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from danlu.serve.checks import check_task, check_texts
from danlu.serve.config import ServeConfig
from danlu.serve.errors import ApiError
from danlu.serve.forms import Text
from danlu.serve.live import Live

_EXAMPLES: list[Any] = [{"input": "怎么退货？"}, {"input": ["怎么退货？", "发票怎么开"], "encoding_format": "base64"}]


class EmbeddingsRequest(BaseModel):
    """One text, or several."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": _EXAMPLES})

    input: Annotated[str, Field(min_length=1)] | list[Text] = Field(
        description="One text, or several; lists of token numbers are not taken."
    )
    model: str | None = Field(None, description="Name of the model, as /v1/models lists it; may be left out.")
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="float: a list of numbers. base64: the bytes of little-endian float32 numbers."
    )
    dimensions: int | None = Field(
        None, ge=1, description="How many numbers a vector has; only what the model has is taken."
    )
    user: str | None = Field(None, description="Taken and not used.")


class Embedding(BaseModel):
    """The vector of one text."""

    object: Literal["embedding"] = "embedding"
    index: int = Field(description="Which of the texts, from 0.")
    embedding: list[float] | str = Field(description="A vector of length 1, or its bytes in base64.")


class EmbeddingUsage(BaseModel):
    """Counted tokens."""

    prompt_tokens: int = Field(description="Of all texts, before long ones are cut.")
    total_tokens: int = Field(description="The same.")


class EmbeddingsAnswer(BaseModel):
    """The vectors, in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


async def embeddings(live: Live, config: ServeConfig, body: EmbeddingsRequest) -> Response:
    """Answer /v1/embeddings."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not texts or "" in texts:
        raise ApiError(400, "invalid_request", "input has no text, or an empty one.", "input")
    check_texts(texts, config, "input")
    with live.use() as served:
        check_task(served, "embed")
        have = served.form.dimensions
        if body.dimensions is not None and body.dimensions != have:
            message = f"dimensions is {body.dimensions}; the vectors of {served.name!r} have {have} numbers."
            raise ApiError(400, "invalid_request", message, "dimensions")
        rows = await served.batcher.predict(texts)
        tokens = sum(served.texts.count(text) for text in texts)
    encode = _ENCODINGS[body.encoding_format]
    data = [{"object": "embedding", "index": index, "embedding": encode(row)} for index, row in enumerate(rows)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": served.name, "usage": usage})


def _as_base64(row: np.ndarray) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")


def _as_numbers(row: np.ndarray) -> Any:
    return row.tolist()


_ENCODINGS = {"float": _as_numbers, "base64": _as_base64}
