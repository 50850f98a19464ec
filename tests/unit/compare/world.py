"""A workspace with a run, its corpus, and releases made from it: real files, as the stages write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from danlu.core.artifact import RECORD, Artifact, write_json
from danlu.core.store import Workspace
from danlu.data.config import CleanConfig
from danlu.release.registry import Registry, Version
from tests.support import as_artifact
from tests.unit.serve import toy

Row = dict[str, str]

#: "fine" is a word that the second model lacks.
GOOD = ("great", "lovely", "fine")
BAD = ("awful", "broken", "dull")
STRONG = {"weights": dict.fromkeys(GOOD, 3.0) | dict.fromkeys(BAD, -3.0)}
_LETTERS = str.maketrans("0123456789", "ghijklmnop")
WEAK = {"weights": {"great": 3.0, "awful": -3.0, "dull": 3.0}}


def rows(count: int, start: int = 0) -> list[Row]:
    """Different texts, by turns good and bad."""
    made = []
    for number in range(start, start + count):
        label = ("bad", "good")[number % 2]
        word = (GOOD if label == "good" else BAD)[number // 2 % 3]
        # Letters alone: digits might be taken for a phone.
        thing = hashlib.sha256(str(number).encode()).hexdigest()[:12].translate(_LETTERS)
        made.append({"text": f"the {word} {thing} came {thing[::-1]}", "label": label})
    return made


def write_corpus(
    workspace: Workspace, parts: dict[str, Sequence[Row]], *, task: str = "classify", language: str = "en"
) -> Artifact:
    """A Corpus artifact with these parts."""
    out = workspace.root / "work" / "corpus"
    for part in ("train", "validation", "test"):
        given = parts.get(part, [])
        ids = [hashlib.sha256(f"{part}{row['text']}".encode()).hexdigest()[:20] for row in given]
        order = sorted(range(len(given)), key=ids.__getitem__)
        columns: dict[str, list[str]] = {"id": [ids[place] for place in order]}
        for name in ("text", "label", "pair"):
            if given and name in given[0]:
                columns[name] = [given[place][name] for place in order]
        (out / part).mkdir(parents=True)
        if given:
            parquet.write_table(pa.table(columns), out / part / "part-00000.parquet")
    sizes = {part: {"rows": len(parts.get(part, []))} for part in ("train", "validation", "test")}
    labels = sorted({row["label"] for given in parts.values() for row in given if "label" in row})
    source = {"name": "rows.csv", "rows": sum(size["rows"] for size in sizes.values()), "licence": "CC0-1.0"}
    card = {
        "task": task,
        "language": language,
        "labels": labels,
        "splits": sizes,
        "sources": [source],
        "added": {},
        "duplicates": {"threshold": 0.8},
    }
    write_json(out / "card.json", card)
    record = as_artifact(out, "data").record.model_copy(update={"config": {"task": task}, "inputs": made_by(workspace)})
    return workspace.publish(out, record)


def made_by(workspace: Workspace) -> dict[str, list[str]]:
    """The inputs of a corpus whose texts were cleaned, and masked, as a recipe does by default."""
    out = workspace.root / "work" / "clean"
    out.mkdir(parents=True)
    write_json(out / "clean.json", {})
    section = CleanConfig.model_validate({"sources": [{"path": "rows.csv"}]}).model_dump(mode="json")
    record = as_artifact(out, "clean").record.model_copy(update={"config": {"data": section}})
    cleaned = workspace.publish(out, record)
    return {"clean": [cleaned.fingerprint, cleaned.content]}


def write_run(workspace: Workspace, name: str, corpus: Artifact, task: str = "classify") -> None:
    """The record of a run that made the corpus."""
    recipe = {"task": task, "data": {"text": "text", "label": "label"}}
    run = {
        "name": name,
        "recipe": recipe,
        "resolved": recipe | {"budget": {"electricity_price": 0.25, "watts_per_core": 12.0}},
        "verdict": "ship",
        "started": "2026-01-01T00:00:00.000+00:00",
        "stages": [{"stage": "data", "folder": str(corpus.folder.relative_to(workspace.root))}],
    }
    folder = workspace.root / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "latest.json", run)


def made_from(release: Artifact, corpus: Artifact | None, licence: str = "MIT") -> None:
    """Write into the record of a release what it was made from; its checkpoint has this licence."""
    inputs: dict[str, list[str]] = {}
    workspace = Workspace(release.folder.parents[2])
    if corpus is not None:
        inputs["data"] = [corpus.fingerprint, corpus.content]
        out = workspace.root / "work" / "checkpoint"
        out.mkdir(parents=True)
        write_json(out / "danlu.json", {"licence": licence, "parameters": 1_234, "base": None})
        write_json(out / "training.json", {"tokens": 5_678})
        checkpoint = workspace.publish(out, as_artifact(out, "train").record)
        inputs["train"] = [checkpoint.fingerprint, checkpoint.content]
    record = as_artifact(release.folder, "release").record.model_copy(update={"inputs": inputs})
    (release.folder / RECORD).write_text(record.model_dump_json(), encoding="utf-8")


def publish(
    workspace: Workspace, name: str, words: dict[str, Any], number: int, corpus: Artifact | None, **form: Any
) -> Version:
    """A release of a `WordEngine` model, made from `corpus`, registered and promoted."""
    release = toy.release(workspace, name, words, number, **form)
    made_from(release, corpus)
    registry = Registry(workspace, name)
    return registry.promote(registry.register(Artifact(release.folder, release.record)).number)


def told(table: dict[str, Any], name: str) -> dict[str, Any]:
    """What the table says of one entrant."""
    found: dict[str, Any] = next(entrant for entrant in table["entrants"] if entrant["name"] == name)
    return found


def kinds(table: dict[str, Any], name: str) -> set[str]:
    """The kinds of notes about one entrant."""
    return {note["kind"] for note in table["notes"] if note["name"] == name}


def write_csv(path: Path, header: str, *lines: str) -> Path:
    """A small table."""
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def as_text(table: dict[str, Any]) -> str:
    """The table as strict JSON."""
    return json.dumps(table, allow_nan=False, ensure_ascii=False)


def read_test(folder: Path) -> list[str]:
    """The texts of a corpus's test part, in its order."""
    texts: list[str] = parquet.read_table(folder / "test" / "part-00000.parquet")["text"].to_pylist()
    return texts
