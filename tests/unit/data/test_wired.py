"""What the recipe may ask of the data stage beyond cleaning and splitting: it does it, and the card says so."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from danlu.data.config import DataConfig
from danlu.data.identity import folder_of, read_key
from danlu.data.labels.decisions import Decision, save
from danlu.data.steps import content_of
from tests.unit.data.test_stage import PARTS, WORKSPACE, card_of, distinct, make, rows_of, write

HELD_OUT = PARTS[1:]


def parts_of(out: Path, column: str) -> dict[str, set[str]]:
    """In which parts each value of a column is."""
    found: dict[str, set[str]] = {}
    for part in PARTS:
        for row in rows_of(out, part):
            found.setdefault(row[column], set()).add(part)
    return found


def test_spellings_are_merged_and_people_decide(tmp_path: Path) -> None:
    rows = distinct(60)
    rows[0]["label"], rows[2]["label"] = "GOOD", "fine"
    decided = content_of(rows[1]["text"])
    path = tmp_path / "labels.csv"
    votes = {"li": "good", "wang": "good"}
    empty = Decision(content=decided, given="bad", why="suspect", part="train", corpus="", text=rows[1]["text"])
    save(path, [empty.with_votes(votes, {}, "2026-11-25T00:00:00")])
    ctx = make(
        tmp_path,
        [write(tmp_path / "rows.jsonl", rows)],
        files={"data.labels.decisions": path},
        labels={"merge": {"good": ["GOOD", "fine"]}, "decisions": "labels.csv"},
    )
    labels = {row["content"]: row["label"] for part in PARTS for row in rows_of(ctx.out, part)}
    assert set(labels.values()) == {"good", "bad"}
    assert labels[decided] == "good"
    assert card_of(ctx.out)["relabelled"] == {"merged": 2, "changed": 1, "confirmed": 0}


def test_no_subject_and_no_conversation_straddles(tmp_path: Path) -> None:
    rows = [{**row, "who": f"customer {n % 15}", "talk": f"talk {n // 2}"} for n, row in enumerate(distinct(120))]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], subject="who", conversation="talk")
    for column in ("subject", "conversation", "cluster"):
        assert all(len(parts) == 1 for parts in parts_of(ctx.out, column).values())
    subjects = parts_of(ctx.out, "subject")
    key = read_key(folder_of(WORKSPACE))
    # Talks join customers; whatever joins two sides is rejected, and counted.
    assert set(subjects) <= {key.name(f"customer {n}") for n in range(15)}
    kept = sum(len(rows_of(ctx.out, part)) for part in PARTS)
    assert kept + len(rows_of(ctx.out, "rejected")) == 120


def test_a_split_by_time_tests_on_what_came_later(tmp_path: Path) -> None:
    rows = [{**row, "day": f"2024-{1 + n // 10:02d}-{1 + n % 10:02d}"} for n, row in enumerate(distinct(120))]
    dates = {"by": "time", "validation_from": "2024-09-01", "test_from": "2024-11-01"}
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], time="day", split=dates)
    times = {part: [row["time"] for row in rows_of(ctx.out, part)] for part in PARTS}
    assert max(times["train"]) < min(times["validation"])
    assert max(times["validation"]) < min(times["test"])
    assert [len(times[part]) for part in PARTS] == [80, 20, 20]


def test_the_newest_of_equal_texts_is_kept(tmp_path: Path) -> None:
    rows = [{**row, "day": "2024-01-01"} for row in distinct(40)]
    rows += [{**row, "day": "2025-01-01"} for row in rows[:10]]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], time="day", duplicates={"keep": "newest"})
    origins = {row["origin"] for part in PARTS for row in rows_of(ctx.out, part)}
    assert {f"rows.jsonl:{line}" for line in range(41, 51)} <= origins


def test_adding_rows_moves_none(tmp_path: Path) -> None:
    rows = distinct(300)
    before = make(tmp_path / "a", [write(tmp_path / "a" / "rows.jsonl", rows[:200])])
    after = make(tmp_path / "b", [write(tmp_path / "b" / "rows.jsonl", rows)])
    old, new = parts_of(before.out, "content"), parts_of(after.out, "content")
    assert len(old) == 200
    assert all(new[content] == parts for content, parts in old.items())


def test_added_rows_are_in_train_alone_with_their_parents_id(tmp_path: Path) -> None:
    rows = distinct(100)
    augment = {"copies": 2, "operations": [{"kind": "word_swap"}, {"kind": "character_noise"}], "labels": ["bad"]}
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], augment=augment, balance={"target": "largest"})
    train = rows_of(ctx.out, "train")
    added = [row for row in train if row["parent"]]
    real = {row["id"]: row for row in train if not row["parent"]}
    made = {row["id"]: row for row in added if row["operation"] != "repeat"}
    assert len({row["id"] for row in train}) == len(train)
    assert {row["label"] for row in made.values()} == {"bad"}
    assert all(row["parent"] in real for row in made.values())
    assert all(row["parent"] in real or row["parent"] in made for row in added)
    assert all(row["cluster"] == real[row["parent"]]["cluster"] for row in made.values())
    # Repeats bring the smaller class up to the larger one.
    assert len(set(Counter(row["label"] for row in train).values())) == 1
    held_out = {row["text"] for part in HELD_OUT for row in rows_of(ctx.out, part)}
    assert held_out.isdisjoint(row["text"] for row in added)
    assert not any(row["parent"] for part in HELD_OUT for row in rows_of(ctx.out, part))
    card = card_of(ctx.out)
    assert card["added"]["rows"] == len(added)
    assert card["leaked_rows"] == 0


def test_large_classes_may_be_left_out(tmp_path: Path) -> None:
    rows = [row for n, row in enumerate(distinct(200)) if row["label"] == "good" or n % 8 == 1]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], balance={"method": "undersample"})
    counts = Counter(row["label"] for row in rows_of(ctx.out, "train"))
    assert counts["good"] == counts["bad"]
    gone = [row for row in rows_of(ctx.out, "rejected") if row["reason"] == "undersampled"]
    assert len(gone) == card_of(ctx.out)["funnel"][-1]["dropped"]["undersampled"] > 0


def test_outliers_leave_train_alone(tmp_path: Path) -> None:
    rows = distinct(150)
    rows[10]["text"], rows[11]["text"] = "ζξφ ψωλ θηδ σρπ", "가나다 라마바 사아자 차카타"
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], outliers={"share": 0.05, "neighbours": 3})
    gone = [row["origin"] for row in rows_of(ctx.out, "rejected") if row["reason"] == "outlier"]
    train = len(rows_of(ctx.out, "train"))
    assert len(gone) == int((train + len(gone)) * 0.05)
    sides = parts_of(ctx.out, "text")
    for number in (10, 11):
        assert f"rows.jsonl:{number + 1}" in gone or sides[rows[number]["text"]] != {"train"}


def test_benchmarks_in_the_training_rows_are_told(tmp_path: Path) -> None:
    rows = distinct(120)
    benchmark = [{"question": row["text"]} for row in rows[:30]] + [{"question": "what is the capital of France"}] * 3
    path = write(tmp_path / "exam.jsonl", benchmark)
    ctx = make(
        tmp_path,
        [write(tmp_path / "rows.jsonl", rows)],
        files={"data.contamination[0].path": path},
        contamination=[{"path": "exam.jsonl", "text": "question"}],
    )
    found = card_of(ctx.out)["contamination"][0]
    train = {row["text"] for row in rows_of(ctx.out, "train")}
    assert found["rows"] == sum(row["question"] in train for row in benchmark) > 10
    assert found["reference_rows"] == 33
    assert (found["without_text"], found["unreadable"]) == (0, 0)
    example = found["examples"][0]
    assert example["kind"] == "near"
    number = int(example["reference"].removeprefix("exam.jsonl:")) - 1
    trained = {row["id"]: row["text"] for row in rows_of(ctx.out, "train")}
    assert trained[example["train"]] == benchmark[number]["question"]
    assert "exam.jsonl" in card_of(ctx.out)["warnings"][-1]


def test_a_benchmark_is_masked_as_the_rows_are(tmp_path: Path) -> None:
    rows = distinct(60)
    said = [f"order of 1380013{number:04d}, {row['text'][:12]}, write <b>to</b> " for number, row in enumerate(rows)]
    ends = "a@example.com when it is there, and again when it is not"
    exam: list[dict[str, Any]] = []
    for number, text in enumerate(said):
        rows[number]["text"] = text + ends
        # Another phone and another name: what is masked is alike.
        exam.append({"question": text.replace("1380013", "1590015") + ends.replace("a@", "b@")})
    exam[1:1] = [{"question": None}, {"other": "x"}, {"question": "<br>"}]
    path = write(tmp_path / "exam.jsonl", exam)
    with path.open("a", encoding="utf-8") as file:
        file.write("{broken\n")
    asked = {"path": "exam.jsonl", "text": "question"}
    files = {"data.contamination[0].path": path}
    source = write(tmp_path / "rows.jsonl", rows)
    ctx = make(tmp_path / "1", [source], files=files, contamination=[asked], duplicates={"near": False})
    found = card_of(ctx.out)["contamination"][0]
    train = card_of(ctx.out)["splits"]["train"]["rows"]
    assert found["near"] >= train > 30
    assert (found["reference_rows"], found["without_text"], found["unreadable"]) == (60, 3, 1)
    trained = {row["id"]: row["origin"] for row in rows_of(ctx.out, "train")}
    assert all(example["train"] in trained for example in found["examples"])
    assert "1590015" not in json.dumps(found)
    # Lines as the file has them: the rows without text count.
    assert {example["reference"] for example in found["examples"]} <= {
        "exam.jsonl:1",
        *(f"exam.jsonl:{line}" for line in range(5, 64)),
    }


def test_turns_are_masked_across_and_kept_apart(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(distinct(60)):
        messages = [
            {"role": "user", "content": f"{row['text']}, call me at 138"},
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": f"0013{number:04d}"},
            {"role": "assistant", "content": f"noted {row['text']}"},
        ]
        rows.append({"messages": messages})
    rows.append({"prompt": "who?", "chosen": "write to a@example.com", "rejected": "write to b@example.com now"})
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], task="generate", label=None)
    kept = [row for part in PARTS for row in rows_of(ctx.out, part)]
    assert len(kept) == 61
    talks = [row for row in kept if len(row["turns"]) == 4]
    assert {tuple(turn["role"] for turn in row["turns"]) for row in talks} == {("user", "assistant") * 2}
    assert {tuple(turn["learn"] for turn in row["turns"]) for row in talks} == {(False, True) * 2}
    assert all(row["text"] == "\n".join(turn["text"] for turn in row["turns"]) for row in kept)
    assert not any("0013" in row["text"] or row["text"].endswith("138") for row in kept)
    pair = next(row for row in kept if row["rejected"])
    assert (pair["turns"][-1]["text"], pair["rejected"]) == ("write to [EMAIL]", "write to [EMAIL] now")
    assert json.dumps(kept, default=str).count("@example.com") == 0


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"balance": {"method": "smote"}}, "'oversample' or 'undersample'"),
        ({"split": {"by": "time"}}, "needs data.time"),
        ({"duplicates": {"keep": "newest"}}, "needs data.time"),
        ({"speaker": "who"}, "speaker needs conversation"),
        ({"augment": {"generate": {"copies": 1}}}, "augment.generate needs endpoint"),
    ],
)
def test_what_does_not_fit_together_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataConfig.model_validate({"sources": [{"path": "a.csv"}], **section})


def test_no_question_is_asked_on_two_sides(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"question {number // 4}?", "completion": row["text"]} for number, row in enumerate(distinct(160))
    ]
    path = write(tmp_path / "rows.jsonl", rows)
    out = make(tmp_path / "kept", [path], task="generate").out
    by_prompt: dict[str, set[str]] = {}
    for part in PARTS:
        for row in rows_of(out, part):
            by_prompt.setdefault(row["turns"][0]["text"], set()).add(part)
    assert len(by_prompt) == 40
    assert all(len(parts) == 1 for parts in by_prompt.values())
    apart = make(tmp_path / "apart", [path], task="generate", split={"keep_together": []}).out
    sides = {part: {row["turns"][0]["text"] for row in rows_of(apart, part)} for part in PARTS}
    assert sides["train"] & sides["test"], "which is what it is for"
