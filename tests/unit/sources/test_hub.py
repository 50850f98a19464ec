"""Data sets by name, from a server on this machine that speaks the few endpoints of the Hugging Face hub."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from danlu.core.errors import UserError
from danlu.core.resource import Site
from danlu.sources import hub
from tests.unit.sources.reading import read

COMMIT = "a" * 40
FILES = {
    "README.md": b"---\nlicense: mit\n---\n",
    "data/train-00000-of-00002.jsonl": b'{"text": "one"}\n{"text": "two"}\n',
    "data/train-00001-of-00002.jsonl": b'{"text": "three"}\n',
    "test.csv": b"text\nfour\n",
    "image.png": b"not wanted",
}


class Hub(http.server.BaseHTTPRequestHandler):
    """`/api/datasets/OWNER/NAME/revision/REVISION`, `/tree/`, and `/datasets/OWNER/NAME/resolve/COMMIT/FILE`."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(f"{self.command} {path}")
        if path.startswith("/api/datasets/owner/name/revision/"):
            self._json({"id": "owner/name", "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]})
        elif path.startswith("/api/datasets/owner/name/tree/"):
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in FILES.items()
            ]
            self._json(entries)
        elif path.startswith(f"/datasets/owner/name/resolve/{COMMIT}/"):
            data = FILES[path.split("/", 6)[6]]
            self._answer(200, data, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT})
        elif path == "/api/v1/datasets/owner/name/repo/tree":
            files = [
                {
                    "Path": name,
                    "Name": name,
                    "Type": "blob",
                    "Size": len(data),
                    "Sha256": hashlib.sha256(data).hexdigest(),
                }
                for name, data in FILES.items()
            ]
            self._json({"Code": 200, "Success": True, "Data": {"Files": files, "TotalCount": len(files)}})
        elif path == "/api/v1/datasets/owner/name/repo":
            (name,) = parse_qs(self.path.partition("?")[2])["FilePath"]
            self._answer(200, FILES[name], {"Content-Type": "application/octet-stream"})
        else:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Hub,), {"asked": asked}))
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}", asked
    made.shutdown()
    made.server_close()
    thread.join()


#: In a process of its own, for the library reads HF_ENDPOINT when it is imported.
RESOLVE = """
import json, sys
from pathlib import Path
from danlu.core.errors import UserError
from danlu.core.resource import resolve
found = []
for name in sys.argv[1:]:
    try:
        found.append(str(resolve(name, Path("."))))
    except UserError as error:
        found.append("error: " + str(error))
print(json.dumps(found))
"""


def resolved(names: list[str], endpoint: str, home: Path) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"MODELSCOPE_DOMAIN": endpoint, "MODELSCOPE_CACHE": str(home / "modelscope")}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", RESOLVE, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_data_sets_of_the_hub(server: tuple[str, list[str]], tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    endpoint, asked = server
    whole, folder, pattern, pinned, nothing, unknown = resolved(
        [
            "hf://datasets/owner/name",
            "hf://datasets/owner/name/data",
            "hf://datasets/owner/name/data/*-00001-*.jsonl",
            "hf://datasets/owner/name@main/test.csv",
            "hf://datasets/owner/name/nothing.csv",
            "hf://datasets/owner/other",
        ],
        endpoint,
        tmp_path / "home",
    )
    assert read(Path(whole), tmp_path / "whole").texts == ["one", "two", "three", "four"]
    assert read(Path(folder), tmp_path / "folder").texts == ["one", "two", "three"]
    assert read(Path(pattern), tmp_path / "pattern").texts == ["three"]
    assert read(Path(pinned), tmp_path / "pinned").texts == ["four"]
    assert COMMIT in whole
    assert "has no 'nothing.csv'" in nothing
    assert "has no data set 'owner/other', or it is private" in unknown
    fetched = [line for line in asked if line.startswith("GET /datasets/")]
    assert not any(name in line for line in fetched for name in ("README", "image")), "only data is fetched"
    assert len(fetched) == len(set(fetched)) == 3, "what is in the hub's cache is not fetched again"


def test_what_the_hub_gave_is_used_when_it_cannot_be_reached(server: tuple[str, list[str]], tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    endpoint, _ = server
    (first,) = resolved(["hf://datasets/owner/name"], endpoint, tmp_path)
    nowhere = "http://127.0.0.1:9"
    again, never = resolved(["hf://datasets/owner/name", "hf://datasets/owner/new"], nowhere, tmp_path)
    assert again == first
    assert "Could not fetch 'hf://datasets/owner/new' from the Hugging Face hub" in never


def test_data_sets_of_modelscope(server: tuple[str, list[str]], tmp_path: Path) -> None:
    pytest.importorskip("modelscope", reason="danlu[modelscope] is not installed")
    endpoint, asked = server
    whole, folder, unknown = resolved(
        [
            "modelscope://datasets/owner/name",
            "modelscope://datasets/owner/name/data",
            "modelscope://datasets/owner/other",
        ],
        endpoint,
        tmp_path / "home",
    )
    assert read(Path(whole), tmp_path / "whole").texts == ["one", "two", "three", "four"]
    assert read(Path(folder), tmp_path / "folder").texts == ["one", "two", "three"]
    assert unknown.startswith("error: ")
    assert "owner/other" in unknown
    assert not any(name in line for line in asked for name in ("README", "image")), "only data is fetched"


@pytest.mark.parametrize("name", ["hf://datasets/only", "hf://datasets/", "hf://datasets/a b/c"])
def test_what_names_no_data_set_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected hf://datasets/OWNER/NAME"):
        hub.hugging_face(name, name.removeprefix("hf://datasets/"), Site(base=tmp_path))
