"""Releases and files side by side: numbers counted by hand, and what is said of rows that do not compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from danlu import api
from danlu.compare.config import CompareConfig
from danlu.core.errors import DataError, UserError
from danlu.core.store import Workspace
from danlu.learning.corpus import read_rows
from danlu.metrics.paired import mcnemar
from tests.unit.compare import world
from tests.unit.compare.world import kinds, told

FAST = CompareConfig.model_validate({"requests": 20, "resamples": 200})


def compared(workspace: Workspace, *names: str, config: CompareConfig = FAST, on: str = "shop") -> dict[str, Any]:
    table = api.compare([str(name) for name in names], on=on, workspace=workspace.root, config=config)
    world.as_text(table)
    return table


def asked_rows(workspace: Workspace, columns: list[str]) -> dict[str, list[Any]]:
    folder = next((workspace.root / "artifacts" / "data").iterdir())
    return read_rows(folder, "test", columns)


def test_two_versions_and_a_file(workspace: Workspace, tmp_path: Path) -> None:
    rows = asked_rows(workspace, ["id", "text", "label"])
    # Every fourth answer of the file is wrong.
    other = {"good": "bad", "bad": "good"}
    answers = [label if place % 4 else other[label] for place, label in enumerate(rows["label"])]
    path = world.write_csv(
        tmp_path / "theirs.csv",
        "id,predicted",
        *(f"{name},{said}" for name, said in zip(rows["id"], answers, strict=True)),
    )
    table = compared(workspace, "shop@2", "shop@1", str(path))
    assert (table["rows"], table["rows_in_part"], table["primary"]) == (60, 60, "macro_f1")
    strong, weak, theirs = table["entrants"]
    assert strong["scores"]["accuracy"]["value"] == 1.0
    assert theirs["scores"]["accuracy"]["value"] == 0.75
    # The weak model knows two of three good words' signs wrongly or not at all, as its weights say.
    hits = []
    for text, label in zip(rows["text"], rows["label"], strict=True):
        weight = sum(world.WEAK["weights"].get(word, 0.0) for word in text.split())
        hits.append(("good" if weight > 0 else "bad") == label)
    assert weak["scores"]["accuracy"]["value"] == pytest.approx(sum(hits) / 60)
    assert strong["comparison"] is None
    comparison = weak["comparison"]
    assert comparison["difference"]["value"] < 0 and comparison["significant"]
    assert comparison["p_holm"] == pytest.approx(2 * comparison["p_value"])
    assert comparison["accuracy"]["p_value"] == mcnemar(hits, [True] * 60)["p_value"]
    assert strong["licence"] == "MIT" and theirs["licence"] is None
    assert strong["data"] == {
        "sources": [{"name": "rows.csv", "rows": 300, "licence": "CC0-1.0"}],
        "rows": 200,
        "tokens": 5_678,
        "languages": ["en"],
    }
    assert strong["context"] == 64 and strong["bytes"] > 0
    assert 0 < strong["latency"]["p50_ms"] <= strong["latency"]["p95_ms"]
    assert strong["cost"]["usd_per_1000"] == pytest.approx(0.25 * strong["cost"]["kwh_per_1000"])
    assert theirs["latency"] is None and theirs["cost"] is None
    # Labels alone have no calibration.
    assert theirs["scores"]["log_loss"] is None and strong["scores"]["log_loss"] is not None
    assert kinds(table, "theirs.csv") == {"seen_unknown", "no_probabilities"}
    assert kinds(table, "") == {"few_rows", "electricity_alone"}
    assert "clearly worse:" in table["sentence"]["en"] and "明显更差" in table["sentence"]["zh"]


def test_the_machines_price_is_added(workspace: Workspace) -> None:
    config = CompareConfig.model_validate({"requests": 20, "resamples": 100, "machine_price": 3.6})
    cost = compared(workspace, "shop@2", "shop@1", config=config)["entrants"][0]["cost"]
    assert cost["machine_usd"] == pytest.approx(cost["seconds_per_1000"] / 1_000)
    assert cost["usd_per_1000"] == pytest.approx(cost["energy_usd"] + cost["machine_usd"])


def test_rows_that_one_was_trained_on_are_left_out_for_all(workspace: Workspace) -> None:
    seen = world.rows(10, 240)
    elsewhere = world.write_corpus(workspace, {"train": [*world.rows(50, 1_000), *seen[:7]], "validation": seen[7:]})
    world.publish(workspace, "rival", world.STRONG, 9, elsewhere)
    table = compared(workspace, "shop", "rival")
    assert table["rows"] == 53
    assert kinds(table, "rival@1") == {"seen_dropped", "chosen_on"}
    assert kinds(table, "shop@2") == set()
    (said,) = [note["en"] for note in table["notes"] if note["kind"] == "seen_dropped"]
    assert said.startswith("7 of 60 rows, or ones nearly equal, were in the train part of what rival@1 was made from")
    kept = compared(workspace, "shop", "rival", config=FAST.model_copy(update={"keep_seen": True}))
    assert kept["rows"] == 60
    assert "seen_kept" in kinds(kept, "rival@1")


def test_where_no_row_is_left_that_is_told(workspace: Workspace) -> None:
    everything = world.write_corpus(workspace, {"train": world.rows(60, 240)})
    world.publish(workspace, "rival", world.STRONG, 9, everything)
    with pytest.raises(UserError, match="No row is left.*60 of 60 rows.*rival@1.*--keep-seen"):
        compared(workspace, "shop", "rival")


def test_a_file_by_text_that_lacks_rows_and_has_others(workspace: Workspace, tmp_path: Path) -> None:
    rows = asked_rows(workspace, ["text", "label"])
    lines = [f"{text.upper()}  ,{label}" for text, label in zip(rows["text"][5:], rows["label"][5:], strict=True)]
    lines[0] = lines[0].rpartition(",")[0] + ","  # an empty cell: the model gave no label
    path = world.write_csv(tmp_path / "theirs.csv", "text,prediction", *lines, "a text of another set,good")
    table = compared(workspace, "shop@2", str(path))
    assert table["rows"] == 55
    assert told(table, "theirs.csv")["unanswered"] == 1
    assert told(table, "theirs.csv")["scores"]["accuracy"]["value"] == pytest.approx(54 / 55)
    assert {"rows_missing", "rows_foreign", "unanswered"} <= kinds(table, "theirs.csv")
    assert "theirs.csv lacks 5 of 60 rows; nobody is scored on them." in [note["en"] for note in table["notes"]]


def test_a_file_with_texts_as_they_were_before_cleaning_and_masking(workspace: Workspace, tmp_path: Path) -> None:
    rows = world.rows(20, 900)
    given = [f"{row['text']}  mail jane{place}@example.com\u200b" for place, row in enumerate(rows)]
    for row in rows:
        row["text"] += " mail [EMAIL]"
    world.write_run(workspace, "masked", world.write_corpus(workspace, {"test": rows}))
    answers = [f"{text},{row['label']}" for text, row in zip(given, rows, strict=True)]
    path = world.write_csv(tmp_path / "theirs.csv", "text,predicted", *answers)
    table = compared(workspace, "shop@2", str(path), on="masked")
    assert table["rows"] == 20
    assert told(table, "theirs.csv")["scores"]["accuracy"]["value"] == 1.0


@pytest.mark.parametrize(
    ("header", "lines", "message"),
    [
        ("id,predicted", ["{id0},Goood"], r"theirs.csv, row 2: 'Goood' is no label of this run.*Did you mean 'good'\?"),
        ("id,predicted", ["{id0},good", "{id0},bad"], "row 3: another row has answered .* with 'good'"),
        ("id,predicted", ["nobody,good"], "None of the 1 rows of theirs.csv.*--rows-out"),
        (
            "id,label,gpt",
            ["{id0},good,bad"],
            r"no column with the answers. Its columns: 'id', 'label', 'gpt'.*--predicted",
        ),
        ("id,score", ["{id0},0.5"], r"no column with the answers. Its columns: 'id', 'score'.*--predicted"),
        ("name,predicted", ["x,good"], "no column with the texts.*column 'id'"),
    ],
)
def test_files_that_cannot_be_used(
    workspace: Workspace, tmp_path: Path, header: str, lines: list[str], message: str
) -> None:
    first = asked_rows(workspace, ["id"])["id"][0]
    path = world.write_csv(tmp_path / "theirs.csv", header, *(line.format(id0=first) for line in lines))
    with pytest.raises(DataError, match=message):
        compared(workspace, "shop@2", str(path))


def test_the_rows_to_answer_go_out_and_come_back(workspace: Workspace, tmp_path: Path) -> None:
    assert api.write_compare_rows(tmp_path / "rows.csv", on="shop", workspace=workspace.root) == 60
    header, *lines = (tmp_path / "rows.csv").read_text("utf-8-sig").splitlines()
    assert header == "id,text"
    answered = world.write_csv(
        tmp_path / "back.csv", "id,text,said", *(f"{line},{'good' if 'great' in line else 'bad'}" for line in lines)
    )
    config = FAST.model_copy(update={"predicted": "said"})
    back = told(compared(workspace, "shop@2", str(answered), config=config), "back.csv")
    truth = asked_rows(workspace, ["text", "label"])
    right = [("great" in text) == (label == "good") for text, label in zip(truth["text"], truth["label"], strict=True)]
    assert back["scores"]["accuracy"]["value"] == pytest.approx(sum(right) / 60)


def test_another_set_of_labels_is_told_or_refused(workspace: Workspace) -> None:
    rows = [
        row | {"label": f"very {row['label']}" if number % 3 else row["label"]}
        for number, row in enumerate(world.rows(30, 500))
    ]
    world.write_run(workspace, "wider", world.write_corpus(workspace, {"test": rows}))
    table = compared(workspace, "shop@2", "shop@1", on="wider")
    assert "labels_it_lacks" in kinds(table, "shop@2")
    assert any("'very bad', 'very good'" in note["en"] for note in table["notes"])
    rows = [{"text": row["text"], "label": f"l{number % 2}"} for number, row in enumerate(world.rows(30, 600))]
    world.write_run(workspace, "foreign", world.write_corpus(workspace, {"test": rows}))
    with pytest.raises(UserError, match="shop@2 answers 'bad', 'good', the run's rows have 'l0', 'l1'"):
        compared(workspace, "shop@2", "shop@1", on="foreign")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["shop@2"], "One model alone cannot be compared"),
        (["shop", "shop@2"], "shop@2 is named twice"),
        (["shop", "Shop!"], "'Shop!' names no model. Expected NAME"),
        (["shop", "gone.csv"], "There is no file 'gone.csv'"),
        (["shop", "shop@7"], "has no version '7'"),
        (["shop", "endpoint:http://127.0.0.1:1/v1"], "names no model; write endpoint:URL#MODEL"),
        (["shop", "endpoint:me:secret@host#m"], "is no address"),
        (["shop", "openai:gpt-x"], "OPENAI_API_KEY, which holds the key of gpt-x at api.openai.com, is not set"),
    ],
)
def test_names_that_mean_nothing(
    workspace: Workspace, names: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match=message) as refused:
        compared(workspace, *names)
    assert "//me:secret" not in str(refused.value)


def test_a_model_for_another_task_is_refused(workspace: Workspace) -> None:
    world.publish(workspace, "writer", {"text": "a b a"}, 5, None, task="generate")
    with pytest.raises(UserError, match="writer@1 is for generate, the run is for classify"):
        compared(workspace, "shop", "writer")


def test_a_release_whose_corpus_is_gone_is_compared_and_that_is_told(workspace: Workspace) -> None:
    world.publish(workspace, "old", world.STRONG, 5, None)
    table = compared(workspace, "shop", "old")
    assert kinds(table, "old@1") == {"corpus_gone"}
    assert told(table, "old@1")["data"] is None
    assert told(table, "old@1")["comparison"]["difference"]["value"] == 0.0
    assert not told(table, "old@1")["comparison"]["significant"]
