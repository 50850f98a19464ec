"""API keys: made once, kept only as an HMAC, asked for before anything else."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from danlu.core.errors import UserError
from danlu.core.store import Workspace
from danlu.serve.keys import open_keys, path_of
from tests.unit.serve import toy
from tests.unit.serve.client import asynchronous, opened


def test_a_key_is_made_once_and_only_its_digest_is_kept(workspace: Workspace) -> None:
    keys, key = open_keys(workspace)
    assert key is not None
    assert len(key) >= 43
    again, none = open_keys(workspace)
    assert none is None
    assert keys.accepts(key.encode())
    assert again.accepts(key.encode())
    assert not again.accepts(b"")
    assert not again.accepts(key[:-1].encode())
    path = path_of(workspace)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key not in path.read_text(encoding="utf-8")
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.json"]


def test_a_file_that_others_could_read_is_closed(workspace: Workspace) -> None:
    open_keys(workspace)
    path_of(workspace).chmod(0o644)
    open_keys(workspace)
    assert stat.S_IMODE(path_of(workspace).stat().st_mode) == 0o600


def test_a_damaged_file_is_a_clear_error(workspace: Workspace) -> None:
    open_keys(workspace)
    for text in ("\n", "{", "[]", '{"secret": "zz", "hmac_sha256": []}', '{"secret": "00"}'):
        path_of(workspace).write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match="keys.json is damaged"):
            open_keys(workspace)


def test_a_first_start_that_was_killed_leaves_no_trouble(workspace: Workspace) -> None:
    path_of(workspace).parent.mkdir()
    path_of(workspace).touch(mode=0o644)
    keys, key = open_keys(workspace)
    assert key is not None
    assert keys.accepts(key.encode())
    assert stat.S_IMODE(path_of(workspace).stat().st_mode) == 0o600


def test_file_systems_without_links_or_modes_will_do(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_arguments: Any, **_keywords: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "chmod", refuse)
    _, key = open_keys(workspace)
    assert key is not None
    keys, none = open_keys(workspace)
    assert none is None
    assert keys.accepts(key.encode())
    assert not caplog.records
    monkeypatch.undo()
    path_of(workspace).chmod(0o644)
    monkeypatch.setattr(os, "chmod", refuse)
    assert open_keys(workspace)[0].accepts(key.encode())
    assert "Other users may be able to read" in caplog.text


def _open(root: Path, barrier: Any, out: Any) -> None:
    barrier.wait()
    out.put(open_keys(Workspace(root))[1])


def test_two_first_starts_make_one_key(workspace: Workspace) -> None:
    context = multiprocessing.get_context("fork")
    barrier, out = context.Barrier(4), context.Queue()
    starts = [context.Process(target=_open, args=(workspace.root, barrier, out)) for _ in range(4)]
    for start in starts:
        start.start()
    made = [key for key in (out.get(timeout=30) for _ in starts) if key is not None]
    for start in starts:
        start.join()
    assert len(made) == 1
    assert open_keys(workspace)[0].accepts(made[0].encode())


@asynchronous
async def test_without_the_key_nothing_is_answered(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"weights": {}})
    keys, key = open_keys(workspace)
    read = False

    async def body() -> Any:
        nonlocal read
        read = True
        yield b"{}"

    async with opened(workspace, keys=keys) as (client, _):
        for header in (
            {},
            {"Authorization": key or ""},
            {"Authorization": "Bearer nonsense"},
            {"X-Api-Key": key or ""},
        ):
            answer = await client.post("/v1/predict", json={"text": "a"}, headers=header)
            assert answer.status_code == 401, header
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        odd = await client.post(
            "/v1/predict", json={"text": "a"}, headers={"Authorization": "Bearer \xff".encode("latin-1")}
        )
        assert odd.status_code == 401
        assert (await client.get("/v1/models")).status_code == 401
        await client.post("/v1/predict", content=body())
        assert not read
        for path in ("/healthz", "/readyz", "/openapi.json"):
            assert (await client.get(path)).status_code == 200
        for scheme in ("Bearer", "bearer"):
            headers = {"Authorization": f"{scheme} {key}"}
            assert (await client.post("/v1/predict", json={"text": "a"}, headers=headers)).status_code == 200
