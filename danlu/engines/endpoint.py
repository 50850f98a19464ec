"""A chat model behind an OpenAI-compatible endpoint, asked many things at a time, and never twice the same.

Every answer is kept on disk under the hash of what was asked, so that a rerun, or a run after a crash, pays only for
what it does not know yet.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

from danlu.core.errors import BudgetReached, DataError, UserError
from danlu.core.lazy import need

#: What is asked: `messages`, `max_tokens`, and what else the endpoint takes, but for the model's name.
Body = Mapping[str, Any]

#: Answers that may be another the next time: timeouts, rate limits, and a server that is down or starting.
_MAY_PASS = frozenset((408, 409, 425, 429, 500, 502, 503, 504))
#: status -> what to do, in the caller's names of its settings.
_HINTS = {
    401: "Check the key in {key}.",
    403: "Check the key in {key}, and what it may do.",
    404: "Check {base_url} and {model}.",
    429: "The endpoint limits how much it answers; lower {concurrency}, or raise {retries}.",
}
#: Seconds before the first new try; each next one waits twice as long.
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0

#: What a model thought before it answered, as open reasoning models write it.
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)

#: What newer models of OpenAI's call `max_tokens`, and refuse it otherwise.
_NEWER_NAME = "max_completion_tokens"


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where to ask, and how patiently.

    `base_url`: up to and without /chat/completions. `key`: sent as a bearer token; None where none is needed.
    `timeout`: seconds to wait for an answer. `retries`: new tries after a refusal that may pass. `settings`: how the
    caller names its settings, for messages; the keys are base_url, model, key, concurrency and retries.
    """

    base_url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    retries: int = 5
    concurrency: int = 4
    settings: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back.

    `answer`: the text, without what the model thought before; empty where it was cut off by `max_tokens`, which `cut`
    says. The tokens are those that the endpoint counted, None where it does not. `seconds`: of the request that was
    answered, sent to received, without earlier tries. `kept`: read from disk, where tokens and seconds are those of
    the day it was asked.
    """

    answer: str
    cut: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None
    kept: bool = False


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD for a million tokens, of what is asked (`prompt`) and of what is answered (`completion`)."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """In USD."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


class Purse:
    """What asking may cost in USD; the cap holds also with many requests under way.

    Before a request the most that it can cost is set aside: a token is at least a byte, and no more than `max_tokens`
    are written. A request that broke off may have been billed, and counts as if it were.
    """

    def __init__(self, price: Price, cap: float, setting: str) -> None:
        """`setting` is what the caller names the cap."""
        self._price = price
        self._cap = cap
        self._setting = setting
        self._aside = 0.0
        #: Requests under way: a sum of floats need not come back to 0.
        self._asking = 0
        self._changed = threading.Condition()
        #: USD so far, of answers that were not read from disk.
        self.spent = 0.0

    def set_aside(self, body: Body) -> float:
        """The most that `body` can cost. Raises `BudgetReached` where that would go beyond the cap."""
        asked = len(json.dumps(body["messages"], ensure_ascii=False).encode("utf-8", "replace"))
        most = self._price.of(asked, body["max_tokens"])
        with self._changed:
            # What others set aside mostly comes back.
            self._changed.wait_for(lambda: self.spent + self._aside + most <= self._cap or not self._asking)
            if self.spent + most > self._cap:
                raise BudgetReached(
                    f"The next answer might cost ${most:.4f}, and ${self.spent:.4f} of the ${self._cap:g} that "
                    f"{self._setting} allows are spent. The answers that came are kept: raise it, and the same command "
                    "goes on."
                )
            self._aside += most
            self._asking += 1
        return most

    def settle(self, most: float, cost: float) -> None:
        """What was set aside for a request comes back, less its cost."""
        with self._changed:
            self._asking -= 1
            self._aside = max(0.0, self._aside - most) if self._asking else 0.0
            self.spent += cost
            self._changed.notify_all()

    def cost_of(self, reply: Reply, most: float) -> float:
        """What an answer cost; the most that it can have where the endpoint does not count tokens."""
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            return most
        return self._price.of(reply.prompt_tokens, reply.completion_tokens)


