"""A chat model as a competitor, over real HTTP: what it is asked, what counts, what it costs, what never leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu import api
from danlu.compare.asked import PROMPTS, place_of, prompt_for, sendable
from danlu.compare.config import CompareConfig
from danlu.compare.entrants import EndpointModel, read_entrants
from danlu.core.errors import BudgetReached, UserError
from danlu.core.store import Workspace
from tests.unit.compare import world
from tests.unit.compare.world import kinds, told
from tests.unit.engines.chat_server import ChatServer, chat_server

PHONE = "13800138000"


def knows_great(body: dict[str, Any]) -> tuple[str, str]:
    """A model that knows one word, spells as it likes, and now and then chats."""
    text = body["messages"][0]["content"].partition("Text:\n")[2]
    if "dull" in text:
        return "I would say that it is bad.", "stop"
    return ("**Good**." if "great" in text else "bad"), "stop"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with chat_server(knows_great) as made:
        yield made


def config(**endpoints: Any) -> CompareConfig:
    return CompareConfig.model_validate({"requests": 20, "resamples": 100, "endpoints": endpoints})


def test_an_endpoint_is_asked_scored_and_priced(workspace: Workspace, server: ChatServer) -> None:
    asked = config(prices={"m": {"prompt": 10.0, "completion": 100.0}}, max_tokens=16)
    names = ["shop@2", f"endpoint:{server.url}#m"]
    table = api.compare(names, on="shop", workspace=workspace.root, config=asked)
    world.as_text(table)
    name = table["entrants"][1]["name"]
    found = told(table, name)
    assert name == f"m at 127.0.0.1:{server.server_address[1]}"
    assert len(server.requests) == 60
    request = server.requests[0]
    assert (request["model"], request["temperature"], request["max_tokens"]) == ("m", 0.0, 16)
    assert server.text_of(0).startswith("Read the text below") and "- bad\n- good\n" in server.text_of(0)
    # Of the texts a third of the good ones has "great", a third of the bad ones "dull".
    texts = [server.text_of(number).partition("Text:\n")[2] for number in range(60)]
    right = sum("great" in text or "awful" in text or "broken" in text for text in texts)
    assert found["scores"]["accuracy"]["value"] == pytest.approx(right / 60)
    assert found["unanswered"] == sum("dull" in text for text in texts) > 0
    (said,) = [note["en"] for note in table["notes"] if note["kind"] == "unanswered"]
    assert "“I would say that it is bad.”" in said and "(0 of them cut off" in said
    read = sum(len(server.text_of(number).split()) for number in range(60))
    wrote = sum(len(knows_great(body)[0].split()) for body in server.requests)
    assert found["cost"]["prompt_tokens_per_1000"] == pytest.approx(read / 60 * 1_000)
    assert found["cost"]["usd_per_1000"] == pytest.approx((10 * read + 100 * wrote) / 60 * 1_000 / 1e6)
    assert found["latency"]["requests"] == 60 and found["latency"]["p50_ms"] > 0
    assert found["bytes"] is None and found["context"] is None
    assert kinds(table, name) == {"seen_unknown", "latency_elsewhere", "unanswered", "no_probabilities"}
    again = api.compare(names, on="shop", workspace=workspace.root, config=asked)
    assert len(server.requests) == 60
    assert told(again, name)["scores"] == found["scores"] and told(again, name)["latency"] == found["latency"]
    assert "latency_kept" in kinds(again, name)


def test_a_broken_off_comparison_pays_only_for_what_is_missing(workspace: Workspace, server: ChatServer) -> None:
    names = ["shop@2", f"endpoint:{server.url}#m"]
    prices = {"": {"prompt": 0.0, "completion": 1e6}}
    capped = config(prices=prices, max_usd=30.0, max_tokens=8, concurrency=2)
    with pytest.raises(BudgetReached, match="--max-usd allows are spent"):
        api.compare(names, on="shop", workspace=workspace.root, config=capped)
    before = len(server.requests)
    assert 0 < before < 60
    free = config(prices=prices, max_usd=1_000.0, max_tokens=8)
    table = api.compare(names, on="shop", workspace=workspace.root, config=free)
    assert len(server.requests) == 60
    assert table["rows"] == 60


def test_personal_data_is_masked_before_it_leaves(workspace: Workspace, server: ChatServer) -> None:
    rows = world.rows(20, 700)
    rows[3]["text"] += f" call {PHONE}"
    rows[4]["text"] += " [PHONE] 88886666"
    world.write_run(workspace, "unmasked", world.write_corpus(workspace, {"test": rows}))
    table = api.compare(
        ["shop@2", f"endpoint:{server.url}#m"], on="unmasked", workspace=workspace.root, config=config()
    )
    sent = "\n".join(server.text_of(number) for number in range(20))
    assert PHONE not in sent
    assert "call [PHONE]" in sent and " [PHONE] 88886666" in sent
    assert [note["en"][:38] for note in table["notes"] if note["kind"] == "masked"] == [
        "In 1 rows personal data was masked bef"
    ]
    kept = (workspace.root / "cache" / "endpoints").rglob("*.json")
    assert not any(PHONE in path.read_text() for path in kept)


def test_chinese_texts_are_asked_in_chinese_and_by_an_own_prompt(workspace: Workspace, server: ChatServer) -> None:
    world.write_run(workspace, "zh", world.write_corpus(workspace, {"test": world.rows(8, 800)}, language="zh"))
    names = ["shop@2", f"endpoint:{server.url}#m"]
    api.compare(names, on="zh", workspace=workspace.root, config=config())
    assert server.text_of(0).startswith("请阅读下面的文本")
    server.requests.clear()
    table = api.compare(
        names, on="zh", workspace=workspace.root, config=config(prompt="Mood of {text}?\n{labels}", temperature=None)
    )
    assert server.text_of(0).startswith("Mood of the ") and server.text_of(0).endswith("?\n- bad\n- good")
    assert "temperature" not in server.requests[0]
    assert {"own_temperature", "no_price"} <= kinds(table, table["entrants"][1]["name"])


def test_a_key_goes_to_whom_it_was_named_for(workspace: Workspace) -> None:
    def key(name: str, environment: dict[str, str], **named: Any) -> str | None:
        found = read_entrants(("shop", name), workspace, config(**named).endpoints, environment)[1]
        assert isinstance(found, EndpointModel)
        assert "sk-" not in repr(found)
        return found.key

    ours = {"OPENAI_API_KEY": "sk-openai", "THEIRS": "sk-theirs\n"}
    assert key("openai:gpt-x", ours) == "sk-openai"
    assert key("endpoint:http://localhost:8000/v1#m", ours) == "sk-openai"
    assert key("endpoint:http://127.0.0.1:8000/v1#m", {}) is None
    assert key("endpoint:https://api.openai.com.evil.example/v1#m", ours) is None
    assert key("endpoint:https://rival.example/v1#m", ours) is None
    assert key("endpoint:https://rival.example/v1#m", ours, key_env={"m": "THEIRS"}) == "sk-theirs"
    assert key("endpoint:https://rival.example/v1#m", ours, key_env={"": "OPENAI_API_KEY"}) == "sk-openai"
    with pytest.raises(UserError, match="THEIRS, which holds the key of m at rival.example, is not set"):
        key("endpoint:https://rival.example/v1#m", {}, key_env={"": "THEIRS"})
    with pytest.raises(UserError, match="--price names the model 'n', but the endpoints' models are m"):
        key("endpoint:https://rival.example/v1#m", ours, prices={"n": {"prompt": 1.0, "completion": 1.0}})
    with pytest.raises(UserError, match="--max-usd caps what m may cost, but its price is not known: --price m=IN/OUT"):
        key("endpoint:http://localhost/v1#m", ours, prices={"n": {"prompt": 1.0, "completion": 1.0}}, max_usd=1.0)


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ("good", 1),
        (" “Good.” ", 1),
        ("**bad**", 0),
        ("`GOOD`", 1),
        ("very good", 2),
        ("好评。", 3),
        ("good or bad", -1),
        ("The label is good", -1),
        ("", -1),
        ("...", -1),
        ("goo", -1),
    ],
)
def test_an_answer_is_a_label_or_none(answer: str, place: int) -> None:
    assert place_of(answer, ["bad", "good", "very good", "好评"]) == place


def test_labels_that_case_alone_sets_apart_need_their_case() -> None:
    assert [place_of(answer, ["Us", "us", "C."]) for answer in ("Us", "us", "US", "C.", "c")] == [0, 1, -1, 2, 2]


def test_prompts() -> None:
    assert prompt_for("{labels} {x} {text}", "a {labels} {text}", ["b", "c"]) == "- b\n- c {x} a {labels} {text}"
    assert all("{text}" in prompt and "{labels}" in prompt for prompt in PROMPTS.values())
    assert sendable(f"call {PHONE}") == "call [PHONE]"
    assert sendable("[PHONE_5d41402abc4b], 5551234 pieces") == "[PHONE_5d41402abc4b], 5551234 pieces"
    # What only looks like a mask's token is none.
    assert PHONE not in sendable(f"[TEL{PHONE}]")


def test_what_cannot_be_asked() -> None:
    with pytest.raises(ValueError, match="no price was given"):
        config(max_usd=1.0)
    with pytest.raises(ValueError, match="lacks {text}"):
        config(prompt="what is it?")


def test_an_endpoint_that_refuses_names_the_option(workspace: Workspace, server: ChatServer) -> None:
    server.refusals = [(401, "no key")] * 60
    with pytest.raises(UserError, match="status 401 after 1 try and said: no key.*--key-env"):
        api.compare(["shop@2", f"endpoint:{server.url}#m"], on="shop", workspace=workspace.root, config=config())


def test_two_endpoints_may_be_compared_without_a_release(
    workspace: Workspace, server: ChatServer, tmp_path: Path
) -> None:
    names = [f"endpoint:{server.url}#m", f"endpoint:{server.url}#n"]
    table = api.compare(names, on="shop", workspace=workspace.root, config=config())
    assert table["entrants"][1]["comparison"]["difference"]["value"] == 0.0


def test_ctrl_c_loses_no_answer(workspace: Workspace, server: ChatServer) -> None:
    def slowly(body: dict[str, Any]) -> tuple[str, str]:
        time.sleep(0.05)
        return knows_great(body)

    server.rule = slowly
    names = [f"endpoint:{server.url}#m", f"endpoint:{server.url}#n"]
    command = [sys.executable, "-m", "danlu", "compare", *names, "--on", "shop", "--workspace", str(workspace.root)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as run:
        until = time.monotonic() + 120
        while len(server.requests) < 20 and time.monotonic() < until:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert "The answers that came are kept" in said and "Traceback" not in said
    before = len(server.requests)
    assert 20 <= before < 120
    table = api.compare(names, on="shop", workspace=workspace.root, config=config())
    assert len(server.requests) == 120
    assert table["rows"] == 60
