"""/v1/predict: answers, batches, limits, and what is refused."""

from __future__ import annotations

import asyncio
import html
import math
import re
import shlex
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from danlu.core.store import Workspace
from danlu.serve.keys import open_keys
from tests.unit.serve import toy
from tests.unit.serve.client import asynchronous, opened

WORDS = {"weights": {"great": 2.0, "awful": -2.0}}


@asynchronous
async def test_one_text_and_several_give_the_same_answers(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS)
    async with opened(workspace) as (client, _):
        one = (await client.post("/v1/predict", json={"text": "great"})).json()
        several = (await client.post("/v1/predict", json={"texts": ["great", "awful"], "model": "toy"})).json()
    assert one["model"] == several["model"] == "toy"
    assert one["version"] == several["version"] == 1
    assert one["label"] == "good"
    assert math.isclose(one["probabilities"]["good"], 1 / (1 + math.exp(-2.0)), abs_tol=1e-6)
    assert {key: one[key] for key in ("label", "probabilities")} == several["predictions"][0]
    assert [row["label"] for row in several["predictions"]] == ["good", "bad"]


@asynchronous
async def test_waiting_texts_are_answered_together(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {**WORDS, "seconds": 0.02})
    async with opened(workspace, max_batch=8) as (client, live):
        await asyncio.gather(*(client.post("/v1/predict", json={"text": f"great {n}"}) for n in range(20)))
        calls = live.current.engine.calls[1:]  # the first is the warm-up
    assert sum(calls) == 20
    assert max(calls) == 8
    assert len(calls) < 10


@asynchronous
async def test_a_form_that_depends_on_its_batch_is_given_one_text_at_a_time(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS, batch_invariant=False)
    async with opened(workspace) as (client, live):
        await asyncio.gather(*(client.post("/v1/predict", json={"texts": ["a", "b", "c"]}) for _ in range(4)))
        assert set(live.current.engine.calls) == {1}


