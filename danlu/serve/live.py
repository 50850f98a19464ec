"""The model that answers now, and how the next one takes its place without a failed request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from danlu.core.errors import ModelError, UserError
from danlu.engines.base import Engine
from danlu.engines.table import load as load_engine
from danlu.release.registry import ALIASES, Registry, Version, verify
from danlu.serve.batcher import Batcher
from danlu.serve.config import ServeConfig
from danlu.serve.errors import Overloaded
from danlu.serve.generation import Generation
from danlu.serve.text import Texts

log = logging.getLogger("danlu.serve")

Load = Callable[[Path], Engine]
_POLL_SECONDS = 1.0
_RETRY_SECONDS = 30.0
_WARM_UP_TEXT = "A short text to warm up with."


class Served:
    """One loaded version. Its engine is loaded, used and closed in a thread of its own, one call at a time."""

    def __init__(self, version: Version, name: str, config: ServeConfig, load: Load) -> None:
        self.version = version
        self.name = name
        self.users = 0
        self.retired = False
        self._config = config
        self._streams = 0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"engine-{version.number}")
        try:
            self.engine: Engine = self._executor.submit(_load_warm, load, version.folder / "form").result()
            self.texts = Texts(version.folder / "form")
        except BaseException:
            self._executor.shutdown(wait=False)
            raise
        self.form = self.engine.form
        self.batcher = Batcher(self.engine, self._executor, max_batch=config.max_batch, max_waiting=config.max_waiting)

    def generate(self, prompt: str, on_close: Callable[[], None], **options: Any) -> Generation:
        """A generation that has not begun; `on_close` is called when it ends. Raises `Overloaded`."""
        if self._streams >= self._config.max_streams:
            raise Overloaded(f"{self._streams} texts are being written", 5)
        self._streams += 1

        def ended() -> None:
            self._streams -= 1
            on_close()

        return Generation(partial(self.engine.generate, prompt, **options), self._executor, ended)

    def close(self) -> None:
        """Free the engine once what it is doing is done; blocks."""
        self._executor.submit(self.engine.close).result()
        self._executor.shutdown()


class Live:
    """Holds the version that answers; follows the alias when it moves.

    `wanted` is "champion", "candidate" or a number; a number is pinned and never changes. The constructor loads
    the model and blocks; it raises `UserError` when there is none, it cannot be loaded, or its files are not those
    that were tested. While a new version loads, both are in memory.
    """

    def __init__(
        self,
        registry: Registry,
        config: ServeConfig,
        *,
        wanted: str = "champion",
        load: Load = load_engine,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        self._registry = registry
        self._config = config
        self._wanted = wanted
        self._load = load
        self._poll_seconds = poll_seconds
        self._mark = registry.mark(wanted)
        self._closing: set[asyncio.Task[None]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._retry_at: float | None = None
        #: Why the version that the alias points at is not the one that answers; None while it is. It may name
        #: files of this machine: for the log and its people, not for clients.
        self.problem: str | None = None
        self.current = self._make(registry.resolve(wanted))

    @property
    def name(self) -> str:
        return self._registry.name

    def _make(self, version: Version) -> Served:
        verify(version)
        return Served(version, self._registry.name, self._config, self._load)

    @contextlib.contextmanager
    def use(self) -> Iterator[Served]:
        """The version that answers now; it is not closed before the block is left."""
        served, leave = self.enter()
        try:
            yield served
        finally:
            leave()

    def enter(self) -> tuple[Served, Callable[[], None]]:
        """`use` for what outlives a block: the version, and what to call when done with it."""
        served = self.current
        served.users += 1

        def leave() -> None:
            served.users -= 1
            self._close_if_done(served)

        return served, leave

    def start(self) -> None:
        """Begin to follow the alias; call it inside the event loop."""
        if self._wanted in ALIASES:
            self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop following, and free every model."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await asyncio.gather(*self._closing)
        await asyncio.to_thread(self.current.close)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            mark = await asyncio.to_thread(self._registry.mark, self._wanted)
            due = self._retry_at is not None and time.monotonic() >= self._retry_at
            if mark != self._mark or due:
                self._mark = mark
                await self.refresh()

    async def refresh(self) -> None:
        """Make what the alias points at answer. Where that fails the old version goes on, and `problem` says why."""
        self._retry_at = None
        try:
            version = await asyncio.to_thread(self._registry.resolve, self._wanted)
            if version.fingerprint != self.current.version.fingerprint:
                await self._swap(version)
            self.problem = None
        except Exception as error:
            known = isinstance(error, UserError)
            said = str(error) if known else f"{type(error).__name__} (the log says more)"
            self.problem = f"The {self._wanted} cannot be loaded; version {self.current.version.number} goes on: {said}"
            log.error(self.problem, exc_info=None if known else error)
            self._retry_at = time.monotonic() + _RETRY_SECONDS

    async def _swap(self, version: Version) -> None:
        log.info("Loading version %d of %s.", version.number, self.name)
        started = time.monotonic()
        made = await asyncio.to_thread(self._make, version)
        old, self.current = self.current, made
        old.retired = True
        log.info("Version %d of %s answers now (%.1f s).", version.number, self.name, time.monotonic() - started)
        self._close_if_done(old)

    def _close_if_done(self, served: Served) -> None:
        if served.retired and served.users == 0:
            task = asyncio.create_task(asyncio.to_thread(served.close))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _load_warm(load: Load, folder: Path) -> Engine:
    """The engine for `folder` after one answer, so that no client waits for what only the first answer needs.

    Raises `ModelError` when that answer makes no sense.
    """
    engine = load(folder)
    try:
        _WARM_UPS[engine.form.task](engine)
    except BaseException:
        engine.close()
        raise
    return engine


def _warm_predict(engine: Engine) -> None:
    rows = engine.predict([engine.form.takes.example(_WARM_UP_TEXT)])
    expected = (1, engine.form.answers)
    sensible = rows.shape == expected and bool(np.isfinite(rows).all())
    if not sensible or not all(_IS_ANSWER[part.task](rows[:, here]) for _, here, part in engine.form.parts):
        raise ModelError(f"The model's first answer makes no sense: {rows.tolist()}, {expected} expected.")


#: Whether finite numbers [1, K] may be an answer of a model for this task.
_IS_ANSWER: dict[str, Callable[[np.ndarray], bool]] = {
    "classify": lambda rows: math.isclose(float(rows.sum()), 1.0, abs_tol=1e-3),
    "tag": lambda rows: bool((rows >= 0.0).all() and (rows <= 1.0).all()),
    "regress": lambda _: True,
}


def _warm_generate(engine: Engine) -> None:
    for _piece in engine.generate(_WARM_UP_TEXT, max_new_tokens=2, temperature=0.0, top_p=1.0, seed=0, stop=()):
        pass


def _warm_embed(engine: Engine) -> None:
    rows = engine.embed([_WARM_UP_TEXT])
    length = float(np.linalg.norm(rows))
    if rows.shape != (1, engine.form.dimensions) or not math.isclose(length, 1.0, abs_tol=1e-3):
        raise ModelError(f"The model's first answer is no vector of length 1: it has {rows.shape}, length {length:g}.")


def _warm_fill(engine: Engine) -> None:
    (filled,) = engine.fill([engine.gap()])
    if len(filled.masks) != 1 or not filled.masks[0]:
        raise ModelError(f"The model's first answer makes no sense: it fills one gap with {filled.masks!r}.")


_WARM_UPS: dict[str, Callable[[Engine], None]] = {
    **dict.fromkeys((*_IS_ANSWER, "multitask"), _warm_predict),
    "generate": _warm_generate,
    "embed": _warm_embed,
    "fill": _warm_fill,
}
