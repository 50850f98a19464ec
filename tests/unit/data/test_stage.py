"""The whole stage: what comes in comes out once, masked, on one side, and counted."""

from __future__ import annotations

import atexit
import hashlib
import itertools
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import Field

from danlu.core.artifact import content_hash, list_files
from danlu.core.config import Config, view
from danlu.core.context import Context
from danlu.core.errors import DataError, Interrupted
from danlu.core.resource import Site
from danlu.core.tasks import TaskName
from danlu.data import clean, duplicates, identity
from danlu.data.config import CleanStage, DataConfig, DataStage, DuplicatesStage
from danlu.data.stage import run
from tests.support import as_artifact, make_context

PARTS = ("train", "validation", "test")
#: Has the key of ids that tests share unless they bring a workspace of their own.
WORKSPACE = Path(tempfile.mkdtemp(prefix="danlu-tests-"))
atexit.register(shutil.rmtree, WORKSPACE, ignore_errors=True)
GOOD = ["great", "lovely", "solid", "bright", "superb", "handy", "neat", "perfect"]
BAD = ["awful", "broken", "flimsy", "dull", "useless", "noisy", "ugly", "faulty"]
THINGS = ["kettle", "lamp", "chair", "phone", "coat", "book", "pan", "bike", "clock", "bag", "desk", "cup"]


def distinct(count: int, seed: int = 1) -> list[dict[str, str]]:
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        label = ("good", "bad")[number % 2]
        words = [draw.choice(GOOD if label == "good" else BAD)] + [
            f"{draw.choice(THINGS)}{draw.randrange(10**6)}" for _ in range(8)
        ]
        rows.append({"text": " ".join(words), "label": label})
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


class Sections(Config):
    """The sections that the three stages of the room see parts of."""

    task: TaskName = Field(description="What the model is for.")
    data: DataConfig = Field(description="The recipe's data section.")


def make(
    folder: Path,
    paths: list[Path],
    task: str = "classify",
    files: dict[str, Path] | None = None,
    workspace: Path | None = None,
    **data: Any,
) -> Context:
    """Run the room's three stages; `files` are what other fields of the section name, by dotted path.

    `workspace` is whose key ids are hashed under; by default one for all tests of this process.
    """
    sources = [{"path": str(path), "licence": "CC0-1.0"} for path in paths]
    whole = Sections.model_validate({"task": task, "data": {"sources": sources, **data}})
    resources = {f"data.sources[{number}].path": path for number, path in enumerate(paths)}
    if whole.data.identity_key is not None:
        site = Site(base=folder, workspace=WORKSPACE if workspace is None else workspace)
        resources["data.identity_key"] = identity.resolve(whole.data.identity_key, site)
    cleaning = make_context(folder / "clean", stage="clean", resources=resources)
    clean.run(cleaning, view(CleanStage, whole))
    inputs = {"clean": as_artifact(cleaning.out, "clean")}
    comparing = make_context(folder / "duplicates", stage="duplicates", inputs=inputs)
    duplicates.run(comparing, view(DuplicatesStage, whole))
    inputs["duplicates"] = as_artifact(comparing.out, "duplicates")
    ctx = make_context(folder, stage="data", inputs=inputs, resources=files)
    run(ctx, view(DataStage, whole))
    return ctx


def rows_of(out: Path, part: str) -> list[dict[str, Any]]:
    return list(pq.read_table(out / part).to_pylist())


