"""A promoted version takes over without a failed request; one that cannot be loaded does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from danlu.core.errors import UserError
from danlu.core.store import Workspace
from danlu.release.registry import Registry
from danlu.serve.config import ServeConfig
from danlu.serve.live import Live
from tests.unit.serve import toy
from tests.unit.serve.client import asynchronous, opened

OLD = {"weights": {"word": -1.0}, "seconds": 0.005}
NEW = {"weights": {"word": 1.0}, "seconds": 0.005}


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@asynchronous
async def test_no_request_fails_while_versions_change(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", OLD, 1)
    registry = Registry(workspace, "toy")
    async with opened(workspace) as (client, live):
        first = live.current
        going = True
        seen: list[tuple[int, int, str]] = []

        async def load() -> None:
            while going:
                answer = await client.post("/v1/predict", json={"texts": ["word", "word"]})
                body = answer.json()
                labels = {row["label"] for row in body["predictions"]}
                assert len(labels) == 1
                seen.append((answer.status_code, body["version"], labels.pop()))

        clients = [asyncio.create_task(load()) for _ in range(8)]
        await asyncio.sleep(0.1)
        await asyncio.to_thread(toy.publish, workspace, "toy", NEW, 2)
        await until(lambda: live.current.version.number == 2)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(registry.rollback)
        await until(lambda: live.current.version.number == 1)
        await asyncio.sleep(0.1)
        going = False
        await asyncio.gather(*clients)
        await until(lambda: first.engine.closed)
    assert {status for status, _, _ in seen} == {200}
    assert {(version, label) for _, version, label in seen} == {(1, "bad"), (2, "good")}
    assert [version for _, version, _ in seen][-1] == 1
    assert live.current.engine.closed


@asynchronous
async def test_a_stream_ends_on_the_version_it_began_on(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"text": "a a", "seconds": 0.01}, 1, task="generate")
    async with opened(workspace) as (client, live):
        old = live.current
        request = {"prompt": "a", "max_tokens": 40, "stream": True}
        stream = asyncio.create_task(client.post("/v1/completions", json=request))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(toy.publish, workspace, "toy", {"text": "a b a"}, 2, task="generate")
        await until(lambda: live.current.version.number == 2)
        assert not stream.done()
        assert not old.engine.closed
        answer = await stream
        assert answer.text.count('" a"') == 40
        await until(lambda: old.engine.closed)


@asynchronous
async def test_a_version_that_cannot_be_loaded_leaves_the_old_one(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", OLD, 1)
    async with opened(workspace) as (client, live):
        broken = toy.release(workspace, "toy", NEW, 2)
        (broken.folder / "form" / "words.json").write_text("{", encoding="utf-8")
        toy.go_live(workspace, "toy", toy.seal(broken.folder))
        await until(lambda: live.problem)
        ready = (await client.get("/readyz")).json()
        assert ready["version"] == 1
        assert ready["problem"] == "A newer version cannot be loaded; version 1 goes on. The server's log says why."
        assert (await client.post("/v1/predict", json={"text": "word"})).json()["version"] == 1
        toy.publish(workspace, "toy", NEW, 3)
        await until(lambda: live.current.version.number == 3)
        assert (await client.get("/readyz")).json()["problem"] is None


@asynchronous
async def test_a_model_that_answers_nonsense_does_not_go_live(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"weights": {}}, 1)
    async with opened(workspace) as (client, live):
        nan = toy.release(workspace, "toy", {"weights": {}}, 2)
        (nan.folder / "form" / "words.json").write_text('{"weights": {"short": NaN}}', encoding="utf-8")
        toy.go_live(workspace, "toy", toy.seal(nan.folder))
        await until(lambda: live.problem)
        assert "first answer" in (live.problem or "")
        assert (await client.get("/readyz")).json()["version"] == 1


@asynchronous
async def test_files_that_are_not_those_that_were_tested_do_not_go_live(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    toy.publish(workspace, "toy", OLD, 1)
    registry = Registry(workspace, "toy")
    async with opened(workspace, poll_seconds=60) as (client, live):
        second = toy.publish(workspace, "toy", NEW, 2)
        # The registry saw the whole files; they change before the server loads them, and keep their size.
        words = second.folder / "form" / "words.json"
        whole = words.read_text(encoding="utf-8")
        words.write_text(whole.replace("1.0", "9.0"), encoding="utf-8")
        assert words.stat().st_size == len(whole)
        await live.refresh()
        ready = (await client.get("/readyz")).json()
        assert ready["version"] == 1
        assert str(workspace.root) not in ready["problem"]
        assert (await client.post("/v1/predict", json={"text": "word"})).json()["version"] == 1
        assert f"{words} is not the file that was tested" in caplog.text
        with pytest.raises(UserError, match=r"words\.json is not the file that was tested"):
            Live(registry, ServeConfig())
        words.write_text(whole, encoding="utf-8")
        await live.refresh()
        assert (await client.get("/readyz")).json() == {
            "status": "ready",
            "model": "toy",
            "version": 2,
            "problem": None,
        }


@asynchronous
async def test_a_damaged_or_vanished_pointer_changes_nothing(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", OLD, 1)
    pointer = workspace.root / "registry" / "toy" / "aliases" / "champion.json"
    whole = pointer.read_text(encoding="utf-8")
    async with opened(workspace) as (client, live):
        pointer.write_text("{", encoding="utf-8")
        await until(lambda: live.problem)
        assert str(pointer) in (live.problem or "")
        pointer.unlink()
        await until(lambda: "no champion" in (live.problem or ""))
        assert (await client.post("/v1/predict", json={"text": "word"})).status_code == 200
        pointer.write_text(whole, encoding="utf-8")
        await until(lambda: live.problem is None)


@asynchronous
async def test_a_pinned_version_stays(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", OLD, 1)
    async with opened(workspace, wanted="1") as (client, live):
        toy.publish(workspace, "toy", NEW, 2)
        await asyncio.sleep(0.1)
        assert live.current.version.number == 1
        assert (await client.post("/v1/predict", json={"text": "word"})).json()["label"] == "bad"
