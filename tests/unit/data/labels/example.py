"""A small corpus with wrong labels in known places, as the data stage writes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from danlu.core.artifact import Artifact, Record, content_hash, list_files, write_json
from danlu.core.store import Workspace, write_json_atomically
from danlu.data.config import CleanStage, DataStage
from danlu.data.steps import content_of
from danlu.data.tables import CORPUS
from danlu.examples import tiny_rows

PARTS = ("train", "validation", "test")
NAME = "tiny"


def other(label: str) -> str:
    return "bad" if label == "good" else "good"


def corpus_rows(count: int = 240, wrong_every: int = 12) -> list[dict[str, str]]:
    """Rows of a corpus; every `wrong_every`-th has the wrong label; the right one is `truth`. Some are test rows."""
    rows = []
    for number, row in enumerate(tiny_rows(count)):
        label = other(row["label"]) if number % wrong_every == 0 else row["label"]
        part = PARTS[1] if number % 10 == 8 else PARTS[2] if number % 60 == 0 or number % 20 == 9 else PARTS[0]
        rows.append({"text": row["text"], "label": label, "truth": row["label"], "part": part})
    return rows


def make_corpus(root: Path, rows: list[dict[str, str]], task: str = "classify") -> tuple[Workspace, Artifact]:
    """A workspace with this corpus, made by the run `NAME`."""
    workspace = Workspace(root).open()
    out = root / "out"
    for part in PARTS:
        inside = [row for row in rows if row["part"] == part]
        contents = [content_of(row["text"]) for row in inside]
        columns: dict[str, Any] = {
            "id": [content[:32] for content in contents],
            "content": contents,
            "text": [row["text"] for row in inside],
            "label": [row["label"] for row in inside],
            "source": ["rows"] * len(inside),
            "origin": [f"rows:{number}" for number in range(len(inside))],
            "licence": ["CC0-1.0"] * len(inside),
            "cluster": [row.get("cluster") or content[:16] for row, content in zip(inside, contents, strict=True)],
        }
        filled = {name: columns.get(name, [None] * len(inside)) for name in CORPUS.names}
        table = pa.table(filled, schema=CORPUS).sort_by("id")
        (out / part).mkdir(parents=True)
        pq.write_table(table, out / part / "part-00000.parquet")
    write_json(out / "card.json", {"labels": sorted({row["label"] for row in rows})})
    sections = {"sources": [{"path": "rows.jsonl"}]}
    clean = CleanStage.model_validate({"task": task, "data": sections})
    cleaned = publish(workspace, "clean", root / "cleaned", clean.model_dump(mode="json"), {})
    config = DataStage.model_validate({"task": task, "data": {}})
    inputs = {"clean": [cleaned.fingerprint, cleaned.content]}
    artifact = publish(workspace, "data", out, config.model_dump(mode="json"), inputs)
    stages = [{"stage": "data", "fingerprint": artifact.fingerprint}]
    write_json_atomically(root / "runs" / NAME / "latest.json", {"name": NAME, "stages": stages})
    return workspace, artifact


def publish(
    workspace: Workspace, stage: str, out: Path, config: dict[str, Any], inputs: dict[str, list[str]]
) -> Artifact:
    """The files in `out` as an artifact of the workspace."""
    out.mkdir(exist_ok=True)
    files = list_files(out)
    record = Record(
        stage=stage,
        version=1,
        fingerprint=content_hash(files),
        content=content_hash(files),
        inputs=inputs,
        resources={},
        config=config,
        environment={},
        libraries={},
        files=files,
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:00:00+00:00",
        seconds=0.0,
        attempts=1,
        peak_memory_bytes=0,
        kwh=None,
        danlu="test",
    )
    return workspace.publish(out, record)


def rows_in(path: Path) -> list[dict[str, Any]]:
    """The rows of a workbook's first sheet by the English word of each header."""
    sheet = openpyxl.load_workbook(path).worksheets[0]
    values = sheet.iter_rows(values_only=True)
    keys = [str(cell).split(" ")[0] for cell in next(values)]
    return [dict(zip(keys, row, strict=True)) for row in values]


def fill_in(path: Path, to: Path, labels: dict[str, Any], annotator: str = "") -> Path:
    """Write `labels` (by text) into the label column, as a person would, and save the workbook as `to`."""
    book = openpyxl.load_workbook(path)
    sheet = book.worksheets[0]
    place = {str(cell.value).split(" ")[0]: cell.column for cell in sheet[1]}
    for row in range(2, sheet.max_row + 1):
        text = sheet.cell(row, place["text"]).value
        if text in labels:
            sheet.cell(row, place["label"]).value = labels[text]
            if annotator:
                sheet.cell(row, place["annotator"]).value = annotator
    book.save(to)
    return to
