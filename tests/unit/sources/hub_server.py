"""A server on this machine with the few endpoints of the Hugging Face hub and of ModelScope that their clients ask.

What a repository holds is given as `{"models/OWNER/NAME" or "datasets/OWNER/NAME": {path: bytes}}`. The clients are the
real ones, in a process of their own, for they read HF_ENDPOINT and MODELSCOPE_DOMAIN when they are imported.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

COMMIT = "a" * 40

Repositories = Mapping[str, Mapping[str, bytes]]

_HF_API = re.compile(
    r"/api/(?P<repository>(?:models|datasets)/[^/]+/[^/]+)/(?P<what>revision|tree)/(?P<revision>[^/]+)"
)
_HF_FILE = re.compile(r"/(?P<datasets>datasets/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_MS_API = re.compile(
    r"/api/v1/(?P<repository>(?:models|datasets)/[^/]+/[^/]+)/(?P<what>repo/tree|repo/files|repo|revisions)"
)


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers for `repositories`; `asked` keeps every line of a request. Of those in `gated` no file is given out."""

    protocol_version = "HTTP/1.1"
    repositories: Repositories
    gated: frozenset[str]
    asked: list[str]

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.asked.append(f"{self.command} {path}")
        for pattern, answer in ((_MS_API, self._modelscope), (_HF_API, self._api), (_HF_FILE, self._file)):
            found = pattern.fullmatch(path)
            if found is not None:
                answer(found.groupdict())
                return
        self._missing("RepoNotFound")

    do_HEAD = do_GET  # noqa: N815

    def _api(self, asked: dict[str, str]) -> None:
        files = self.repositories.get(asked["repository"])
        if files is None:
            self._missing("RepoNotFound")
        elif asked["revision"] not in {"main", COMMIT}:
            self._missing("RevisionNotFound")
        elif asked["what"] == "revision":
            siblings = [{"rfilename": name} for name in files]
            self._json({"id": asked["repository"].partition("/")[2], "sha": COMMIT, "siblings": siblings})
        else:
            self._json(
                [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in files.items()
                ]
            )

    def _file(self, asked: dict[str, str]) -> None:
        kind = "datasets" if asked["datasets"] else "models"
        data = self.repositories.get(f"{kind}/{asked['name']}", {}).get(asked["file"])
        if f"{kind}/{asked['name']}" in self.gated:
            self._answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif data is None:
            self._missing("EntryNotFound")
        else:
            self._answer(200, data, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def _modelscope(self, asked: dict[str, str]) -> None:
        files = self.repositories.get(asked["repository"])
        if files is None:
            self._missing("RepoNotFound")
        elif asked["what"] == "repo":
            (name,) = parse_qs(self.path.partition("?")[2])["FilePath"]
            self._answer(200, files[name], {"Content-Type": "application/octet-stream"})
        elif asked["what"] == "revisions":
            branch = {"Revision": "master", "CreatedAt": 0}
            self._json({"Code": 200, "Success": True, "Data": {"RevisionMap": {"Branches": [branch], "Tags": []}}})
        else:
            listed = [
                {
                    "Path": name,
                    "Name": name.rpartition("/")[2],
                    "Type": "blob",
                    "Size": len(data),
                    "Sha256": hashlib.sha256(data).hexdigest(),
                    "Revision": COMMIT,
                }
                for name, data in files.items()
            ]
            self._json({"Code": 200, "Success": True, "Data": {"Files": listed, "TotalCount": len(listed)}})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _missing(self, why: str) -> None:
        self._answer(404, b"{}", {"X-Error-Code": why})

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(repositories: Repositories, gated: frozenset[str] = frozenset()) -> Iterator[tuple[str, list[str]]]:
    """Yields the server's address, and the requests it gets."""
    asked: list[str] = []
    handler = type("Handler", (Hub,), {"asked": asked, "repositories": repositories, "gated": gated})
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}", asked
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def environment(endpoint: str, home: Path) -> dict[str, str]:
    """The environment of a process whose hubs are at `endpoint`; what is fetched is kept below `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MODELSCOPE_"))}
    return kept | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MODELSCOPE_DOMAIN": endpoint,
        "MODELSCOPE_CACHE": str(home / "modelscope"),
    }


_RESOLVE = """
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
    """The local paths of resources, each fetched by the hub's own client; "error: " and the message where it failed."""
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _RESOLVE, *names]
    done = subprocess.run(
        command, env=environment(endpoint, home), cwd=home, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found
