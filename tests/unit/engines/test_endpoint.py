"""Asking a chat endpoint, over real HTTP: what is counted, what is kept, and the cap. Retries: data/augment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu.core.errors import BudgetReached, UserError
from danlu.core.urls import endpoint_address
from danlu.engines.endpoint import ChatEndpoint, Price, Purse, Server
from tests.unit.engines.chat_server import ChatServer, chat_server

SETTINGS = {
    "base_url": "the address",
    "model": "the model",
    "key": "KEY",
    "concurrency": "--concurrency",
    "retries": "--retries",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with chat_server(lambda body: (f"<think>well</think> {body['messages'][0]['content']}", "stop")) as made:
        yield made


def asking(server: ChatServer, **more: Any) -> Server:
    return Server(base_url=server.url, model="m", settings=SETTINGS, **more)


def body(text: str, most: int = 8) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": most}


def test_replies_have_tokens_and_seconds_and_are_asked_once(server: ChatServer, tmp_path: Path) -> None:
    bodies = [body("one two"), body("three"), body("one two")]
    moved: list[int] = []
    with ChatEndpoint(asking(server, key="sk-1"), tmp_path) as endpoint:
        replies = endpoint.ask(bodies, moved.append)
        again = endpoint.ask(bodies)
    assert [reply.answer for reply in replies] == ["one two", "three", "one two"]
    assert (replies[0].prompt_tokens, replies[0].completion_tokens, replies[0].kept) == (2, 3, False)
    assert replies[0].seconds is not None and 0 < replies[0].seconds < 60
    assert sorted(moved) == [1, 2]
    assert [reply.kept for reply in again] == [True] * 3
    assert again[1].seconds == replies[1].seconds
    assert len(server.requests) == endpoint.asked == 2
    assert set(server.keys) == {"Bearer sk-1"}
    assert "sk-1" not in repr(asking(server, key="sk-1"))


def test_an_answer_that_was_cut_off_is_none(server: ChatServer, tmp_path: Path) -> None:
    server.rule = lambda _: ("on and on", "length")
    with ChatEndpoint(asking(server), tmp_path) as endpoint:
        (reply,) = endpoint.ask([body("a")])
    assert (reply.answer, reply.cut, reply.completion_tokens) == ("", True, 3)


def test_a_reply_kept_by_an_earlier_version_is_read(server: ChatServer, tmp_path: Path) -> None:
    with ChatEndpoint(asking(server), tmp_path) as endpoint:
        endpoint.ask([body("a")])
        (kept,) = tmp_path.rglob("*.json")
        kept.write_text('{"answer": "as before"}')
        (reply,) = endpoint.ask([body("a")])
    assert (reply.answer, reply.prompt_tokens, reply.seconds, reply.kept) == ("as before", None, None, True)


def test_the_cap_is_never_passed_and_the_same_call_goes_on(server: ChatServer, tmp_path: Path) -> None:
    # A body costs 3 USD, and may cost some 50: 8 for its answer, and a byte of its message each.
    price = Price(prompt=1e6, completion=1e6)
    bodies = [body(f"word{number}") for number in range(12)]
    purse = Purse(price, 70.0, "--max-usd")
    with (
        ChatEndpoint(asking(server, concurrency=3), tmp_path, purse) as endpoint,
        pytest.raises(BudgetReached, match=r"\$70 that --max-usd allows are spent.*kept: raise it"),
    ):
        endpoint.ask(bodies)
    asked = len(server.requests)
    assert 0 < asked < 12
    assert 0 < purse.spent <= 70
    assert purse.spent == 3 * asked  # one word asked, two answered
    with ChatEndpoint(asking(server), tmp_path, Purse(price, 1000.0, "--max-usd")) as endpoint:
        assert len(endpoint.ask(bodies)) == 12
    assert len(server.requests) == 12


def test_a_cap_in_fractions_ends_too() -> None:
    """0.1 + 0.2 - 0.1 - 0.2 is above 0 in floats: what was set aside and came back must not be waited for."""
    purse = Purse(Price(prompt=0.0, completion=0.1e6), 1.0, "--max-usd")
    for most in [purse.set_aside(body("a", tokens)) for tokens in (1, 2)]:
        purse.settle(most, 0.0)
    ended: list[bool] = []

    def ask() -> None:
        with pytest.raises(BudgetReached):
            purse.set_aside(body("a", 11))
        ended.append(True)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout=10)
    assert ended == [True], "it waits for a request that is not under way"


def test_a_key_that_no_header_may_hold_is_refused_and_not_shown(server: ChatServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="The key in KEY has a line break") as caught:
        ChatEndpoint(asking(server, key="sk-1234\nx"), tmp_path)
    assert "sk-1234" not in str(caught.value)


def test_where_tokens_are_not_counted_the_most_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    purse = Purse(Price(prompt=0.0, completion=1e6), 20.0, "--max-usd")
    with (
        chat_server(lambda _: ("x", "stop"), counts=False) as server,
        ChatEndpoint(asking(server, concurrency=1), tmp_path, purse) as endpoint,
    ):
        with pytest.raises(BudgetReached):
            endpoint.ask([body("a"), body("b"), body("c")])
        assert (purse.spent, len(server.requests)) == (16.0, 2)


def test_newer_models_are_asked_by_the_newer_name(server: ChatServer, tmp_path: Path) -> None:
    server.refusals = [(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")]
    with ChatEndpoint(asking(server, concurrency=1), tmp_path) as endpoint:
        endpoint.ask([body("a"), body("b")])
    assert [sorted(request) for request in server.requests] == [
        ["max_tokens", "messages", "model"],
        ["max_completion_tokens", "messages", "model"],
        ["max_completion_tokens", "messages", "model"],
    ]


def test_requests_under_way_learn_the_newer_name_each_by_itself(server: ChatServer, tmp_path: Path) -> None:
    server.unknown = {"max_tokens": "max_completion_tokens"}
    with ChatEndpoint(asking(server, concurrency=4), tmp_path) as endpoint:
        assert len(endpoint.ask([body(text) for text in "abcdefgh"])) == 8


def test_a_refusal_names_the_callers_settings(server: ChatServer, tmp_path: Path) -> None:
    server.refusals = [(404, "no such model")]
    with (
        ChatEndpoint(asking(server), tmp_path) as endpoint,
        pytest.raises(UserError, match="status 404 after 1 try and said: no such model. Check the address and the mo"),
    ):
        endpoint.ask([body("a")])


def test_addresses() -> None:
    assert endpoint_address("https://host/v1/chat/completions") == "https://host/v1"
    assert endpoint_address("http://127.0.0.1:8000/v1/") == "http://127.0.0.1:8000/v1"
    with pytest.raises(ValueError, match="is no address"):
        endpoint_address("host:8000")
    for secret in ("https://me:s3cret@host/v1", "https://host/v1?api_key=s3cret", "ftp://me:s3cret@host/v1"):
        with pytest.raises(ValueError, match="password|no address") as refused:
            endpoint_address(secret)
        assert "s3cret" not in str(refused.value)