def card_of(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "card.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, list[dict[str, Any]]]:
    """Three hundred texts with exact copies, near copies, conflicts, personal data, and rows of no use."""
    folder = tmp_path_factory.mktemp("messy")
    rows = distinct(300)
    rows += rows[:60]
    rows += [{"text": row["text"] + "!!", "label": row["label"]} for row in rows[60:100]]
    rows += [
        {"text": rows[100]["text"], "label": "bad"},
        {"text": " ", "label": "good"},
        {"text": "x", "label": "good"},
    ]
    rows += [{"text": f"write to me{n}@example.com or 138001380{n:02d} about it", "label": "good"} for n in range(3)]
    rows += [{"text": "no label here", "label": ""}]
    return make(folder, [write(folder / "rows.jsonl", rows)], keep_rejected_text=True), rows


def test_every_row_is_kept_once_or_rejected_once(messy: tuple[Context, list[dict[str, Any]]]) -> None:
    ctx, rows = messy
    found = [row["id"] for part in (*PARTS, "rejected") for row in rows_of(ctx.out, part)]
    assert len(found) == len(set(found)) == len(rows)
    steps = card_of(ctx.out)["funnel"]
    assert steps[0]["rows_in"] == len(rows)
    for before, after in itertools.pairwise(steps):
        assert before["rows_out"] == after["rows_in"]
    for step in steps:
        assert step["rows_in"] - step["rows_out"] == sum(step["dropped"].values())
    kept = sum(len(rows_of(ctx.out, part)) for part in PARTS)
    assert steps[-1]["rows_out"] == kept == sum(part["rows"] for part in card_of(ctx.out)["splits"].values())
    assert len(rows_of(ctx.out, "rejected")) == sum(sum(step["dropped"].values()) for step in steps)


def test_reasons_are_counted(messy: tuple[Context, list[dict[str, Any]]]) -> None:
    dropped: dict[str, int] = {}
    for step in card_of(messy[0].out)["funnel"]:
        dropped |= step["dropped"]
    # Text 100 came twice with two labels; three masked texts became one.
    assert dropped == {"no_text": 1, "no_label": 1, "too_short": 1, "label_conflict": 2, "exact_duplicate": 62}


def test_no_text_or_cluster_is_on_two_sides(messy: tuple[Context, list[dict[str, Any]]]) -> None:
    out = messy[0].out
    for column in ("content", "cluster"):
        sides = [{row[column] for row in rows_of(out, part)} for part in PARTS]
        assert sides[0].isdisjoint(sides[1] | sides[2])
        assert sides[1].isdisjoint(sides[2])
    clusters: dict[str, int] = {}
    for part in PARTS:
        for row in rows_of(out, part):
            clusters[row["cluster"]] = clusters.get(row["cluster"], 0) + 1
    assert sorted(clusters.values())[-40:] == [2] * 40
    card = card_of(out)
    assert card["leaked_rows"] == 0
    assert card["duplicates"] == {
        "exact_dropped": 62,
        "near_clusters": 40,
        "near_rows": 80,
        "threshold": 0.8,
        "truncated_buckets": 0,
    }


def test_columns_are_what_later_stages_read(messy: tuple[Context, list[dict[str, Any]]]) -> None:
    out = messy[0].out
    for part in PARTS:
        rows = rows_of(out, part)
        assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
        for row in rows:
            assert row["content"] == hashlib.sha256(row["text"].encode()).hexdigest()
            assert (row["source"], row["licence"], row["subject"]) == ("rows.jsonl", "CC0-1.0", None)
            assert row["origin"].startswith("rows.jsonl:")
    assert card_of(out)["labels"] == ["bad", "good"]


def test_personal_data_is_nowhere(messy: tuple[Context, list[dict[str, Any]]]) -> None:
    out = messy[0].out
    texts = [row["text"] or "" for part in (*PARTS, "rejected") for row in rows_of(out, part)]
    assert not any("@example.com" in text or "1380013" in text for text in texts)
    assert "write to [EMAIL] or [PHONE] about it" in texts
    counts = card_of(out)["masked"]
    assert {kind: count for kind, count in counts.items() if count} == {"email": 3, "phone": 3}
    assert counts["china_id"] == 0, "what was looked for and not found is said too"


def test_the_card_for_people_says_the_same(messy: tuple[Context, list[dict[str, Any]]]) -> None:
    text = (messy[0].out / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlanguage: en\nlicense: cc0-1.0\n")
    assert "| Equal texts | 402 | 62 | exact duplicate: 62 |" in text
    assert "email 3" in text
    assert "/" + str(messy[0].out).split("/")[1] + "/" not in text


def test_naive_and_clean_scores_are_measured(messy: tuple[Context, list[dict[str, Any]]]) -> None:
    naive = card_of(messy[0].out)["naive"]
    assert naive["metric"] == "accuracy"
    assert 0 <= naive["naive"]["low"] <= naive["naive"]["value"] <= naive["naive"]["high"] <= 1
    assert naive["straddling_share"] > 0


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    rows = distinct(120) + distinct(40)
    hashes = []
    for name in ("one", "two"):
        ctx = make(tmp_path / name, [write(tmp_path / name / "rows.jsonl", rows)], max_rows=100)
        hashes.append(content_hash(list_files(ctx.out)))
    assert hashes[0] == hashes[1]
    assert card_of(tmp_path / "one" / "out")["funnel"][1] == {
        "step": "sample",
        "rows_in": 160,
        "rows_out": 100,
        "dropped": {"not_sampled": 60},
    }


def test_text_is_not_kept_unless_asked(tmp_path: Path) -> None:
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", distinct(40) * 2)])
    rejected = rows_of(ctx.out, "rejected")
    assert len(rejected) == 40
    assert {row["text"] for row in rejected} == {None}
    # The first of two equal rows stays.
    assert min(int(row["origin"].split(":")[1]) for row in rejected) == 41


def test_generate_has_no_labels_and_can_drop_near_duplicates(tmp_path: Path) -> None:
    rows = [{"text": row["text"] + end} for row in distinct(60) for end in ("", " !", "?")]
    ctx = make(
        tmp_path,
        [write(tmp_path / "rows.jsonl", rows)],
        task="generate",
        label=None,
        duplicates={"drop_near": True},
    )
    card = card_of(ctx.out)
    assert sum(part["rows"] for part in card["splits"].values()) == 60
    assert card["naive"] is None
    assert "label" not in rows_of(ctx.out, "train")[0]
    assert card["funnel"][-1]["dropped"] == {"near_duplicate": 120}


def test_one_file_twice_is_all_duplicates(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", distinct(40))
    card = card_of(make(tmp_path, [path, path]).out)
    assert card["funnel"][-1]["dropped"] == {"exact_duplicate": 40}
    assert [source["rows"] for source in card["sources"]] == [40, 40]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (distinct(12), "Only 12 usable rows are left of 12 read; at least 20 are needed"),
        (distinct(10) * 4, r"Only 10 usable rows are left of 40 read.*Dropped: 30 exact_duplicate"),
        ([{**row, "label": "good"} for row in distinct(40)], r"All 40 usable rows have the label 'good'"),
        ([{**row, "label": row["text"]} for row in distinct(40)], "has 40 different labels in 40 rows"),
    ],
)
def test_data_that_cannot_train_is_refused(rows: list[dict[str, str]], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        make(tmp_path, [write(tmp_path / "rows.jsonl", rows)])


def test_labels_in_two_spellings_are_warned_of(tmp_path: Path) -> None:
    rows = distinct(60)
    for number, spelling in ((0, "Good"), (2, "ｇｏｏｄ"), (4, "good "), (1, " bad")):
        rows[number]["label"] = spelling
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)])
    warnings = "\n".join(card_of(ctx.out)["warnings"])
    assert "' bad' (1 rows), 'bad' (29 rows). They are taken as one class" in warnings
    assert "'ｇｏｏｄ' (1 rows). They are kept as different classes" in warnings
    told = json.loads((tmp_path / "clean" / "out" / "clean.json").read_text())["warnings"]
    # What the clean stage said is on the card too, and is not said twice.
    assert card_of(ctx.out)["warnings"] == told + ctx.emit.texts("warn")


