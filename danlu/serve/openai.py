"""Text generation in OpenAI's wire form: whole answers, and streams of server-sent events."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from danlu.serve.checks import check_task
from danlu.serve.config import ServeConfig
from danlu.serve.errors import ApiError, from_exception
from danlu.serve.forms import ChatRequest, CompletionRequest, GenerateRequest
from danlu.serve.generation import Generation
from danlu.serve.live import Live, Served

_DEFAULT_TOKENS = 128
_CLIENT_GONE = 499  # never seen by anyone; the status that proxies log for a client that left


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How one of the two endpoints spells its answers.

    `opening`: the choice of the first event; None where there is none. `piece` and `whole` make a choice of text.
    """

    prefix: str
    object: str
    chunk_object: str
    opening: dict[str, Any] | None
    piece: Callable[[str], dict[str, Any]]
    whole: Callable[[str], dict[str, Any]]


COMPLETION = Wire(
    prefix="cmpl",
    object="text_completion",
    chunk_object="text_completion",
    opening=None,
    piece=lambda text: {"text": text},
    whole=lambda text: {"text": text},
)
CHAT = Wire(
    prefix="chatcmpl",
    object="chat.completion",
    chunk_object="chat.completion.chunk",
    opening={"delta": {"role": "assistant", "content": ""}},
    piece=lambda text: {"delta": {"content": text} if text else {}},
    whole=lambda text: {"message": {"role": "assistant", "content": text}},
)


@dataclass(kw_only=True)
class Answer:
    """One request under way."""

    wire: Wire
    request: GenerateRequest
    served: Served
    prompt: str
    generation: Generation
    id: str
    created: int

    def frame(self, object_: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": object_,
            "created": self.created,
            "model": self.served.name,
            "choices": choices,
            **more,
        }

    def choice(self, body: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {"index": 0, **body, "logprobs": None, "finish_reason": reason}

    @property
    def reason(self) -> str | None:
        return None if self.generation.ending is None else self.generation.ending.reason

    def usage(self) -> dict[str, int]:
        prompt = self.served.texts.count(self.prompt)
        written = 0 if self.generation.ending is None else self.generation.ending.tokens
        return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


async def completions(live: Live, config: ServeConfig, request: Request, body: CompletionRequest) -> Response:
    """Answer /v1/completions."""
    return await _answer(live, config, request, body, COMPLETION, lambda _: (body.prompt, False), body.max_tokens)


async def chat(live: Live, config: ServeConfig, request: Request, body: ChatRequest) -> Response:
    """Answer /v1/chat/completions."""
    messages = [{"role": message.role, "content": message.text} for message in body.messages]
    wanted = body.max_completion_tokens or body.max_tokens

    def prompt(served: Served) -> tuple[str, bool]:
        return served.texts.prompt(messages), served.texts.written

    return await _answer(live, config, request, body, CHAT, prompt, wanted)


async def _answer(
    live: Live,
    config: ServeConfig,
    request: Request,
    body: GenerateRequest,
    wire: Wire,
    make_prompt: Callable[[Served], tuple[str, bool]],
    wanted: int | None,
) -> Response:
    served, leave = live.enter()
    generation: Generation | None = None
    try:
        check_task(served, "generate")
        prompt, written = make_prompt(served)
        if len(prompt) > config.max_characters:
            raise ApiError(
                400, "text_too_long", f"The prompt has {len(prompt):,} characters; at most {config.max_characters:,}."
            )
        if wanted is not None and wanted > config.max_new_tokens:
            message = f"max_tokens is {wanted}; this server writes at most {config.max_new_tokens}."
            raise ApiError(400, "invalid_request", message, "max_tokens")
        generation = served.generate(
            prompt,
            leave,
            max_new_tokens=wanted or min(_DEFAULT_TOKENS, config.max_new_tokens),
            temperature=body.temperature,
            top_p=body.top_p,
            seed=secrets.randbits(32) if body.seed is None else body.seed,
            stop=body.stops,
            written=written,
        )
        await generation.begin()
        answer = Answer(
            wire=wire,
            request=body,
            served=served,
            prompt=prompt,
            generation=generation,
            id=f"{wire.prefix}-{secrets.token_hex(12)}",
            created=int(time.time()),
        )
        if body.stream:
            return _EventStream(_events(answer), generation)
        whole = await _whole(answer, request)
        generation.close()
        return whole
    except BaseException:
        if generation is None:
            leave()
        else:
            generation.close()
        raise


async def _whole(answer: Answer, request: Request) -> Response:
    """The whole text at once; stops writing when the client leaves."""
    pieces = []
    async for piece in answer.generation.pieces():
        pieces.append(piece)
        if await request.is_disconnected():
            return Response(status_code=_CLIENT_GONE)
    choice = answer.choice(answer.wire.whole("".join(pieces)), answer.reason)
    return JSONResponse(answer.frame(answer.wire.object, [choice], usage=answer.usage()))


async def _events(answer: Answer) -> AsyncIterator[str]:
    """The text as server-sent events, the last one `[DONE]`; an error becomes an event, since 200 is already said."""
    wire = answer.wire
    try:
        if wire.opening is not None:
            yield _event(answer.frame(wire.chunk_object, [answer.choice(wire.opening)]))
        async for piece in answer.generation.pieces():
            yield _event(answer.frame(wire.chunk_object, [answer.choice(wire.piece(piece))]))
    except Exception as error:
        yield _event(from_exception(error).body())
        return
    yield _event(answer.frame(wire.chunk_object, [answer.choice(wire.piece(""), answer.reason)]))
    if answer.request.stream_options is not None and answer.request.stream_options.include_usage:
        yield _event(answer.frame(wire.chunk_object, [], usage=answer.usage()))
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


class _EventStream(StreamingResponse):
    """Ends the generation when the stream ends, for whatever reason: read to its end, or the client left."""

    def __init__(self, events: AsyncIterator[str], generation: Generation) -> None:
        # Proxies must not hold pieces back.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._generation = generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._generation.close()
