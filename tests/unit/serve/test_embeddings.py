"""/v1/embeddings: OpenAI's form, batches, limits, and what is refused."""

from __future__ import annotations

import asyncio
import base64

import numpy as np
import pytest

from danlu.core.errors import ModelError
from danlu.core.store import Workspace
from danlu.serve.keys import open_keys
from tests.unit.serve import toy
from tests.unit.serve.client import asynchronous, opened

WORDS = {"vectors": {"north": [0.0, 2.0, 0.0], "east": [3.0, 0.0, 0.0]}, "text": "north east"}


@asynchronous
async def test_one_text_and_several_as_numbers_and_as_base64(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS, task="embed")
    async with opened(workspace) as (client, _):
        one = (await client.post("/v1/embeddings", json={"input": "north east", "model": "toy"})).json()
        body = {"input": ["north", "east", "north"], "encoding_format": "base64", "dimensions": 3, "user": "u"}
        several = (await client.post("/v1/embeddings", json=body)).json()
    assert one["object"] == "list" and one["model"] == "toy"
    assert one["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    assert several["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert [row["index"] for row in several["data"]] == [0, 1, 2]
    assert {row["object"] for row in several["data"]} == {"embedding"}
    assert one["data"][0]["embedding"] == pytest.approx([3 / 13**0.5, 2 / 13**0.5, 0.0])
    rows = [np.frombuffer(base64.b64decode(row["embedding"]), dtype="<f4").tolist() for row in several["data"]]
    assert rows == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]


@asynchronous
async def test_waiting_texts_are_answered_together_and_alone_where_the_form_needs_it(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {**WORDS, "seconds": 0.02}, task="embed")
    toy.publish(workspace, "alone", WORDS, task="embed", batch_invariant=False)
    async with opened(workspace, max_batch=8) as (client, live):
        answers = await asyncio.gather(*(client.post("/v1/embeddings", json={"input": "north"}) for _ in range(20)))
        calls = live.current.engine.calls[1:]  # the first is the warm-up
        assert {answer.status_code for answer in answers} == {200}
    assert sum(calls) == 20
    assert max(calls) == 8
    async with opened(workspace, "alone") as (client, live):
        await asyncio.gather(*(client.post("/v1/embeddings", json={"input": ["north", "east"]}) for _ in range(4)))
        assert set(live.current.engine.calls) == {1}


@asynchronous
async def test_what_is_refused(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", WORDS, task="embed")
    keys, key = open_keys(workspace)
    headers = {"Authorization": f"Bearer {key}"}
    async with opened(workspace, keys=keys, max_texts=2, max_characters=10) as (client, live):
        assert (await client.post("/v1/embeddings", json={"input": "north"})).status_code == 401
        client.headers.update(headers)
        for body, code in (
            ({"input": []}, "invalid_request"),
            ({"input": ""}, "invalid_request"),
            ({"input": ["north", ""]}, "invalid_request"),
            ({"input": [[1, 2]]}, "invalid_request"),
            ({}, "invalid_request"),
            ({"input": "north", "dimensions": 2}, "invalid_request"),
            ({"input": "north", "encoding_format": "int8"}, "invalid_request"),
            ({"input": ["a", "b", "c"]}, "too_many_texts"),
            ({"input": "north " * 4}, "text_too_long"),
            ({"input": "north", "inputs": "a"}, "unknown_parameter"),
        ):
            answer = await client.post("/v1/embeddings", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), (body, answer.text)
        assert (await client.post("/v1/embeddings", json={"input": "a", "model": "x"})).status_code == 404
        wrong = await client.post("/v1/predict", json={"text": "north"})
        assert wrong.json()["error"]["code"] == "wrong_task"
        assert "/v1/embeddings" in wrong.json()["error"]["message"]
        assert (await client.post("/v1/embeddings", json={"input": "north"})).status_code == 200
        assert live.current.users == 0


@asynchronous
async def test_a_model_whose_vectors_have_no_length_is_not_served(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"vectors": {"Nothing": [0.0, 0.0]}, "text": ""}, task="embed")
    async with opened(workspace) as (client, _):
        page = (await client.get("/docs")).text
        assert "/v1/embeddings" in page
    words = {word: [0.0, 0.0] for word in ("A", "short", "text", "to", "warm", "up", "with.")}
    toy.publish(workspace, "broken", {"vectors": words, "text": ""}, task="embed")
    with pytest.raises(ModelError, match="no vector of length 1"):
        async with opened(workspace, "broken"):
            pass