def test_a_stop_is_honoured(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", distinct(40))
    ctx = make_context(tmp_path, stage="clean", resources={"data.sources[0].path": path})
    ctx.limits.asked = "interrupted"
    config = CleanStage.model_validate({"task": "classify", "data": {"sources": [{"path": str(path)}]}})
    with pytest.raises(Interrupted):
        clean.run(ctx, config)


def test_masked_values_are_counted_right_whatever_threads_do(tmp_path: Path) -> None:
    """Enough rows for many batches at once; each has its own number of values."""
    rows = [
        {**row, "text": f"{row['text']} {' '.join(f'x{n}@example.com' for n in range(number % 4))} 1380013{number:04d}"}
        for number, row in enumerate(distinct(9_000))
    ]
    path = write(tmp_path / "rows.jsonl", rows)
    schema = {"max_rows": 8_000, "duplicates": {"near": False}, "task": "generate", "label": None}
    counts = [card_of(make(tmp_path / str(number), [path], **schema).out)["masked"] for number in range(2)]
    kept = [row for part in (*PARTS, "rejected") for row in rows_of(tmp_path / "0" / "out", part) if row["text"]]
    assert counts[0] == counts[1]
    assert counts[0]["phone"] == 8_000
    assert counts[0]["email"] == sum(row["text"].count("[EMAIL]") for row in kept)


def with_wide_twins(count: int) -> list[dict[str, str]]:
    """Texts that each come a second time in letters of full width, which no shingle tells to be equal."""
    rows = distinct(count)
    return rows + [
        {**row, "text": "".join(chr(ord(c) + 0xFEE0) if c >= "!" else c for c in row["text"])} for row in rows
    ]


def test_training_rows_like_a_held_out_one_are_dropped_and_counted_anew(tmp_path: Path) -> None:
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", with_wide_twins(60))])
    card = card_of(ctx.out)
    dropped = card["funnel"][-1]
    assert dropped["step"] == "near_test"
    assert 10 <= dropped["dropped"]["near_test"] <= 24
    assert [row["reason"] for row in rows_of(ctx.out, "rejected")] == ["near_test"] * dropped["dropped"]["near_test"]
    assert card["leaked_rows"] == 0
    assert card["splits"]["train"]["rows"] == len(rows_of(ctx.out, "train"))


def test_without_near_duplicates_leaks_are_reported_and_left(tmp_path: Path) -> None:
    rows = [{**row, "text": row["text"] + end} for row in distinct(60) for end in ("", "!!")]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], duplicates={"near": False})
    card = card_of(ctx.out)
    train = {row["text"].rstrip("!") for row in rows_of(ctx.out, "train")}
    held_out = [row["text"].rstrip("!") for part in PARTS[1:] for row in rows_of(ctx.out, part)]
    assert card["leaked_rows"] == sum(text in train for text in held_out) > 5
    assert sum(part["rows"] for part in card["splits"].values()) == 120