class ChatEndpoint:
    """Asks over HTTP. Use it as a context manager, or close it."""

    def __init__(self, server: Server, cache: Path, purse: Purse | None = None) -> None:
        """`cache` is a folder for the answers; it is made when the first one comes.

        Raises `MissingDependency` without httpx.
        """
        httpx = need("httpx", extra="augment")
        headers = {} if server.key is None else {"Authorization": f"Bearer {server.key}"}
        self._server = server
        self._cache = cache
        self._purse = purse
        if server.key is not None and not (server.key.isascii() and server.key.isprintable()):
            raise UserError(
                f"The key in {server.settings['key']} has a line break, or another character that no key has. Set it "
                "anew."
            )
        self._client = httpx.Client(base_url=server.base_url, headers=headers, timeout=server.timeout)
        self._broken: type[Exception] = httpx.TransportError
        self._not_sent: type[Exception] = httpx.ConnectError
        self._newer_name = False
        #: How many answers were paid for, not read from disk.
        self.asked = 0

    def __enter__(self) -> ChatEndpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, bodies: Sequence[Body], advance: Callable[[int], None] | None = None) -> list[Reply]:
        """A reply for each body; equal ones are asked once. `advance(n)` is called after every `n` bodies.

        Raises `UserError` when the endpoint refuses or cannot be reached, `DataError` for an answer that is no chat
        completion, `BudgetReached` at the cap; answers that came before are kept.
        """
        names = [self._name_of(body) for body in bodies]
        many = Counter(names)
        pool = ThreadPoolExecutor(self._server.concurrency)
        stop = threading.Event()
        replies = {
            name: pool.submit(self._answer, name, body, stop)
            for name, body in dict(zip(names, bodies, strict=True)).items()
        }
        names_of = {future: name for name, future in replies.items()}
        try:
            # In the order they end in: a failure is seen at once, whoever else still waits for another try.
            for ended in as_completed(names_of):
                ended.result()
                if advance is not None:
                    advance(many[names_of[ended]])
        finally:
            # After an error, what has not been asked yet shall not be, and no one waits for another try.
            stop.set()
            pool.shutdown(cancel_futures=True)
        return [replies[name].result() for name in names]

    def _name_of(self, body: Body) -> str:
        asked = json.dumps([self._server.base_url, self._whole(body)], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()

    def _whole(self, body: Body) -> dict[str, Any]:
        return {"model": self._server.model, **body}

    def _answer(self, name: str, body: Body, stop: threading.Event) -> Reply:
        path = self._cache / name[:2] / f"{name}.json"
        known = _read(path)
        if known is not None:
            return known
        most = 0.0 if self._purse is None else self._purse.set_aside(body)
        cost = 0.0
        lost: list[Exception] = []
        try:
            reply = self._ask(self._whole(body), stop, lost)
            if self._purse is not None:
                cost = self._purse.cost_of(reply, most)
        finally:
            if self._purse is not None:
                self._purse.settle(most, cost + len(lost) * most)
        self.asked += 1
        _write(path, reply)
        return reply

    def _ask(self, body: dict[str, Any], stop: threading.Event, lost: list[Exception]) -> Reply:
        """The reply; tries that broke off after they were sent are noted in `lost`."""
        tried = 0
        settings = self._server.settings
        while not stop.is_set():
            last = tried >= self._server.retries
            wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2**tried)
            sent = self._spelt(body)
            began = perf_counter()
            try:
                response = self._client.post("/chat/completions", json=sent)
            except self._broken as error:
                if not isinstance(error, self._not_sent):
                    lost.append(error)
                if last:
                    raise UserError(
                        f"The endpoint {self._server.base_url} cannot be reached after {tried + 1} tries: "
                        f"{error or type(error).__name__}. Check {settings['base_url']}, and that the server runs; the "
                        "same command goes on from the answers that came."
                    ) from error
            else:
                if response.is_success:
                    return _reply_in(response, perf_counter() - began, settings["base_url"])
                # By what was sent: another request may have found out meanwhile.
                if response.status_code == 400 and "max_tokens" in sent and _NEWER_NAME in response.text:
                    self._newer_name = True
                    continue
                if response.status_code not in _MAY_PASS or last:
                    raise self._refused(response, tried + 1)
                wait = _asked_to_wait(response.headers.get("Retry-After"), wait)
            stop.wait(wait)
            tried += 1
        # Nobody sees this one: it is what stopped the others that is told.
        raise UserError("Stopped, because another question to the endpoint failed.")

    def _spelt(self, body: dict[str, Any]) -> dict[str, Any]:
        if not self._newer_name:
            return body
        return {_NEWER_NAME if name == "max_tokens" else name: value for name, value in body.items()}

    def _refused(self, response: Any, tries: int) -> UserError:
        hint = _HINTS.get(response.status_code, "Its answer says why; check {base_url} and {model}.")
        said = " ".join(response.text.split())[:200] or "nothing"
        return UserError(
            f"The endpoint {self._server.base_url} refused with status {response.status_code} after {tries} "
            f"{'try' if tries == 1 else 'tries'} and said: {said}. {hint.format_map(self._server.settings)}"
        )


def _asked_to_wait(header: str | None, otherwise: float) -> float:
    """Seconds that the server asks to wait (RFC 9110, section 10.2.3; as a number), within reason."""
    try:
        return min(_LONGEST_WAIT, max(0.0, float(header or "")))
    except ValueError:
        return otherwise


def _reply_in(response: Any, seconds: float, base_url: str) -> Reply:
    """What a chat completion says. Raises `DataError` where it is none."""
    try:
        whole = response.json()
        choice = whole["choices"][0]
        content = choice["message"]["content"]
        cut = choice.get("finish_reason") == "length"
        usage = whole.get("usage") or {}
        return Reply(
            answer="" if cut or content is None else _THOUGHT.sub("", str(content)).strip(),
            cut=cut,
            prompt_tokens=_tokens(usage.get("prompt_tokens")),
            completion_tokens=_tokens(usage.get("completion_tokens")),
            seconds=seconds,
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"The endpoint's answer is no chat completion: {response.text[:200]!r} came; expected choices[0].message."
            f"content. Check that {base_url} is OpenAI-compatible."
        ) from error


def _tokens(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _read(path: Path) -> Reply | None:
    """A kept reply; none where there is no file, or one that a crash cut off."""
    try:
        kept = json.loads(path.read_text("utf-8"))
        # Replies kept by earlier versions hold the answer alone.
        return Reply(**kept, kept=True) if isinstance(kept["answer"], str) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _write(path: Path, reply: Reply) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    kept = {name: value for name, value in asdict(reply).items() if name != "kept"}
    unfinished.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    unfinished.replace(path)
