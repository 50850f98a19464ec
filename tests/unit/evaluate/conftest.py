from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from danlu.core.artifact import Artifact, write_json
from danlu.learning.batching import pack_rows
from tests.support import as_artifact
from tests.unit.engines import tiny

#: Rows of one part: (text, label or None, cluster).
Rows = list[tuple[str, str | None, str]]

NAIVE = {"metric": "accuracy", "naive": {"value": 0.9, "low": 0.8, "high": 1.0}, "straddling_share": 0.2}


def write_part(folder: Path, rows: Rows, files: int = 2) -> None:
    """One part of a Corpus, sorted by id, in several files."""
    folder.mkdir(parents=True)
    if not rows:
        return
    table = pa.Table.from_pylist(
        [
            {
                "id": hashlib.sha256(f"{place} {text}".encode()).hexdigest(),
                "content": hashlib.sha256(text.encode()).hexdigest(),
                "text": text,
                "cluster": cluster,
                **({} if label is None else {"label": label}),
            }
            for place, (text, label, cluster) in enumerate(rows)
        ]
    ).sort_by("id")
    size = max(1, -(-len(rows) // files))
    for number, start in enumerate(range(0, len(rows), size)):
        parquet.write_table(table.slice(start, size), folder / f"part-{number}.parquet")


def write_corpus(folder: Path, parts: dict[str, Rows], labels: list[str]) -> Artifact:
    for name, rows in parts.items():
        write_part(folder / name, rows)
    write_json(folder / "card.json", {"labels": labels, "naive": NAIVE, "leaked_rows": 0})
    return as_artifact(folder, "data")


def sentiment(count: int, seed: int, labels: list[str] | None = None) -> Rows:
    """Texts with the label that the first word of feeling in them has, so that a baseline has something to learn."""
    rows: Rows = []
    for place, text in enumerate(tiny.texts(count, seed)):
        good, bad = text.find("good"), text.find("bad")
        label = "fine" if good == bad else "good" if bad < 0 or 0 <= good < bad else "bad"
        if labels is None or label in labels:
            rows.append((f"{text} {place}", label, f"{seed}-{place}"))
    return rows


def with_training(export: Path, folder: Path, training: dict[str, Any]) -> Artifact:
    """The export with another `training.json`."""
    shutil.copytree(export, folder)
    write_json(folder / "training.json", training)
    return as_artifact(folder, "compress")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    parts = {"train": sentiment(300, 1), "validation": sentiment(30, 2), "test": sentiment(90, 3)}
    return write_corpus(tmp_path_factory.mktemp("corpus") / "data", parts, tiny.LABELS)


@pytest.fixture(scope="session")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    parts: dict[str, Rows] = {
        name: [(text, None, cluster) for text, _, cluster in sentiment(count, seed)]
        for name, count, seed in (("train", 200, 1), ("validation", 10, 2), ("test", 25, 3))
    }
    return write_corpus(tmp_path_factory.mktemp("prose") / "data", parts, [])


@pytest.fixture(scope="session")
def classify_export(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    seen = np.arange(300) % 3 == 0
    folder = tmp_path_factory.mktemp("seen") / "export"
    return with_training(tiny.export(tmp_path_factory, "classify"), folder, {"samples": 100, "rows": pack_rows(seen)})


@pytest.fixture(scope="session")
def generate_export(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("seen") / "export"
    return with_training(tiny.export(tmp_path_factory, "generate"), folder, {"samples": 600})


MakeCorpus = Callable[[dict[str, Rows]], Artifact]


@pytest.fixture
def make_corpus(tmp_path: Path) -> MakeCorpus:
    return lambda parts: write_corpus(tmp_path / "corpus", parts, tiny.LABELS)