@asynchronous
async def test_too_many_waiting_texts_get_429_and_the_rest_an_answer(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {**WORDS, "seconds": 0.05})
    async with opened(workspace, max_batch=1, max_waiting=4, max_texts=4) as (client, _):
        answers = await asyncio.gather(*(client.post("/v1/predict", json={"text": "great"}) for _ in range(12)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes.count(200) == 4
    assert codes.count(429) == 8
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json()["error"]["code"] == "overloaded"


@asynchronous
async def test_the_event_loop_stays_free_while_the_engine_works(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {**WORDS, "seconds": 0.3})
    async with opened(workspace) as (client, _):
        slow = asyncio.create_task(client.post("/v1/predict", json={"text": "great"}))
        await asyncio.sleep(0.05)
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert not slow.done()
        assert (await slow).status_code == 200


@asynchronous
async def test_a_fault_of_the_engine_is_500_without_its_details(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    toy.publish(workspace, "toy", WORDS)
    async with opened(workspace) as (client, live):

        def fail(_texts: Any) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(live.current.engine, "predict", fail)
        answer = await client.post("/v1/predict", json={"texts": ["a", "b"]})
        monkeypatch.undo()
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "server_error"
        assert "secret" not in answer.text
        assert "secret detail" in caplog.text
        assert (await client.post("/v1/predict", json={"text": "great"})).status_code == 200


@asynchronous
async def test_a_text_that_the_engine_cannot_take_fails_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.publish(workspace, "toy", {**WORDS, "seconds": 0.02})
    async with opened(workspace) as (client, live):
        whole = live.current.engine.predict

        def choosy(texts: Sequence[str]) -> np.ndarray:
            rows = whole(texts)
            if "poison" in texts:
                raise RuntimeError("one text is too much")
            return rows

        monkeypatch.setattr(live.current.engine, "predict", choosy)
        texts = ["great", "awful", "poison", "great"]
        first = asyncio.create_task(client.post("/v1/predict", json={"text": "busy"}))
        await asyncio.sleep(0.01)  # what comes now waits together
        answers = await asyncio.gather(*(client.post("/v1/predict", json={"text": text}) for text in texts))
        calls = live.current.engine.calls[1:]
        assert (await first).status_code == 200
    assert [answer.status_code for answer in answers] == [200, 200, 500, 200]
    assert [answer.json().get("label") for answer in answers] == ["good", "bad", None, "good"]
    assert calls == [1, 4, 1, 1, 1, 1]


@pytest.mark.parametrize("rows", [1, 5])
@asynchronous
async def test_an_engine_that_miscounts_fails_the_request_and_hangs_nobody(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    toy.publish(workspace, "toy", WORDS)
    async with opened(workspace) as (client, live):
        monkeypatch.setattr(live.current.engine, "predict", lambda _texts: np.full((rows, 2), 0.5, dtype=np.float32))
        async with asyncio.timeout(5):
            answer = await client.post("/v1/predict", json={"texts": ["a", "b", "c"]})
        # One row for three texts: each is asked again alone, and one row for one text is right.
        assert answer.status_code == (200 if rows == 1 else 500)
        monkeypatch.undo()
        async with asyncio.timeout(5):
            assert (await client.post("/v1/predict", json={"text": "great"})).json()["label"] == "good"


JSON = {"Content-Type": "application/json"}
DEEP = b'{"text": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
BAD: list[tuple[str, int, str, dict[str, Any]]] = [
    ("broken json", 400, "invalid_json", {"content": b'{"text": ', "headers": JSON}),
    ("not utf-8", 400, "invalid_json", {"content": b'{"text": "\xff\xfe"}', "headers": JSON}),
    ("nested too deep", 400, "invalid", {"content": DEEP, "headers": JSON}),
    ("no body", 400, "invalid_request", {"headers": JSON}),
    ("a list", 400, "invalid_request", {"json": ["great"]}),
    ("a number", 400, "invalid_request", {"json": {"text": 3}}),
    ("numbers", 400, "invalid_request", {"json": {"texts": ["a", None]}}),
    ("both", 400, "invalid_request", {"json": {"text": "a", "texts": ["b"]}}),
    ("neither", 400, "invalid_request", {"json": {}}),
    ("empty list", 400, "invalid_request", {"json": {"texts": []}}),
    ("half a surrogate pair", 400, "invalid_request", {"content": b'{"text": "\\ud800"}', "headers": JSON}),
    ("a key that is no text", 400, "invalid_request", {"content": b'{"\\ud800": 1, "text": "a"}', "headers": JSON}),
    ("unknown key", 400, "unknown_parameter", {"json": {"txt": "a"}}),
    ("too many", 400, "too_many_texts", {"json": {"texts": ["a"] * 5}}),
    ("too long", 400, "text_too_long", {"json": {"text": "a" * 101}}),
    ("another model", 404, "model_not_found", {"json": {"text": "a", "model": "other"}}),
    ("a form", 415, "not_json", {"data": {"text": "a"}}),
    ("text/plain", 415, "not_json", {"content": b'{"text": "a"}', "headers": {"Content-Type": "text/plain"}}),
]


@asynchronous
async def test_bad_requests_get_a_clear_4xx(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS)
    async with opened(workspace, max_texts=4, max_characters=100, max_body_bytes=200_000) as (client, _):
        for name, status, code, request in BAD:
            answer = await client.post("/v1/predict", **request)
            assert answer.status_code == status, (name, answer.text)
            error = answer.json()["error"]
            assert set(error) == {"message", "type", "param", "code"}, name
            assert error["code"].startswith(code), (name, error)
            assert error["message"].strip(), name
            assert "Traceback" not in answer.text
        hint = await client.post("/v1/predict", json={"txt": "a"})
        assert "'text'" in hint.json()["error"]["message"]
        assert (await client.get("/v1/predict")).status_code == 405
        assert (await client.post("/nowhere")).json()["error"]["code"] == "not_found"
        assert (await client.post("/v1/completions", json={"prompt": "a"})).json()["error"]["code"] == "wrong_task"


@asynchronous
async def test_the_size_of_a_body_is_counted_as_it_comes(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS)
    taken = 0

    async def endless() -> Any:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield b"x" * 1000

    async with opened(workspace, max_body_bytes=5_000) as (client, _):
        announced = await client.post("/v1/predict", content=b"x" * 5_001)
        chunked = await client.post("/v1/predict", content=endless())
        assert announced.status_code == chunked.status_code == 413
        assert chunked.json()["error"]["code"] == "body_too_large"
        assert taken < 20
        fits = await client.post("/v1/predict", json={"text": "a" * 4_000})
        assert fits.status_code == 200


@asynchronous
async def test_models_health_and_the_openapi_page(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS)
    async with opened(workspace) as (client, _):
        models = (await client.get("/v1/models")).json()
        assert models["object"] == "list"
        assert models["data"][0]["id"] == "toy"
        assert models["data"][0]["object"] == "model"
        assert models["data"][0]["labels"] == ["bad", "good"]
        assert (await client.get("/v1/models/toy")).json() == models["data"][0]
        assert (await client.get("/v1/models/other")).status_code == 404
        ready = (await client.get("/readyz")).json()
        assert ready == {"status": "ready", "model": "toy", "version": 1, "problem": None}
        page: httpx.Response = await client.get("/openapi.json")
        paths = page.json()["paths"]
        assert {"/v1/predict", "/v1/models", "/healthz", "/readyz"} <= set(paths)
        schema = page.json()["components"]["schemas"]["PredictRequest"]
        assert all(field.get("description") for field in schema["properties"].values())
        assert schema["examples"]


@asynchronous
async def test_the_page_of_examples_needs_no_internet(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS)
    keys, key = open_keys(workspace)
    async with opened(workspace, keys=keys) as (client, _):
        answer = await client.get("/docs", headers={"Host": 'evil"><script>'})
        page = answer.text
        assert answer.headers["content-type"].startswith("text/html")
        assert "<script" not in page
        assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
        for path in (await client.get("/openapi.json")).json()["paths"]:
            assert path.replace("{name}", "MODEL") in page
        shown = html.unescape((await client.get("/docs")).text)
        found = re.search(r"curl http://test/v1/predict \\\n(.+?)</pre>", shown, re.DOTALL)
        assert found
        words = shlex.split(found.group(1).replace("\\\n", " "))
        assert words[:4] == ["-H", "Authorization: Bearer $KEY", "-H", "Content-Type: application/json"]
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        assert words[4] == "-d"
        copied = await client.post("/v1/predict", content=words[5], headers=headers)
        assert copied.json()["label"] in toy.LABELS


@pytest.mark.parametrize(
    ("task", "has", "has_not"),
    [
        ("classify", ["/v1/predict"], ["/v1/completions", "/v1/chat/completions"]),
        ("generate", ["/v1/completions", "/v1/chat/completions"], ["/v1/predict"]),
    ],
)
@asynchronous
async def test_the_page_offers_what_this_model_answers(
    workspace: Workspace, task: str, has: list[str], has_not: list[str]
) -> None:
    toy.publish(workspace, "toy", {"text": "a"} if task == "generate" else WORDS, task=task)
    async with opened(workspace) as (client, _):
        schema = (await client.get("/openapi.json")).json()
        page = (await client.get("/docs")).text
    assert set(has) <= set(schema["paths"])
    for path in has_not:
        assert path not in schema["paths"]
        assert path not in page


@asynchronous
async def test_the_bare_address_leads_to_the_page(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS)
    keys, _ = open_keys(workspace)
    async with opened(workspace, keys=keys) as (client, _):
        answer = await client.get("/")
        assert answer.is_redirect
        page = await client.get(answer.next_request.url)  # type: ignore[union-attr]
    assert page.status_code == 200
    assert "/v1/predict" in page.text
