"""A language model behind an OpenAI-compatible endpoint as a writer of rows; see `danlu.engines.endpoint`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from danlu.core.errors import UserError
from danlu.data.augment.config import EndpointConfig
from danlu.engines.endpoint import ChatEndpoint, Server


class Generator(Protocol):
    """What writes texts: one answer for each prompt, the same answer for the same prompt and seed as far as it can.

    An empty answer means that there is none.
    """

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> Sequence[str]: ...


_SETTINGS = {
    "base_url": "endpoint.base_url",
    "model": "endpoint.model",
    "key": "the environment variable that endpoint.api_key_env names",
    "concurrency": "endpoint.concurrency",
    "retries": "endpoint.retries",
}


class Endpoint:
    """A `Generator` over HTTP. Use it as a context manager, or close it."""

    def __init__(self, config: EndpointConfig, cache: Path, environment: Mapping[str, str] | None = None) -> None:
        """`cache` is a folder for the answers; it is made when the first one comes.

        Raises `UserError` when the variable for the key is not set, `MissingDependency` without httpx.
        """
        server = server_of(config, _SETTINGS, environment)
        self._config = config
        self._endpoint = ChatEndpoint(server, cache)

    @property
    def asked(self) -> int:
        """How many answers were paid for, not read from disk."""
        return self._endpoint.asked

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._endpoint.close()

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """One answer for each prompt; an empty one where the model said nothing or was cut off by `max_tokens`.

        Raises `UserError` when the endpoint refuses or cannot be reached; answers that came before are kept.
        """
        bodies = [
            {
                "messages": [{"role": "user", "content": prompt}],
                "temperature": self._config.temperature,
                "max_tokens": self._config.max_tokens,
                "seed": seed,
            }
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        return [reply.answer for reply in self._endpoint.ask(bodies)]


def server_of(
    config: EndpointConfig, settings: Mapping[str, str], environment: Mapping[str, str] | None = None
) -> Server:
    """Where to ask by a section of the recipe; `settings` are the names of its fields in messages.

    Raises `UserError` when the variable for the key is not set.
    """
    key = None
    if config.api_key_env is not None:
        key = (os.environ if environment is None else environment).get(config.api_key_env, "").strip()
        if not key:
            named = settings["key"].removeprefix("the environment variable that ").removesuffix(" names")
            raise UserError(
                f"The environment variable {config.api_key_env}, which {named} names, is not set. Set it to the "
                f"endpoint's key: export {config.api_key_env}=..."
            )
    return Server(
        base_url=config.base_url,
        model=config.model,
        key=key,
        timeout=config.timeout,
        retries=config.retries,
        concurrency=config.concurrency,
        settings=settings,
    )