@pytest.mark.parametrize("name", ["data [v2]", "{1}", "x} y", "a*c", "a?c"])
def test_a_folder_that_looks_like_a_pattern_is_that_folder_alone(tmp_path: Path, name: str) -> None:
    # What a kill left in a folder that the pattern would also mean.
    left = write(tmp_path / "abc" / "clean" / "state" / "clean" / "raw" / "0000.parquet", [])
    ctx = make(tmp_path / name, [write(tmp_path / name / "rows.jsonl", distinct(60))])
    assert left.exists()
    assert sum(len(rows_of(ctx.out, part)) for part in PARTS) == 60


def test_an_answer_that_cleaning_empties_is_not_learned(tmp_path: Path) -> None:
    texts = [row["text"] for row in distinct(120)]
    rows = [{"prompt": one, "completion": other} for one, other in zip(texts[::2], texts[1::2], strict=True)]
    rows += [{"prompt": "What then?", "completion": answer} for answer in ("\u200b", "<br/>")]
    ctx = make(tmp_path, [write(tmp_path / "rows.jsonl", rows)], task="generate")
    assert all(turn["text"] for part in PARTS for row in rows_of(ctx.out, part) for turn in row["turns"])
    (step,) = [step for step in card_of(ctx.out)["funnel"] if step["step"] == "normalise"]
    assert step["dropped"] == {"empty_turn": 2}


def test_what_an_earlier_try_spilled_is_removed(tmp_path: Path) -> None:
    left = write(tmp_path / "duplicates" / "state" / "near-killed" / "000000.bin", [])
    make(tmp_path, [write(tmp_path / "rows.jsonl", distinct(60))])
    assert not left.parent.exists()
