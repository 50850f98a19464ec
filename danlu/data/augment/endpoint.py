"""A language model behind an OpenAI-compatible endpoint, asked many things at a time, and never twice the same.

Every answer is kept on disk under the hash of what was asked, so that a rerun, or a run after a crash, pays only for
what it does not know yet.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from danlu.core.errors import DataError, UserError
from danlu.core.lazy import need
from danlu.data.augment.config import EndpointConfig


class Generator(Protocol):
    """What writes texts: one answer for each prompt, the same answer for the same prompt and seed as far as it can.

    An empty answer means that there is none.
    """

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> Sequence[str]: ...


#: Answers that may be another the next time: timeouts, rate limits, and a server that is down or starting.
_MAY_PASS = frozenset((408, 409, 425, 429, 500, 502, 503, 504))
_HINTS = {
    401: "Check the key in the environment variable that endpoint.api_key_env names.",
    403: "Check the key in the environment variable that endpoint.api_key_env names, and what it may do.",
    404: "Check endpoint.base_url and endpoint.model.",
    429: "The endpoint limits how much it answers; lower endpoint.concurrency, or raise endpoint.retries.",
}
#: Seconds before the first new try; each next one waits twice as long.
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0

#: What a model thought before it answered, as open reasoning models write it.
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


class Endpoint:
    """A `Generator` over HTTP. Use it as a context manager, or close it."""

    def __init__(self, config: EndpointConfig, cache: Path, environment: Mapping[str, str] | None = None) -> None:
        """`cache` is a folder for the answers; it is made when the first one comes.

        Raises `UserError` when the variable for the key is not set, `MissingDependency` without httpx.
        """
        httpx = need("httpx", extra="augment")
        headers = {}
        if config.api_key_env is not None:
            key = (os.environ if environment is None else environment).get(config.api_key_env, "").strip()
            if not key:
                raise UserError(
                    f"The environment variable {config.api_key_env}, which endpoint.api_key_env names, is not set. Set "
                    f"it to the endpoint's key: export {config.api_key_env}=..."
                )
            headers["Authorization"] = f"Bearer {key}"
        self._config = config
        self._cache = cache
        self._client = httpx.Client(base_url=config.base_url, headers=headers, timeout=config.timeout)
        self._broken: type[Exception] = httpx.TransportError
        #: How many answers were paid for, not read from disk.
        self.asked = 0

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """One answer for each prompt; an empty one where the model said nothing or was cut off by `max_tokens`.

        Raises `UserError` when the endpoint refuses or cannot be reached; answers that came before are kept.
        """
        asked = dict.fromkeys(zip(prompts, seeds, strict=True))
        pool = ThreadPoolExecutor(self._config.concurrency)
        stop = threading.Event()

        answers = {question: pool.submit(self._answer, *question, stop) for question in asked}
        try:
            # In the order they end in: a failure is seen at once, whoever else still waits for another try.
            for ended in as_completed(answers.values()):
                ended.result()
        finally:
            # After an error, what has not been asked yet shall not be, and no one waits for another try.
            stop.set()
            pool.shutdown(cancel_futures=True)
        return [answers[question].result() for question in zip(prompts, seeds, strict=True)]

    def _answer(self, prompt: str, seed: int, stop: threading.Event) -> str:
        body = {
            "model": self._config.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self._config.temperature,
            "max_tokens": self._config.max_tokens,
            "seed": seed,
        }
        asked = json.dumps([self._config.base_url, body], sort_keys=True, ensure_ascii=False)
        name = hashlib.sha256(asked.encode()).hexdigest()
        path = self._cache / name[:2] / f"{name}.json"
        known = _read(path)
        if known is None:
            known = self._ask(body, stop)
            self.asked += 1
            _write(path, known)
        return known

    def _ask(self, body: dict[str, Any], stop: threading.Event) -> str:
        for tried in range(self._config.retries + 1):
            last = tried == self._config.retries
            wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2**tried)
            try:
                response = self._client.post("/chat/completions", json=body)
            except self._broken as error:
                if last:
                    raise UserError(
                        f"The endpoint {self._config.base_url} cannot be reached after {tried + 1} tries: "
                        f"{error or type(error).__name__}. Check endpoint.base_url, and that the server runs; the same "
                        "command goes on from the answers that came."
                    ) from error
            else:
                if response.is_success:
                    return _answer_in(response)
                if response.status_code not in _MAY_PASS or last:
                    raise self._refused(response, tried + 1)
                wait = _asked_to_wait(response.headers.get("Retry-After"), wait)
            if stop.wait(wait):
                break
        # Nobody sees this one: it is what stopped the others that is told.
        raise UserError("Stopped, because another question to the endpoint failed.")

    def _refused(self, response: Any, tries: int) -> UserError:
        hint = _HINTS.get(response.status_code, "Its answer says why; check the endpoint section of the recipe.")
        said = " ".join(response.text.split())[:200] or "nothing"
        return UserError(
            f"The endpoint {self._config.base_url} refused with status {response.status_code} after {tries} "
            f"{'try' if tries == 1 else 'tries'} and said: {said}. {hint}"
        )


def _asked_to_wait(header: str | None, otherwise: float) -> float:
    """Seconds that the server asks to wait (RFC 9110, section 10.2.3; as a number), within reason."""
    try:
        return min(_LONGEST_WAIT, max(0.0, float(header or "")))
    except ValueError:
        return otherwise


def _answer_in(response: Any) -> str:
    """The text of a chat completion; empty where the model did not come to an end."""
    try:
        choice = response.json()["choices"][0]
        content = choice["message"]["content"]
        if choice.get("finish_reason") == "length" or content is None:
            return ""
        return _THOUGHT.sub("", str(content)).strip()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"The endpoint's answer is no chat completion: {response.text[:200]!r} came; expected choices[0].message."
            "content. Check that endpoint.base_url is OpenAI-compatible."
        ) from error


def _read(path: Path) -> str | None:
    """A kept answer; none where there is no file, or one that a crash cut off."""
    try:
        answer = json.loads(path.read_text("utf-8"))["answer"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return answer if isinstance(answer, str) else None


def _write(path: Path, answer: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    unfinished.write_text(json.dumps({"answer": answer}, ensure_ascii=False), encoding="utf-8")
    unfinished.replace(path)
