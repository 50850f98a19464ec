"""Rows that have no answer get a teacher's: asked once, masked, counted, and within the cap."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from danlu.core.errors import BudgetReached, DataError, UserError
from danlu.data.clean import run
from danlu.data.config import CleanStage
from danlu.recipe import Recipe
from tests.support import make_context
from tests.unit.data.test_stage import PARTS, card_of, distinct, make, rows_of, write
from tests.unit.engines.chat_server import ChatServer, chat_server


def answer(body: dict[str, Any]) -> tuple[str, str]:
    """Labels by a rule, questions by an echo."""
    asked = body["messages"][0]["content"]
    if "labels" not in asked:
        return f"About {asked.split()[-1]} write to anna@example.com", "stop"
    if "odd" in asked:
        return "I would say it is rather good.", "stop"
    if "long" in asked:
        return "good", "length"
    return ("“Good”." if "nice" in asked else "bad"), "stop"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server(answer) as running:
        yield running


def section(server: ChatServer, **more: Any) -> dict[str, Any]:
    return {"endpoint": {"base_url": server.url, "model": "big"}, "labels": ["good", "bad"], **more}


def cleaned(folder: Path, task: str, rows: list[dict[str, str]], **data: Any) -> tuple[list[dict[str, Any]], Any, Any]:
    """The rows that stay, `clean.json`, and the context."""
    path = folder / "rows.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ctx = make_context(folder, stage="clean", resources={"data.sources[0].path": path})
    source = {"path": str(path), "licence": "CC0-1.0"}
    config = CleanStage.model_validate({"task": task, "data": {"sources": [source], **data}})
    run(ctx, config)
    found = [row for file in sorted((ctx.out / "texts").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    return found, json.loads((ctx.out / "clean.json").read_text(encoding="utf-8")), ctx


def texts(count: int) -> list[dict[str, str]]:
    """Every third row has a label of its own."""
    moods = ("nice", "poor")
    rows = [{"text": f"a {moods[number % 2]} thing, number {number}"} for number in range(count)]
    return [row | {"label": "mine"} if number % 3 == 0 else row for number, row in enumerate(rows)]


def test_labels_come_from_the_teacher_where_a_row_has_none(server: ChatServer, tmp_path: Path) -> None:
    rows = [*texts(30), {"text": "an odd thing", "label": " "}, {"text": "a long thing"}]
    price = {"prompt": 1.0, "completion": 2.0}
    found, card, ctx = cleaned(tmp_path, "classify", rows, teacher=section(server, price=price))
    assert len(server.requests) == 22
    assert "good, bad" in server.text_of(0) and server.requests[0]["temperature"] == 0.0
    labels = {row["text"]: row["label"] for row in found}
    assert len(labels) == 30
    for number, row in enumerate(rows[:30]):
        given = "good" if "nice" in row["text"] else "bad"
        assert labels[row["text"]] == ("mine" if number % 3 == 0 else given)
    told = card["teacher"]
    assert (told["rows"], told["answered"], told["model"]) == (22, 20, "big")
    assert told["dropped"] == {"cut_off": 1, "no_such_label": 1}
    assert told["answers"] == {"bad": 10, "good": 10}
    asked = sum(len(body["messages"][0]["content"].split()) for body in server.requests)
    assert told["prompt_tokens"] == asked
    assert told["usd"] == pytest.approx((asked + 2 * told["completion_tokens"]) / 1e6, abs=1e-6)
    assert card["funnel"][-1] == {"step": "teacher", "rows_in": 32, "rows_out": 30, "dropped": told["dropped"]}
    said = " ".join(ctx.emit.texts("warn"))
    assert "data.teacher.licence is empty" in said and "2 of 22 rows" in said


def test_answers_are_paid_for_once_and_the_card_says_the_same_again(server: ChatServer, tmp_path: Path) -> None:
    first, card, _ = cleaned(tmp_path, "classify", texts(30), teacher=section(server, licence="MIT"))
    asked = len(server.requests)
    again, card_again, ctx = cleaned(tmp_path, "classify", texts(30), teacher=section(server, licence="MIT"))
    assert len(server.requests) == asked
    assert (again, card_again) == (first, card)
    assert "licence" not in " ".join(ctx.emit.texts("warn"))


def test_the_cap_ends_the_run_and_keeps_what_came(server: ChatServer, tmp_path: Path) -> None:
    price = {"prompt": 1000.0, "completion": 1000.0}
    asked = {"endpoint": {"base_url": server.url, "model": "big", "concurrency": 1, "max_tokens": 8}}
    with pytest.raises(BudgetReached, match=r"data\.teacher\.max_usd"):
        cleaned(tmp_path, "classify", texts(30), teacher=section(server, price=price, max_usd=0.5) | asked)
    paid = len(server.requests)
    assert 0 < paid < 20
    found, _, _ = cleaned(tmp_path, "classify", texts(30), teacher=section(server, price=price, max_usd=50.0) | asked)
    assert len(found) == 30
    assert len(server.requests) == 20, "what was paid for is not asked again"


def test_a_question_becomes_a_conversation_whose_answer_is_masked(server: ChatServer, tmp_path: Path) -> None:
    rows = [{"text": f"What about parcel {number}?"} for number in range(20)]
    talk = {"messages": [{"role": "user", "content": "Open?"}, {"role": "assistant", "content": "From nine."}]}
    teacher = section(server, labels=[], prompt="Answer shortly: {text}")
    found, card, _ = cleaned(tmp_path, "generate", [*rows, talk], label=None, teacher=teacher)  # type: ignore[list-item]
    assert len(server.requests) == 20 and server.text_of(0).startswith("Answer shortly: What")
    asked = next(row for row in found if row["parts"][0] == "What about parcel 7?")
    assert asked["parts"] == ["What about parcel 7?", "About 7? write to [EMAIL]"]
    assert asked["roles"] == ["user", "assistant"] and asked["learn"] == [False, True]
    assert asked["text"] == "\n".join(asked["parts"])
    assert card["masked"]["email"] == 20
    assert next(row for row in found if row["parts"][0] == "Open?")["parts"][1] == "From nine."


def test_personal_data_that_is_not_masked_is_not_sent(server: ChatServer, tmp_path: Path) -> None:
    rows = [{"text": f"nice, call bob{number}@example.com"} for number in range(20)]
    with pytest.raises(DataError, match=r"unmasked personal data \(email\).*data\.teacher\.send_unmasked: true"):
        cleaned(tmp_path / "1", "classify", rows, label=None, mask=[], teacher=section(server))
    assert not server.requests
    found, _, _ = cleaned(tmp_path / "2", "classify", rows, label=None, teacher=section(server))
    assert len(found) == 20 and "[EMAIL]" in server.text_of(0)
    cleaned(tmp_path / "3", "classify", rows, label=None, mask=[], teacher=section(server, send_unmasked=True))
    assert "bob" in server.text_of(len(server.requests) - 1)


def test_held_out_rows_are_those_that_people_answered(server: ChatServer, tmp_path: Path) -> None:
    rows = [row if number % 3 else {"text": row["text"]} for number, row in enumerate(distinct(200))]
    ctx = make(tmp_path / "mixed", [write(tmp_path / "rows.jsonl", rows)], teacher=section(server, licence="MIT"))
    given = {row["text"] for row in rows if "label" in row}
    held_out = [row for part in PARTS[1:] for row in rows_of(ctx.out, part)]
    assert held_out and {row["text"] for row in held_out} <= given
    assert any(row["text"] not in given for row in rows_of(ctx.out, "train"))
    card = card_of(ctx.out)
    dropped = {step["step"]: step["dropped"] for step in card["funnel"]}["taught"]["taught"]
    assert 5 <= dropped <= 40
    assert sum(part["rows"] for part in card["splits"].values()) == 200 - dropped
    assert all(part["teacher"] == 0 < part["people"] for part in card["teacher"]["held_out"].values())
    readme = (ctx.out / "README.md").read_text(encoding="utf-8")
    assert "67 of 67 rows that had no answer got one of `big`" in readme and "Terms of its answers: MIT" in readme
    assert not [row for row in rows_of(ctx.out, "rejected") if row["text"]]


def test_where_all_rows_are_the_teachers_the_card_says_what_scores_mean(server: ChatServer, tmp_path: Path) -> None:
    rows = [{"text": row["text"]} for row in distinct(60)]
    rows[0] = {"text": "a nice lamp for once"}
    ctx = make(tmp_path / "all", [write(tmp_path / "rows.jsonl", rows)], label=None, teacher=section(server))
    assert sum(part["rows"] for part in card_of(ctx.out)["splits"].values()) == 60
    assert any("imitates its teacher" in warning for warning in card_of(ctx.out)["warnings"])


def test_what_a_recipe_may_ask(server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def recipe(task: str, teacher: dict[str, Any], budget: dict[str, Any] | None = None, **data: Any) -> Recipe:
        sources = [{"path": "a.jsonl", "licence": "MIT"}]
        scratch = {"scratch": {"layers": 1, "width": 32, "heads": 2, "vocabulary": 400}}
        sections = {"sources": sources, "label": None, "teacher": teacher, **data}
        whole = {"name": "a", "task": task, "data": sections, "model": scratch, "budget": budget or {}}
        return Recipe.model_validate(whole)

    assert recipe("classify", section(server)).data.teacher is not None
    for task, teacher, said in (
        ("regress", section(server), "data.teacher is for classify"),
        ("classify", section(server, labels=[]), "data.teacher needs labels"),
        ("classify", section(server, labels=["a", "A "]), "all different"),
        ("classify", section(server, labels=["1*", "1"]), "all different also without quotes"),
        ("classify", section(server, labels=["good", "!"]), "all different also without quotes"),
        ("classify", section(server, prompt="no text"), "prompt lacks"),
        ("classify", section(server, max_usd=1.0), "no price was given"),
    ):
        with pytest.raises(ValidationError, match=said):
            recipe(task, teacher)
    with pytest.raises(ValidationError, match="budget.usd counts electricity alone"):
        recipe("classify", section(server), budget={"usd": 5.0})
    capped = section(server, price={"prompt": 1.0, "completion": 1.0}, max_usd=1.0)
    assert recipe("classify", capped, budget={"usd": 5.0}).budget.usd == 5.0
    with pytest.raises(ValidationError, match=r"data\.split\.folds is tested on rows of the training part"):
        recipe("classify", section(server), split={"folds": 5})
    with pytest.raises(ValidationError, match=r"not told the cells of data\.columns"):
        recipe("classify", section(server), columns={"numeric": ["amount"]})
    keyed = section(server) | {"endpoint": {"base_url": server.url, "model": "big", "api_key_env": "NO_SUCH_KEY"}}
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(UserError, match=r"NO_SUCH_KEY, which data\.teacher\.endpoint\.api_key_env names, is not set"):
        cleaned(tmp_path, "classify", texts(30), teacher=keyed)


@pytest.mark.parametrize("policy", ["drop", "majority", "keep"])
@pytest.mark.parametrize("first", [True, False])
def test_a_teacher_has_no_say_where_people_answered(
    server: ChatServer, tmp_path: Path, policy: str, first: bool
) -> None:
    """All texts stay as people have them, wherever the copies stand and whatever the teacher says of them."""
    rows = distinct(120)
    # Of half of them the teacher says what people say, of half the opposite; two of its votes to one of theirs.
    copies = [{"text": row["text"]} for row in rows[:40]] * 2
    both = [*copies, *rows] if first else [*rows, *copies]
    path = write(tmp_path / "both.jsonl", both)
    ctx = make(tmp_path / "both", [path], label_conflicts=policy, teacher=section(server, licence="MIT"))
    assert len(server.requests) == 40
    kept = [(row["text"], row["label"]) for part in PARTS for row in rows_of(ctx.out, part)]
    assert sorted(kept) == sorted((row["text"], row["label"]) for row in rows)
    dropped = {step["step"]: step["dropped"] for step in card_of(ctx.out)["funnel"]}
    assert dropped["overruled"] == {"overruled": 80} and "taught" not in dropped


def test_of_near_copies_a_persons_is_kept(server: ChatServer, tmp_path: Path) -> None:
    rows = distinct(120)
    near = [{"text": row["text"] + "!!"} for row in rows[:40]]
    path = write(tmp_path / "near.jsonl", [*near, *rows])
    teacher = section(server, licence="MIT")
    ctx = make(tmp_path / "near", [path], duplicates={"drop_near": True}, teacher=teacher)
    kept = {row["text"] for part in PARTS for row in rows_of(ctx.out, part)}
    assert kept == {row["text"] for row in rows}


def test_a_held_out_part_of_a_few_rows_of_people_is_not_enough(server: ChatServer, tmp_path: Path) -> None:
    rows = [row if number % 12 == 0 else {"text": row["text"]} for number, row in enumerate(distinct(400))]
    ctx = make(tmp_path / "few", [write(tmp_path / "rows.jsonl", rows)], teacher=section(server, licence="MIT"))
    card = card_of(ctx.out)
    held_out = card["teacher"]["held_out"]
    for part in PARTS[1:]:
        assert sum(held_out[part].values()) == card["splits"][part]["rows"]
        assert 1 <= held_out[part]["people"] < held_out[part]["teacher"]
    assert any("imitates its teacher" in said and "of people" in said for said in card["warnings"])


def test_a_misspelt_label_asks_nobody(server: ChatServer, tmp_path: Path) -> None:
    rows = [{"text": row["text"], "mood": row["label"]} for row in distinct(30)]
    with pytest.raises(DataError, match=r"No source has the column 'modd'.*data\.label: null"):
        cleaned(tmp_path / "1", "classify", rows, label="modd", teacher=section(server))
    assert not server.requests
    found, _, _ = cleaned(tmp_path / "2", "classify", rows, label="mood", teacher=section(server))
    assert not server.requests and {row["label"] for row in found} == {"good", "bad"}
    cleaned(tmp_path / "3", "classify", rows, label=None, teacher=section(server))
    assert len(server.requests) == 30


def stars(body: dict[str, Any]) -> tuple[str, str]:
    """Stars by a rule, with and without their sign; a word that a text may hold is not filled in."""
    asked = body["messages"][0]["content"]
    assert "1*, 2*" in asked and asked.count("{text}") == asked.count("{labels}") == 2, asked
    return ("1*" if "poor" in asked else "**2**"), "stop"


def test_labels_may_end_in_a_sign_and_the_text_stands_wherever_it_is_named(tmp_path: Path) -> None:
    rows = [{"text": f"a {'nice' if number % 2 else 'poor'} {{text}} {{labels}} {number}"} for number in range(20)]
    with chat_server(stars) as running:
        teacher = section(running, labels=[" 1*", "2*"], prompt="Of {labels}: {text}. Again: {text}")
        found, card, _ = cleaned(tmp_path, "classify", rows, label=None, teacher=teacher)
    assert card["teacher"]["answers"] == {"1*": 10, "2*": 10} and not card["teacher"]["dropped"]
    assert {row["label"] for row in found} == {"1*", "2*"}


def test_equal_texts_are_paid_for_once_in_the_card_too(server: ChatServer, tmp_path: Path) -> None:
    rows = [{"text": f"a nice thing, number {number % 20}"} for number in range(60)]
    teacher = section(server, price={"prompt": 1e6, "completion": 0.0})
    _, card, _ = cleaned(tmp_path, "classify", rows, label=None, teacher=teacher)
    assert len(server.requests) == 20 and card["teacher"]["rows"] == card["teacher"]["answered"] == 60
    asked = sum(len(body["messages"][0]["content"].split()) for body in server.requests)
    assert card["teacher"]["prompt_tokens"] == card["teacher"]["usd"] == asked


def test_a_question_is_not_masked_again(server: ChatServer, tmp_path: Path) -> None:
    """The word in [PHONE] would make a phone of the number behind it."""
    rows = [{"text": f"It is 13800138000, 6222{number:04d}, what then of {number}"} for number in range(20)]
    found, card, _ = cleaned(tmp_path, "generate", rows, label=None, teacher=section(server, labels=[]))
    sent = {body["messages"][0]["content"] for body in server.requests}
    assert {row["parts"][0] for row in found} == sent and all("[PHONE]" in text for text in sent)
    assert card["masked"]["phone"] == 20 and card["masked"]["email"] == 20
