"""The version that is live answers the same rows; the whole road with it is in tests/e2e/test_champion.py."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from danlu.core.artifact import Artifact, Record, content_hash, list_files, write_json
from danlu.core.context import Origin
from danlu.core.resource import Site
from danlu.core.store import Workspace
from danlu.engines.table import load
from danlu.evaluate.champion import run
from danlu.evaluate.config import ChampionConfig, ChampionStage
from danlu.evaluate.rows import read_part
from danlu.metrics.paired import compare_classifiers
from danlu.release.champion import locate
from danlu.release.registry import Registry
from tests.support import make_context
from tests.unit.engines import tiny
from tests.unit.evaluate.conftest import sentiment, write_corpus
from tests.unit.evaluate.test_evaluate import evaluated, settings


class Shop:
    """A workspace with a corpus, an export that ships `torch`, and releases of its other forms."""

    def __init__(self, folder: Path, corpus: Artifact, export: Artifact) -> None:
        self.folder = folder
        self.space = Workspace(folder / "space").open()
        self.data = self.publish("data", corpus.folder)
        self.export = self.publish("compress", export.folder)
        context, _ = evaluated(folder / "evaluate", self.data, self.export, settings("classify", baseline=False))
        self.evidence = self.publish("evaluate", context.out)

    def publish(self, stage: str, folder: Path, inputs: dict[str, Artifact] | None = None) -> Artifact:
        out = self.space.work_of(stage, "x") / "out"
        shutil.copytree(folder, out)
        (out / "record.json").unlink(missing_ok=True)
        files = list_files(out)
        content = content_hash(files)
        read = {name: [artifact.fingerprint, artifact.content] for name, artifact in (inputs or {}).items()}
        told: dict[str, Any] = {"stage": stage, "version": 1, "fingerprint": content, "content": content}
        empty: dict[str, Any] = {"resources": {}, "config": {}, "environment": {}, "libraries": {}, "kwh": None}
        when = {"started": "2026-01-01", "finished": "2026-01-01", "seconds": 0.0, "attempts": 1}
        record = Record(**told, **empty, **when, inputs=read, files=files, peak_memory_bytes=0, danlu="test")
        return self.space.publish(out, record)

    def release(
        self, form: str, *, corpus: Artifact | None = None, base: Artifact | None = None, task: str = "classify"
    ) -> Artifact:
        """Register the release of a form and make it the champion; `base` is the corpus of what it was made from."""
        folder = self.folder / f"release-{form}-{task}"
        shutil.copytree(self.export / "forms" / form, folder / "form")
        write_json(folder / "release.json", {"name": "mine", "task": task, "verdict": "ship", "gates": []})
        inputs = {"data": corpus or self.data, "compress": self.export}
        if base is not None:
            entry = {"content": "x", "inputs": {"data": [base.fingerprint, base.content]}}
            write_json(self.folder / "train" / "danlu.json", {"lineage": {"model.base": entry}})
            inputs["train"] = self.publish("train", self.folder / "train")
        made = self.publish("release", folder, inputs)
        registry = Registry(self.space, "mine")
        registry.promote(registry.register(made).number)
        return made

    def compare(self, name: str = "mine") -> tuple[dict[str, Any], list[str]]:
        """What the stage writes and warns."""
        site = Site(base=self.folder, cache=self.space.root / "cache", workspace=self.space.root)
        asked = ChampionConfig(name=name)
        shutil.rmtree(self.folder / "stage", ignore_errors=True)
        context = make_context(
            self.folder / "stage",
            stage="champion",
            inputs={"data": self.data, "compress": self.export, "evaluate": self.evidence},
            resources={"champion": locate(asked, site)},
        )
        origin = Origin(workspace=self.space.root, base=self.folder, stages={})
        context = dataclasses.replace(context, origin=origin)
        evaluate = settings("classify").evaluate
        run(context, ChampionStage(task="classify", evaluate=evaluate, champion=asked))
        found = json.loads((context.out / "champion.json").read_text(encoding="utf-8"))
        return found, context.emit.texts("warn")  # type: ignore[attr-defined]


@pytest.fixture
def shop(tmp_path: Path, corpus: Artifact, classify_export: Artifact) -> Shop:
    return Shop(tmp_path, corpus, classify_export)


def test_nothing_is_live_or_only_the_model_itself(shop: Shop) -> None:
    nothing = {"version": None, "comparison": None, "scores": None, "seen_rows": None, "missing": None}
    assert shop.compare() == (nothing, [])
    shop.release("torch")
    assert shop.compare() == (nothing, [])


def test_a_model_that_is_live_by_now_is_compared_with_what_it_replaced(shop: Shop) -> None:
    shop.release("onnx-int8")
    before = shop.compare()
    shop.release("torch")
    assert shop.compare() == before
    assert before[0]["version"]["number"] == 1
    Registry(shop.space, "mine").rollback()
    assert shop.compare() == before


def test_the_released_form_answers_the_same_rows_and_is_compared_in_pairs(shop: Shop) -> None:
    made = shop.release("onnx-int8")
    found, warned = shop.compare()
    test = read_part(shop.data, "test")
    theirs = load(made / "form", 1).predict(test.texts)
    table = parquet.read_table(shop.evidence / "predictions.parquet")
    ours = np.array(table["probabilities"].to_pylist())
    truth = [tiny.LABELS.index(label) for label in test.labels]
    expected = compare_classifiers(ours, theirs, truth, 100, 1)
    assert found["comparison"] == expected | {"rows": 90}
    assert found["scores"]["champion"]["accuracy"]["value"] == pytest.approx((theirs.argmax(axis=1) == truth).mean())
    assert (found["seen_rows"], found["missing"], warned) == (0, None, [])


@pytest.mark.parametrize("by", ["itself", "its base"])
def test_rows_that_it_has_learned_from_are_left_out(shop: Shop, tmp_path: Path, by: str) -> None:
    test = sentiment(90, 3)
    parts = {"train": sentiment(100, 11) + test[:25], "validation": test[25:40], "test": sentiment(40, 12)}
    other = shop.publish("data", write_corpus(tmp_path / "other", parts, tiny.LABELS).folder)
    shop.release("onnx-int8", **{"corpus" if by == "itself" else "base": other})  # type: ignore[arg-type]
    found, warned = shop.compare()
    known = {text for part in ("train", "validation") for text, _, _ in parts[part]}
    seen = sum(text in known for text, _, _ in test)
    assert seen >= 40
    assert (found["seen_rows"], found["comparison"]["rows"]) == (seen, 90 - seen)
    assert f"has learned from {seen} test rows" in warned[0]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("rows", "so that it would only remember their answers"),
        ("corpus", "the corpus that version 1 was trained on is gone"),
        ("release", "the files of version 1 are gone"),
        ("form", "are not those that were released"),
        ("task", "is for the task generate"),
    ],
)
def test_where_it_would_not_be_fair_or_cannot_be_there_is_no_comparison(
    shop: Shop, tmp_path: Path, spoil: str, why: str
) -> None:
    parts = {"train": sentiment(100, 11) + sentiment(90, 3)[:70], "validation": [], "test": sentiment(40, 12)}
    other = shop.publish("data", write_corpus(tmp_path / "other", parts, tiny.LABELS).folder)
    another = other if spoil in ("rows", "corpus") else None
    made = shop.release("onnx-int8", corpus=another, task="generate" if spoil == "task" else "classify")
    if spoil == "corpus":
        shutil.rmtree(other.folder)
    if spoil == "release":
        shutil.rmtree(made.folder)
    if spoil == "form":
        path = made / "form" / "form.json"
        path.write_bytes(path.read_bytes().replace(b"onnx-int8", b"onnx-int9"))
    found, warned = shop.compare()
    assert found["comparison"] is None
    assert why in found["missing"]
    assert why in warned[0]


def test_who_is_live_is_the_content_of_the_resource(shop: Shop) -> None:
    site = Site(base=shop.folder, cache=shop.space.root / "cache", workspace=shop.space.root)

    def listed() -> bytes:
        return locate(ChampionConfig(name="mine"), site).read_bytes()

    empty = listed()
    shop.release("onnx")
    first = listed()
    shop.release("onnx-int8")
    assert len({empty, first, listed()}) == 3
    Registry(shop.space, "mine").rollback()
    assert listed() == first
