"""A real HTTP server on this machine that answers chat completions by a rule."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: What a body is answered with: the text, and why it ended.
Rule = Callable[[dict[str, Any]], tuple[str, str]]


class ChatServer(ThreadingHTTPServer):
    """`refusals` are statuses, with what is said, that it answers with first; it knows no parameter of `unknown`, as
    newer servers do. A token is a word here.
    """

    daemon_threads = True

    def __init__(self, rule: Rule, counts: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rule = rule
        self.counts = counts
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.refusals: list[tuple[int, str]] = []
        self.unknown: dict[str, str] = {}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def text_of(self, number: int) -> str:
        """The prompt of a request."""
        return str(self.requests[number]["messages"][-1]["content"])


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(body)
            self.server.keys.append(self.headers.get("Authorization"))
            status, said = self.server.refusals.pop(0) if self.server.refusals else (200, "")
            for name in body.keys() & self.server.unknown.keys():
                status, said = 400, f"Unsupported parameter: {name!r}. Use {self.server.unknown[name]!r} instead."
        if status == 200:
            text, reason = self.server.rule(body)
            answer: dict[str, Any] = {"choices": [{"message": {"content": text}, "finish_reason": reason}]}
            if self.server.counts:
                asked = sum(len(message["content"].split()) for message in body["messages"])
                answer["usage"] = {"prompt_tokens": asked, "completion_tokens": len(text.split())}
            said = json.dumps(answer)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, format: str, *args: Any) -> None: ...


@contextlib.contextmanager
def chat_server(rule: Rule, counts: bool = True) -> Iterator[ChatServer]:
    """A server that runs until the end of the block."""
    with ChatServer(rule, counts) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
