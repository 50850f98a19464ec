"""What every request passes before the application sees it: the key, and the size of its body.

The key is checked before the body is read. The body is counted as it comes in, since a client may send more than
its Content-Length says, or none; it is held in memory whole, which the limit makes safe.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from danlu.serve.errors import ApiError
from danlu.serve.keys import Keys

_GUARDED = "/v1/"
_BODY_SECONDS = 30.0


class Door:
    """ASGI middleware. `keys` None lets everyone in."""

    def __init__(self, app: ASGIApp, *, keys: Keys | None, max_body_bytes: int) -> None:
        self._app = app
        self._keys = keys
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            if scope["path"].startswith(_GUARDED):
                self._check_key(headers)
            body = await self._read_body(headers, receive)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send)

    def _check_key(self, headers: Headers) -> None:
        if self._keys is None:
            return
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._keys.accepts(key.strip().encode("utf-8", "surrogateescape")):
            raise ApiError(
                401,
                "invalid_api_key",
                "A valid API key is needed, as the header 'Authorization: Bearer KEY'. It was shown when the server "
                "first started.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _read_body(self, headers: Headers, receive: Receive) -> bytes | None:
        """The whole body; None when the client left."""
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_body_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    part = message.get("body", b"")
                    size += len(part)
                    if size > self._max_body_bytes:
                        raise self._too_large()
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise ApiError(
                408, "body_too_slow", f"The body did not come within {_BODY_SECONDS:.0f} s.", headers=_CLOSE
            ) from None

    def _too_large(self) -> ApiError:
        message = f"The body is larger than {self._max_body_bytes:,} bytes; send fewer or shorter texts a request."
        return ApiError(413, "body_too_large", message, headers=_CLOSE)


#: What is left of a refused body must not be taken for the next request.
_CLOSE = {"Connection": "close"}


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands over `body` once, and then what the server says (that the client left)."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
