"""`danlu data` as it is typed, on corpora that the real stages made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from danlu.cli.main import cli
from danlu.core.artifact import Artifact, write_json
from danlu.core.store import Workspace, write_json_atomically
from danlu.core.worker import Job
from danlu.data.identity import folder_of, read_key
from tests.unit.data.labels.example import publish
from tests.unit.data.test_stage import distinct, make, write

PERSON = "C-1042"


def walk(workspace: Workspace, scratch: Path, rows: list[dict[str, Any]], run: str, **data: Any) -> Artifact:
    """Clean, split and 'train' on these rows in the workspace, as the run `run` (a time) of "shop"."""
    path = write(scratch / "rows.jsonl", rows)
    data = {"subject": "who"} | data
    made = make(scratch, [path], workspace=workspace.root, **data)
    config = {"task": "classify", "data": data}
    inputs: dict[str, list[str]] = {}
    found = {}
    for stage, out in (("clean", scratch / "clean/out"), ("data", made.out), ("train", scratch / "model")):
        if stage == "train":
            write(out / "weights.jsonl", [{"of": found["data"].content}])
            inputs = {"data": inputs["data"]}
        found[stage] = publish(workspace, stage, out, config, dict(inputs))
        inputs[stage] = [found[stage].fingerprint, found[stage].content]
    record = {
        "name": "shop",
        "stages": [{"stage": name, "fingerprint": one.fingerprint} for name, one in found.items()],
    }
    for name in (run, "latest"):
        write_json_atomically(workspace.root / "runs/shop" / f"{name}.json", record)
    return found["data"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("data")
    store = Workspace(folder / ".danlu").open()
    rows = [{**row, "who": PERSON if number < 3 else f"P{number}"} for number, row in enumerate(distinct(80))]
    walk(store, folder / "one", rows[3:], "20260101")
    changed = [*rows[:2], {**rows[2], "text": rows[3]["text"], "label": rows[3]["label"]}, *rows[3:]]
    changed[10] = {**rows[10], "label": "bad" if rows[10]["label"] == "good" else "good"}
    walk(store, folder / "two", changed, "20260102", min_characters=3)
    return store


def ask(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["data", *arguments, "--workspace", str(workspace.root)])


def values(workspace: Workspace, *arguments: str) -> Any:
    said = ask(workspace, *arguments, "--json")
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


def test_card_says_where_it_is(workspace: Workspace) -> None:
    told = values(workspace, "card", "shop")
    assert Path(told["page"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert told["card"]["sources"][0]["licence"] == "CC0-1.0"
    said = ask(workspace, "card", told["fingerprint"][:8])
    assert said.exit_code == 0
    assert "CC0-1.0" in said.stdout
    assert "card.html" in said.stdout.replace("\n", "")


def test_diff_counts_what_changed(workspace: Workspace) -> None:
    told = values(workspace, "diff", "shop@previous", "shop")
    assert told["rows"] == [77, 79]  # one of the person's three rows equals another row
    assert (told["added"], told["removed"], told["kept"]) == (2, 0, 77)
    assert sum(told["relabelled"].values()) == 1
    assert told["settings"]["data.min_characters"] == [None, 3]
    assert len(told["files_added"]) == len(told["files_removed"]) == 1
    assert told["counts"]["source"] == {"rows.jsonl": [77, 79]}
    assert not list((workspace.root / "cache").glob("compare-*"))
    back = values(workspace, "diff", "shop", "shop@previous")
    assert (back["added"], back["removed"]) == (0, 2)
    same = ask(workspace, "diff", "shop", "shop")
    assert "The same rows" in same.stdout
    assert "1 have another label" in ask(workspace, "diff", "shop@previous", "shop").stdout


def test_find_lists_the_person_down_to_the_model(workspace: Workspace) -> None:
    told = values(workspace, "find", "--subject", PERSON)
    assert [holder["stage"] for holder in told["holders"]] == ["clean", "data", "train"]
    clean, corpus, model = told["holders"]
    assert clean["rows"] == {"texts": 3}
    assert sum(corpus["rows"].values()) == 3  # the equal text is in rejected/, or another row is there in its place
    assert {row["origin"] for row in clean["listed"]} == {f"rows.jsonl:{line}" for line in (1, 2, 3)}
    assert model["of"] == ["data"]
    assert values(workspace, "find", "--subject", read_key(folder_of(workspace.root)).name(PERSON)) == told
    assert "train" in ask(workspace, "find", "--subject", PERSON, "--in", "shop").stdout


def test_find_lists_models_that_stand_on_one_of_an_earlier_run(workspace: Workspace, tmp_path: Path) -> None:
    first = values(workspace, "find", "--subject", PERSON)["holders"][-1]
    assert first["stage"] == "train"
    base = workspace.find("train", first["fingerprint"])
    assert base is not None
    entry = {"content": base.content, "inputs": {}, "held_out_seen": 0}
    store = Workspace(tmp_path / ".danlu")
    shutil.copytree(workspace.root, store.root)
    found = {}
    for name, stage, file in (
        ("base", "train", "danlu.json"),
        ("gone", "train", "danlu.json"),
        ("folds", "folds", "members/0/danlu.json"),
        ("other", "train", "danlu.json"),
    ):
        told: dict[str, Any] = {"name": name, "lineage": {"model.base": entry}}
        if name == "gone":  # what it stands on has been cleared away; the corpus of that has not
            corpus = workspace.find("data", values(workspace, "find", "--subject", PERSON)["holders"][1]["fingerprint"])
            assert corpus is not None
            told = {"lineage": {"model.base": {"content": "gone", "inputs": {"data": ["x", corpus.content]}}}}
        elif name == "other":
            told = {"lineage": {"model.base": {"content": "of nobody", "inputs": {}}}}
        write_json(tmp_path / name / file, told)
        found[name] = publish(store, stage, tmp_path / name, {}, {"data": ["x", "a corpus without the person"]})
    holders = {holder["fingerprint"]: holder["of"] for holder in values(store, "find", "--subject", PERSON)["holders"]}
    assert holders[found["base"].fingerprint] == ["train"]
    assert holders[found["folds"].fingerprint] == ["train"]
    assert holders[found["gone"].fingerprint] == ["data"]
    assert found["other"].fingerprint not in holders


def test_find_says_plainly_when_there_is_nothing(workspace: Workspace) -> None:
    said = ask(workspace, "find", "--subject", "nobody")
    assert said.exit_code == 0
    assert "Nothing in" in said.stdout
    assert values(workspace, "find", "--subject", "nobody") == {
        "holders": [],
        "versions": [],
        "without_subjects": [],
        "without_key": [],
        "not_searched": [],
    }
    assert ask(workspace, "find").exit_code == 2


def test_find_gives_no_all_clear_for_a_corpus_that_knows_no_subjects(tmp_path: Path) -> None:
    store = Workspace(tmp_path / ".danlu").open()
    rows = [{**row, "who": PERSON if number < 3 else f"P{number}"} for number, row in enumerate(distinct(60))]
    blind = walk(store, tmp_path / "blind", rows, "20260101", subject=None)
    walk(store, tmp_path / "seeing", rows, "20260102")
    told = values(store, "find", "--subject", PERSON)
    (found,) = [holder for holder in told["holders"] if holder["fingerprint"] == blind.fingerprint]
    assert sum(found["rows"].values()) == 3, "the same rows of the same file"
    assert len(told["without_subjects"]) == 1
    assert "cannot be said" in ask(store, "find", "--subject", "nobody").stdout


def test_find_tells_what_stopped_runs_left_and_what_was_not_looked_into(tmp_path: Path) -> None:
    store = Workspace(tmp_path / ".danlu").open()
    rows = [{**row, "who": PERSON if number < 3 else f"P{number}"} for number, row in enumerate(distinct(60))]
    corpus = walk(store, tmp_path / "one", rows, "20260101")
    other = walk(store, tmp_path / "two", rows[3:], "20260102")
    jobs = (("folds", {"data": corpus.fingerprint}), ("tune", {"data": other.fingerprint}), ("clean", {}))
    for stage, inputs in jobs:
        job = {"stage": stage, "fingerprint": "f" * 64, "inputs": inputs}
        assert job.keys() <= Job.model_fields.keys(), "as a stage's process is told"
        write_json_atomically(store.work_of(stage, "f" * 64) / "job.json", job)
    (store.root / "cache" / "sources").mkdir(parents=True)
    told = values(store, "find", "--subject", PERSON)
    (left,) = [holder for holder in told["holders"] if holder["unfinished"]]
    assert (left["stage"], left["of"], left["folder"]) == ("folds", ["data"], str(store.work_of("folds", "f" * 64)))
    assert [one["path"] for one in told["not_searched"]] == [str(store.work_of("clean", "f" * 64))]
    (store.root / "cache" / "sources" / "rows.parquet").write_bytes(b"PAR1")
    said = ask(store, "find", "--subject", PERSON).stdout.replace("\n", "")
    assert "stopped, has read data" in said
    assert f"Not looked into: {store.root / 'cache' / 'sources'}" in said
    nobody = ask(store, "find", "--subject", "nobody").stdout
    assert "folds" not in nobody and "Not looked into" in nobody


def test_find_by_words(workspace: Workspace) -> None:
    words = distinct(80)[20]["text"][:25].upper()
    told = values(workspace, "find", "--text", words)
    assert [holder["stage"] for holder in told["holders"]].count("data") == 2
    assert told["holders"][0]["rows"] == {"texts": 1}


def test_trace_leads_to_file_and_line(workspace: Workspace) -> None:
    row = values(workspace, "find", "--subject", PERSON)["holders"][0]["listed"][0]
    (found,) = values(workspace, "trace", row["id"][:12])
    assert (found["file"], found["line"]) == tuple(row["origin"].split(":"))
    digest = values(workspace, "card", "shop")["card"]["sources"][0]["files"][0]["sha256"]
    assert [(file["sha256"], file["licence"]) for file in found["files"]] == [(digest, "CC0-1.0")]
    assert {place["stage"] for place in found["places"]} == {"clean", "data"}
    assert digest in ask(workspace, "trace", row["id"][:12]).stdout
    assert values(workspace, "trace", "ffffffffffff") == []
    assert ask(workspace, "trace", "abc").exit_code != 0


def test_find_gives_no_all_clear_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Workspace(tmp_path / ".danlu").open()
    rows = [{**row, "who": f"P{number}"} for number, row in enumerate(distinct(60))]
    walk(store, tmp_path / "one", rows, "20260101")
    monkeypatch.setenv("IDS", "sixteen bytes or more")
    walk(store, tmp_path / "two", rows, "20260102", identity_key={"env": "IDS"})
    told = values(store, "find", "--subject", "P5")
    assert told["without_key"] == []
    assert [holder["stage"] for holder in told["holders"]].count("clean") == 2, "under both keys"
    monkeypatch.delenv("IDS")
    (store.root / "keys" / "identity").unlink()
    told = values(store, "find", "--subject", "P5")
    assert told["holders"] == []
    assert len(told["without_key"]) == 2
    said = ask(store, "find", "--subject", "P5").stdout
    assert "cannot be said. Put back" in said.replace("\n", " ")
    assert not (store.root / "keys" / "identity").exists(), "asking makes no key"
