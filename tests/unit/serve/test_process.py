"""The server as a process of its own: key, port, clients that leave, an orderly end, and no torch for ONNX."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from danlu.core.artifact import write_json
from danlu.core.errors import UserError
from danlu.core.store import Workspace
from danlu.serve.config import ServeConfig
from danlu.serve.server import listen, serve
from tests.unit.serve import toy

ROOT = Path(__file__).parents[3]


class Running:
    """A started server: its process, its address, and the lines it said."""

    def __init__(self, process: subprocess.Popen[str], lines: list[str]) -> None:
        self.process = process
        self.lines = lines
        self.url = re.search(r"http://\S+", lines[-1]).group()  # type: ignore[union-attr]

    @property
    def key(self) -> str:
        return self.lines[0].rsplit(" ", 1)[-1]


@contextlib.contextmanager
def started(workspace: Workspace, **settings: Any) -> Iterator[Running]:
    config = ServeConfig(port=0, **settings)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.serve.toy", str(workspace.root), "toy", config.model_dump_json()],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            if "http://" in line:
                break
        else:
            pytest.fail(f"The server did not start: {process.communicate()[1]}")
        yield Running(process, lines)
    finally:
        process.kill()
        process.communicate()


def test_a_server_asks_for_its_key_swaps_under_load(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"weights": {"word": -1.0}, "seconds": 0.003}, 1)
    with started(workspace) as server:
        seen: list[tuple[int, int]] = []
        going = True

        def load() -> None:
            with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.key}"}) as client:
                while going:
                    answer = client.post("/v1/predict", json={"text": "word"})
                    seen.append((answer.status_code, answer.json().get("version", 0)))

        clients = [threading.Thread(target=load) for _ in range(4)]
        assert httpx.get(f"{server.url}/v1/models").status_code == 401
        for client in clients:
            client.start()
        toy.publish(workspace, "toy", {"weights": {"word": 1.0}, "seconds": 0.003}, 2)
        until = time.monotonic() + 20
        while (200, 2) not in seen and time.monotonic() < until:
            time.sleep(0.02)
        going = False
        for client in clients:
            client.join()
        assert {status for status, _ in seen} == {200}
        assert {version for _, version in seen} == {1, 2}
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=20) == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read().strip() == "Stopped serving toy."


def test_a_server_that_is_stopped_answers_what_is_under_way(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"weights": {}, "seconds": 0.4})
    with started(workspace, keys=False) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        connection.request("POST", "/v1/predict", b'{"text": "a"}', {"Content-Type": "application/json"})
        time.sleep(0.15)
        server.process.send_signal(signal.SIGTERM)
        assert connection.getresponse().status == 200
        connection.close()
        assert server.process.wait(timeout=20) == 0


def test_a_client_that_leaves_stops_the_text(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"text": "a a", "seconds": 0.01}, task="generate")
    with started(workspace, keys=False, max_streams=1) as server:
        request = {"prompt": "a", "max_tokens": 500, "stream": True}
        with httpx.stream("POST", f"{server.url}/v1/completions", json=request) as answer:
            lines = answer.iter_lines()
            assert json.loads(next(lines).removeprefix("data: "))["choices"][0]["text"] == " a"
            assert httpx.post(f"{server.url}/v1/completions", json=request).status_code == 429
        # 500 tokens take 5 s: only a text that was stopped leaves room within the next second.
        deadline = time.monotonic() + 2
        status = 429
        while status == 429 and time.monotonic() < deadline:
            status = httpx.post(f"{server.url}/v1/completions", json={"prompt": "a", "max_tokens": 1}).status_code
            time.sleep(0.02)
        assert status == 200


def test_an_endless_body_without_length_is_cut_off(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"weights": {}})
    with started(workspace, keys=False, max_body_bytes=10_000) as server:
        host, port = server.url.removeprefix("http://").split(":")
        sent = 0
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            with contextlib.suppress(OSError):
                while sent < 50_000_000:
                    connection.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
                    sent += 10_000
            assert sent < 50_000_000
        assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_taken_port_and_a_strange_address_are_the_users_mistakes(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"weights": {}})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} is taken"):
            serve("toy", workspace, ServeConfig(port=port))
    with pytest.raises(UserError, match=r"192\.0\.2\.1 is no address of this machine"):
        listen("192.0.2.1", 0)


def test_answers_on_a_kept_connection_do_not_wait_for_acknowledgements(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"weights": {}})
    with started(workspace, keys=False) as server, httpx.Client(base_url=server.url) as client:
        seconds = []
        for _ in range(30):
            begin = time.perf_counter()
            client.post("/v1/predict", json={"text": "word"})
            seconds.append(time.perf_counter() - begin)
    # Nagle's algorithm and delayed acknowledgements together cost 40 ms a request.
    assert sorted(seconds)[10] < 0.03


def test_a_model_that_is_not_there_is_the_users_mistake(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="No release of it has passed its gates"):
        serve("toy", workspace, ServeConfig(port=0))
    toy.publish(workspace, "toy", {"weights": {}})
    with pytest.raises(UserError, match=r"no version '7'.*Versions: 1\."):
        serve("toy", workspace, ServeConfig(port=0), version="7")


def _write_onnx(folder: Path) -> None:
    """A classifier as a graph: token vectors [V, 2], their mean over the text, softmax outside."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    vectors = numpy_helper.from_array(np.array([[0, 0], [2, -2], [-2, 2]], dtype=np.float32), "vectors")
    axes = numpy_helper.from_array(np.array([1], dtype=np.int64), "axes")
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["vectors", "input_ids"], ["embedded"]),
            helper.make_node("ReduceMean", ["embedded", "axes"], ["logits"], keepdims=0),
        ],
        "words",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["B", "T"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 2])],
        [vectors, axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(folder / "model.onnx"))
    tokenizer = {"[UNK]": 0, "bad": 1, "good": 2}
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel(tokenizer, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "form.json", json.loads((folder / "form.json").read_text()) | {"form": "onnx", "engine": "onnx"}
    )


def test_serving_onnx_imports_neither_torch_nor_transformers(workspace: Workspace) -> None:
    made = toy.release(workspace, "toy", {"weights": {}})
    _write_onnx(made.folder / "form")
    toy.go_live(workspace, "toy", toy.seal(made.folder))
    script = """
import asyncio, json, sys
from pathlib import Path
from danlu.core.store import Workspace
import danlu.serve.server
from tests.unit.serve.client import opened

async def main():
    async with opened(Workspace(Path(sys.argv[1]))) as (client, _):
        return (await client.post("/v1/predict", json={"texts": ["good", "bad bad"]})).json()

answer = asyncio.run(main())
print(json.dumps({"answer": answer, "modules": [m for m in ("torch", "transformers", "sklearn") if m in sys.modules]}))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(workspace.root)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert [row["label"] for row in said["answer"]["predictions"]] == ["good", "bad"]
    assert said["modules"] == []
