"""An application under test and a client that talks to it without a socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx

from danlu.core.store import Workspace
from danlu.release.registry import Registry
from danlu.serve.app import create_app
from danlu.serve.config import ServeConfig
from danlu.serve.keys import Keys
from danlu.serve.live import Live


@contextlib.asynccontextmanager
async def opened(
    workspace: Workspace,
    name: str = "toy",
    *,
    keys: Keys | None = None,
    wanted: str = "champion",
    poll_seconds: float = 0.02,
    **settings: Any,
) -> AsyncIterator[tuple[httpx.AsyncClient, Live]]:
    """A client of the application, and the model it serves."""
    config = ServeConfig(**settings)
    live = Live(Registry(workspace, name), config, wanted=wanted, poll_seconds=poll_seconds)
    app = create_app(live, config, keys)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client, live


def asynchronous(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test that is a coroutine function."""
    import functools

    @functools.wraps(test)
    def run(*arguments: Any, **keywords: Any) -> None:
        asyncio.run(test(*arguments, **keywords))  # type: ignore[arg-type]

    return run
