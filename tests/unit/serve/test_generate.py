"""/v1/completions and /v1/chat/completions: OpenAI's wire form, streams, and clients that leave."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from danlu.core.store import Workspace
from tests.unit.serve import toy
from tests.unit.serve.client import asynchronous, opened

TEXT = {"text": "one two three four five six one two end"}


def events(answer: httpx.Response) -> list[Any]:
    """The events of a stream, the last one checked to be [DONE]."""
    blocks = answer.text.split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") for block in blocks)
    assert blocks.pop() == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


@asynchronous
async def test_a_completion_whole_and_streamed_is_the_same_text(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", TEXT, task="generate")
    request = {"prompt": "one", "max_tokens": 3, "temperature": 0}
    async with opened(workspace) as (client, _):
        whole = (await client.post("/v1/completions", json=request)).json()
        options = {"stream": True, "stream_options": {"include_usage": True}}
        answer = await client.post("/v1/completions", json=request | options)
    assert whole["object"] == "text_completion"
    assert whole["model"] == "toy"
    assert whole["choices"] == [{"index": 0, "text": " two three four", "logprobs": None, "finish_reason": "length"}]
    assert whole["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    assert answer.headers["content-type"].startswith("text/event-stream")
    *pieces, last, usage = events(answer)
    assert "".join(event["choices"][0]["text"] for event in pieces) == " two three four"
    assert all(event["choices"][0]["finish_reason"] is None for event in pieces)
    assert last["choices"][0]["finish_reason"] == "length"
    assert usage["choices"] == []
    assert usage["usage"] == whole["usage"]
    assert len({event["id"] for event in [*pieces, last, usage]}) == 1


@asynchronous
async def test_a_chat_whole_and_streamed(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", TEXT, task="generate")
    request = {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "five"}]},
        ],
        "temperature": 0,
        "max_completion_tokens": 8,
        "stop": "three",
    }
    async with opened(workspace) as (client, _):
        whole = (await client.post("/v1/chat/completions", json=request)).json()
        streamed = events(await client.post("/v1/chat/completions", json=request | {"stream": True}))
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": " six one two"}
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert streamed[0]["object"] == "chat.completion.chunk"
    assert streamed[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in streamed) == " six one two"
    assert streamed[-1]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}


@asynchronous
async def test_a_seed_decides_the_text(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"text": "a b a c a d a e a f a g a h a"}, task="generate")

    async with opened(workspace) as (client, _):

        async def text(**more: Any) -> str:
            answer = await client.post("/v1/completions", json={"prompt": "a", "max_tokens": 20, **more})
            return str(answer.json()["choices"][0]["text"])

        assert await text(seed=1) == await text(seed=1)
        assert len({await text() for _ in range(5)}) > 1


@asynchronous
async def test_a_chat_template_makes_the_prompt(workspace: Workspace) -> None:
    made = toy.release(workspace, "toy", TEXT, task="generate")
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %} five"
    settings = {"chat_template": template, "eos_token": {"content": "</s>"}}
    (made.folder / "form" / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    toy.go_live(workspace, "toy", toy.seal(made.folder))
    async with opened(workspace) as (client, live):
        messages = [{"role": "user", "content": "hello"}]
        assert live.current.texts.prompt(messages) == "<user>hello</s> five"
        answer = await client.post(
            "/v1/chat/completions", json={"messages": messages, "max_tokens": 1, "temperature": 0}
        )
        assert answer.json()["choices"][0]["message"]["content"] == " six"


@asynchronous
async def test_a_template_cannot_reach_beyond_the_messages(workspace: Workspace) -> None:
    made = toy.release(workspace, "toy", TEXT, task="generate")
    attack = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    (made.folder / "form" / "chat_template.jinja").write_text(attack, encoding="utf-8")
    toy.go_live(workspace, "toy", toy.seal(made.folder))
    async with opened(workspace) as (client, _):
        answer = await client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "a"}]})
        assert answer.status_code == 400
        assert "template" in answer.json()["error"]["message"]


@asynchronous
async def test_what_is_not_supported_is_refused(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", TEXT, task="generate")
    wrong = [
        {"n": 2},
        {"logprobs": 1},
        {"presence_penalty": 0.5},
        {"temperature": 3},
        {"temperature": "hot"},
        {"top_p": 0},
        {"max_tokens": 0},
        {"max_tokens": 65},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"stop": ""},
        {"prompt": ""},
        {"prompt": "x" * 101},
        {"prompt": ["one", "two"]},
    ]
    async with opened(workspace, max_new_tokens=64, max_characters=100) as (client, live):
        for more in wrong:
            answer = await client.post("/v1/completions", json={"prompt": "one", **more})
            assert answer.status_code == 400, (more, answer.text)
            assert answer.json()["error"]["message"], more
        chats: list[Any] = [[], [{"role": "robot", "content": "a"}], [{"role": "user"}], "hello"]
        for messages in chats:
            answer = await client.post("/v1/chat/completions", json={"messages": messages})
            assert answer.status_code == 400, (messages, answer.text)
        taken = {"prompt": "one", "max_tokens": 1, "presence_penalty": 0, "user": "u", "metadata": {"a": 1}}
        assert (await client.post("/v1/completions", json=taken)).status_code == 200
        refused = (await client.post("/v1/predict", json={"text": "a"})).json()["error"]
        assert refused["code"] == "wrong_task"
        assert "/v1/chat/completions and /v1/completions" in refused["message"]
        assert live.current.users == 0


@asynchronous
async def test_texts_take_turns_and_too_many_get_429(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"text": "a a", "seconds": 0.01}, task="generate")
    request = {"prompt": "a", "max_tokens": 10, "stream": True}
    async with opened(workspace, max_streams=3) as (client, live):
        answers = await asyncio.gather(*(client.post("/v1/completions", json=request) for _ in range(5)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [200, 200, 200, 429, 429]
        assert live.current.users == 0
        assert (await client.post("/v1/completions", json=request)).status_code == 200


@asynchronous
async def test_a_fault_before_and_amid_a_stream(workspace: Workspace) -> None:
    toy.publish(workspace, "toy", {"text": "a fault a"}, task="generate")
    async with opened(workspace) as (client, live):
        before = await client.post("/v1/completions", json={"prompt": "fault", "stream": True})
        assert before.status_code == 500
        amid = await client.post("/v1/completions", json={"prompt": "a", "stream": True, "temperature": 0})
        assert amid.status_code == 200
        blocks = [block.removeprefix("data: ") for block in amid.text.split("\n\n") if block]
        assert json.loads(blocks[0])["choices"][0]["text"] == " fault"
        assert json.loads(blocks[-1])["error"]["code"] == "internal_error"
        assert "secret" not in before.text + amid.text
        assert live.current.users == 0
