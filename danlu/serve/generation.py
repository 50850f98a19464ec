"""A text that is being written, piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Executor

from danlu.engines.base import Ending

Pieces = Generator[str, None, Ending]


class Generation:
    """The pieces of one text, each asked for in `executor`.

    Asking piece by piece lets several texts take turns on one engine, and lets a text be stopped between two
    pieces when nobody reads it any more. `close` must be called at the end; `on_close` is called then, once.
    """

    def __init__(self, start: Callable[[], Pieces], executor: Executor, on_close: Callable[[], None]) -> None:
        self._start = start
        self._executor = executor
        self._on_close = on_close
        self._pieces: Pieces | None = None
        self._first: str | None = None
        self._closed = False
        #: How the text ended; None while it is being written, and when it was stopped.
        self.ending: Ending | None = None

    async def begin(self) -> None:
        """Compute the first piece, so that what is wrong with the request is known before the answer starts."""
        self._first = await self._next()

    async def pieces(self) -> AsyncIterator[str]:
        """Every piece, from the first on."""
        piece = self._first
        while piece is not None:
            yield piece
            piece = await self._next()

    async def _next(self) -> str | None:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._step)

    def _step(self) -> str | None:
        if self._closed:
            return None
        if self._pieces is None:
            self._pieces = self._start()
        try:
            return next(self._pieces)
        except StopIteration as end:
            self.ending = end.value
            return None

    def close(self) -> None:
        """Stop. Safe to call twice, and while a piece is being computed: the engine ends after it."""
        if self._closed:
            return
        self._closed = True
        self._executor.submit(self._end)
        self._on_close()

    def _end(self) -> None:
        if self._pieces is not None:
            self._pieces.close()
