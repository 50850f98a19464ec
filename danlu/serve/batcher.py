"""Micro-batching without a wait timer.

While the engine is busy, texts of all requests gather; when it is free, it takes what waits, up to `max_batch`. So
an idle server answers at once, and a busy one fills its batches. A form whose answers depend on the batch is given
one text at a time: the answers are those that were evaluated.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from danlu.core.asked import Question
from danlu.engines.answers import ANSWERS
from danlu.engines.base import Engine
from danlu.serve.errors import Overloaded

_LONGEST_WAIT_SECONDS = 60
_SMOOTHING = 0.2

#: What an engine is asked for a batch of questions, by task: one row each.
_ASKED: dict[str, Callable[[Engine, Sequence[Any]], Sequence[Any] | np.ndarray]] = {
    **dict.fromkeys(ANSWERS, lambda engine, asked: engine.predict(asked)),
    "embed": lambda engine, texts: engine.embed(texts),
    "fill": lambda engine, texts: engine.fill(texts),
}

#: A question, and where its answer goes: one row of what `Engine.predict` answers [K], a vector [D], or a `Filled`.
_Waiting = tuple[Question, "asyncio.Future[Any]"]


class Batcher:
    """Answers texts with one engine, whose calls run in `executor`, so that the event loop stays free.

    Bound to the event loop that `predict` is first called in.
    """

    def __init__(self, engine: Engine, executor: Executor, *, max_batch: int, max_waiting: int) -> None:
        self._engine = engine
        self._executor = executor
        self._max_batch = max_batch if engine.form.batch_invariant else 1
        self._max_waiting = max_waiting
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._seconds_per_text = 0.01

    async def predict(self, texts: Sequence[Question]) -> list[Any]:
        """What `Engine.predict` answers [K], a vector [D], or a `Filled`, for each text or question.

        Raises `Overloaded` when too many texts wait already.
        """
        if len(self._waiting) + len(texts) > self._max_waiting:
            raise Overloaded(f"{len(self._waiting)} texts are waiting", self._seconds_to_wait())
        loop = asyncio.get_running_loop()
        answers = [loop.create_future() for _ in texts]
        self._waiting.extend(zip(texts, answers, strict=True))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return list(await asyncio.gather(*answers))

    def _seconds_to_wait(self) -> int:
        return min(max(1, math.ceil(len(self._waiting) * self._seconds_per_text)), _LONGEST_WAIT_SECONDS)

    async def _work(self) -> None:
        while batch := self._take():
            started = time.monotonic()
            await self._answer(batch)
            seconds = (time.monotonic() - started) / len(batch)
            self._seconds_per_text += _SMOOTHING * (seconds - self._seconds_per_text)

    async def _answer(self, batch: list[_Waiting]) -> None:
        """Answer every text of `batch`. When the engine fails on several, each is asked again alone.

        So a text that the engine cannot take fails its own request, and not those it happened to wait with.
        """
        loop = asyncio.get_running_loop()
        try:
            ask = _ASKED[self._engine.form.task]
            rows = await loop.run_in_executor(self._executor, ask, self._engine, [text for text, _ in batch])
            answered = list(zip(batch, rows, strict=True))  # before the first answer goes out: all rows, or none
        except Exception as error:
            if len(batch) > 1:
                for one in batch:
                    await self._answer([one])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, answer), row in answered:
            if not answer.done():
                answer.set_result(row)

    def _take(self) -> list[_Waiting]:
        """What waits, up to `max_batch`, without what nobody waits for any more."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._max_batch:
            text, answer = self._waiting.popleft()
            if not answer.done():
                batch.append((text, answer))
        return batch
