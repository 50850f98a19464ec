"""Rows written by a language model behind a real HTTP server on this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from danlu.core.errors import DataError, UserError
from danlu.data.augment.config import AugmentConfig, EndpointConfig, GenerateConfig
from danlu.data.augment.endpoint import Endpoint
from danlu.data.augment.generate import prompt_for, refuse_unmasked, text_of
from danlu.data.augment.table import augment
from danlu.engines import endpoint as module


class Server(ThreadingHTTPServer):
    """Answers chat completions; `refusals` are statuses that it answers with first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.refusals: list[int] = []
        self.finish = "stop"
        self.raw: str | None = None
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(body)
            self.server.keys.append(self.headers.get("Authorization"))
            status = self.server.refusals.pop(0) if self.server.refusals else 200
        text = body["messages"][0]["content"].rpartition("\n")[2]
        answer = {
            "choices": [
                {
                    "message": {"content": f"<think>hm</think>“{text} ({body['seed']})”"},
                    "finish_reason": self.server.finish,
                }
            ]
        }
        said = self.server.raw or json.dumps(answer)
        if status != 200:
            said = json.dumps({"error": f"refused with {status}"})
        self.send_response(status if self.path == "/v1/chat/completions" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def config(server: Server, **more: Any) -> EndpointConfig:
    return EndpointConfig.model_validate({"base_url": server.url, "model": "m", "concurrency": 3, **more})


def test_answers_come_in_order_and_are_paid_for_once(server: Server, tmp_path: Path) -> None:
    prompts, seeds = [f"say\nword{number}" for number in range(12)], list(range(12))
    with Endpoint(config(server), tmp_path) as endpoint:
        first = endpoint(prompts, seeds)
        assert first == [f"“word{number} ({number})”" for number in range(12)]
        assert endpoint.asked == len(server.requests) == 12
        assert endpoint([prompts[3], prompts[3]], [3, 99]) == [first[3], "“word3 (99)”"]
        assert len(server.requests) == 13
    with Endpoint(config(server, concurrency=1), tmp_path) as endpoint:
        assert endpoint(prompts, seeds) == first
        assert endpoint.asked == 0
    with Endpoint(config(server, temperature=0.1), tmp_path) as endpoint:
        endpoint(prompts[:1], seeds[:1])
        assert endpoint.asked == 1
    assert server.requests[-1] == {
        "model": "m",
        "messages": [{"role": "user", "content": "say\nword0"}],
        "temperature": 0.1,
        "max_tokens": 512,
        "seed": 0,
    }
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_cut_off_by_a_crash_is_asked_again(server: Server, tmp_path: Path) -> None:
    with Endpoint(config(server), tmp_path) as endpoint:
        endpoint(["say\na"], [1])
        (kept,) = tmp_path.rglob("*.json")
        kept.write_text('{"answ')
        assert endpoint(["say\na"], [1]) == ["“a (1)”"]
    assert len(server.requests) == 2


def test_a_busy_server_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.refusals = [429, 503]
    with Endpoint(config(server, concurrency=1), tmp_path) as endpoint:
        assert endpoint(["say\na"], [1]) == ["“a (1)”"]
    assert len(server.requests) == 3


def test_a_refusal_that_stays_is_told_and_what_came_is_kept(server: Server, tmp_path: Path) -> None:
    with Endpoint(config(server, concurrency=1, retries=1), tmp_path) as endpoint:
        endpoint(["say\na"], [1])
        server.refusals = [429, 429]
        with pytest.raises(UserError, match="status 429 after 2 tries and said: .*refused with 429.*concurrency"):
            endpoint(["say\na", "say\nb"], [1, 2])
        server.refusals = [401]
        with pytest.raises(UserError, match="status 401 after 1 try.*api_key_env"):
            endpoint(["say\nb"], [2])
        assert endpoint(["say\na", "say\nb"], [1, 2]) == ["“a (1)”", "“b (2)”"]
    assert endpoint.asked == 2


def test_after_a_refusal_nobody_waits_for_another_try(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_asked_to_wait", lambda _header, _otherwise: 60.0)
    server.refusals = [503, 503, 401]
    started = time.monotonic()
    with (
        Endpoint(config(server, concurrency=3), tmp_path) as endpoint,
        pytest.raises(UserError, match="status 401"),
    ):
        endpoint(["say\na", "say\nb", "say\nc", "say\nd"], [1, 2, 3, 4])
    assert time.monotonic() - started < 30


def test_the_key_comes_from_the_environment_and_is_never_told(server: Server, tmp_path: Path) -> None:
    asked = config(server, api_key_env="TEST_KEY", retries=0)
    with Endpoint(asked, tmp_path, {"TEST_KEY": "sk-secret\n"}) as endpoint:
        endpoint(["say\na"], [1])
        assert server.keys == ["Bearer sk-secret"]
        server.refusals = [403]
        with pytest.raises(UserError) as refused:
            endpoint(["say\nb"], [1])
    assert "secret" not in str(refused.value)
    assert "secret" not in "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    with pytest.raises(UserError, match="TEST_KEY.*is not set"):
        Endpoint(asked, tmp_path, {})


def test_an_endpoint_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as gone:
        url = gone.url
    with (
        Endpoint(EndpointConfig(base_url=url, model="m", retries=1), tmp_path) as endpoint,
        pytest.raises(UserError, match="cannot be reached after 2 tries"),
    ):
        endpoint(["a"], [1])


def test_answers_that_are_none(server: Server, tmp_path: Path) -> None:
    with Endpoint(config(server), tmp_path) as endpoint:
        server.finish = "length"
        assert endpoint(["say\na"], [1]) == [""]
        server.raw = "<html>not me</html>"
        with pytest.raises(DataError, match="no chat completion: '<html>not me"):
            endpoint(["say\nb"], [1])


@pytest.mark.parametrize(
    ("address", "message"),
    [("localhost:8000", "is no address"), ("https://me:pass@host/v1", "user name or password")],
)
def test_a_bad_address_is_refused(address: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EndpointConfig(base_url=address, model="m")


def test_rows_are_written_for_rare_labels(server: Server, tmp_path: Path) -> None:
    rows = [(f"r{number}", f"text {number}", "common") for number in range(300)] + [("z", "few of these", "rare")]
    asked = AugmentConfig(
        generate=GenerateConfig(copies=2, fewer_than=10, prompt="As {label}:\n{text}", endpoint=config(server))
    )
    with Endpoint(config(server), tmp_path) as endpoint:
        children = list(augment(rows, asked, 1, generator=endpoint))
        again = list(augment(rows[::-1], asked, 1, generator=endpoint))
    assert [(child.parent, child.number, child.label, child.operation) for child in children] == [
        ("z", 0, "rare", "generate"),
        ("z", 1, "rare", "generate"),
    ]
    assert all(child.text.startswith("few of these (") for child in children)
    assert again == children
    assert len(server.requests) == 2
    assert server.requests[0]["messages"][0]["content"] == "As rare:\nfew of these"


def test_unmasked_text_is_not_sent(server: Server, tmp_path: Path) -> None:
    rows = [("r1", "写信到 [EMAIL] 联系", "x"), ("r2", "mail me at jane@example.com", "x")]
    with Endpoint(config(server), tmp_path) as endpoint:
        asked = AugmentConfig(generate=GenerateConfig())
        with pytest.raises(DataError, match=r"Row r2 holds unmasked personal data \(email\).*send_unmasked"):
            list(augment(rows, asked, 1, generator=endpoint))
        assert not server.requests
        asked = AugmentConfig(generate=GenerateConfig(send_unmasked=True))
        children = list(augment(rows, asked, 1, generator=endpoint))
    assert len(server.requests) == 2
    # What comes back is masked like every row.
    assert [child.text.partition(" (")[0] for child in children] == ["写信到 [EMAIL] 联系", "mail me at [EMAIL]"]


@pytest.mark.parametrize(
    "text",
    ["[PHONE] 88886666", "[PHONE_5d41402abc4b], 5551234 pieces", "[PASSPORT] 47933642", "[BANK_CARD] 6222020200112233"],
)
def test_what_is_masked_makes_nothing_else_personal(text: str) -> None:
    refuse_unmasked("row", text)
    with pytest.raises(DataError, match="Row row holds unmasked personal data .phone."):
        refuse_unmasked("row", f"{text} call 13800138000")


def test_a_generator_is_needed() -> None:
    with pytest.raises(DataError, match="without a generator"):
        augment([], AugmentConfig(generate=GenerateConfig()), 1)


def test_empty_and_equal_answers_give_no_child() -> None:
    asked = AugmentConfig(generate=GenerateConfig(copies=4))
    answers = ["", "same", "“new”", "new"]
    (child,) = augment([("r", "same", "x")], asked, 1, generator=lambda _prompts, _seeds: answers)
    assert (child.text, child.number) == ("new", 0)


def test_prompts_and_answers() -> None:
    assert prompt_for("{label}: {text} {x}", text="a {label} {text}", label="good") == "good: a {label} {text} {x}"
    assert text_of(' "quoted" ') == "quoted"
    assert text_of('"one" and "two"') == '"one" and "two"'
    assert text_of("call 13800138000") == "call [PHONE]"
    with pytest.raises(ValidationError, match="lacks {text}"):
        GenerateConfig(prompt="write something")
