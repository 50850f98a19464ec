"""What a model stands on: which earlier trainings, whether those have read what it is tested on, their licence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from danlu.core.artifact import LOGS, write_json
from danlu.core.context import Context
from danlu.core.descent import earlier_trainings, held_out_seen
from danlu.folds.corpus import write_fold
from danlu.train import ensemble
from danlu.train.config import TrainStage
from danlu.train.frozen import RESOURCE
from danlu.train.lineage import lineage
from tests.support import as_artifact, make_context
from tests.unit.train import test_classic
from tests.unit.train.conftest import Attempt

encoder = test_classic.encoder


def corpus(folder: Path, **parts: list[Any]) -> Path:
    """A corpus with these texts, or rows, in its parts."""
    for part, rows in parts.items():
        (folder / part).mkdir(parents=True)
        table = pa.Table.from_pylist([row if isinstance(row, dict) else {"text": row} for row in rows])
        parquet.write_table(table, folder / part / "part-0.parquet")
    return folder


def trained(space: Path, name: str, texts: list[Any], told: dict[str, Any] | None = None) -> Path:
    """The checkpoint of a training on these texts, in a workspace that has its corpus too."""
    corpus(space / "data" / name, train=texts)
    folder = space / "train" / name
    write_json(folder / "danlu.json", {"licence": "gemma", "base": "hf://google/gemma-3-270m", **(told or {})})
    record = as_artifact(folder, "train").record
    record = record.model_copy(update={"fingerprint": name, "inputs": {"data": [name, f"content of {name}"]}})
    (folder / "record.json").write_text(record.model_dump_json())
    return folder


def asked(folder: Path, base: Path, held_out: list[Any], field: str = "model.base") -> Context:
    data = corpus(folder / "corpus", train=["one"], validation=held_out[:1], test=held_out[1:])
    return make_context(folder, stage="train", inputs={"data": as_artifact(data, "data")}, resources={field: base})


@pytest.mark.parametrize("field", ["model.base", "train.objective.teacher", RESOURCE])
@pytest.mark.parametrize(
    "read",
    [
        ["a", "b", "c"],
        [{"text": "x", "pair": "a"}, {"text": "b", "pair": "c"}],
        [{"text": "a\nx", "turns": [{"text": "a"}, {"text": "x"}]}, {"text": "b", "rejected": "c"}],
    ],
)
@pytest.mark.parametrize("pairs", [False, True])
def test_texts_that_it_has_read_count_whatever_stands_beside_them(
    field: str, read: list[Any], pairs: bool, tmp_path: Path
) -> None:
    held_out: list[Any] = [{"text": "a", "pair": "y"}, {"text": "z", "pair": "b"}] if pairs else ["a", "b", "z"]
    ctx = asked(tmp_path, trained(tmp_path, "before", read), held_out, field)
    found = lineage(ctx)
    assert found[field]["held_out_seen"] == 2
    assert held_out_seen({"lineage": found}) == 2
    assert f"2 validation or test texts of this corpus were among the training texts of {field}" in told(ctx)


def told(ctx: Context) -> str:
    return (ctx.out / LOGS / "warnings.jsonl").read_text()


def test_what_the_one_before_the_last_has_read_counts_too(tmp_path: Path) -> None:
    first = trained(tmp_path, "first", ["a", "b"])
    second = trained(tmp_path, "second", ["c", "x"], {"lineage": lineage(asked(tmp_path / "1", first, ["x", "c"]))})
    found = lineage(asked(tmp_path / "2", second, ["a", "c", "z"]))
    assert found["model.base"]["held_out_seen"] == 2
    names = [one["fingerprint"] for one in earlier_trainings({"lineage": found})]
    assert names == ["second", "first"]
    assert {one["base"] for one in earlier_trainings({"lineage": found})} == {"hf://google/gemma-3-270m"}


def test_a_corpus_that_is_gone_is_told(tmp_path: Path) -> None:
    base = trained(tmp_path, "before", ["a"])
    (tmp_path / "data" / "before" / "train" / "part-0.parquet").unlink()
    (tmp_path / "data" / "before" / "train").rmdir()
    ctx = asked(tmp_path, base, ["a", "b"])
    assert held_out_seen({"lineage": lineage(ctx)}) is None
    assert "nobody can tell" in told(ctx)


def test_a_frozen_encoder_is_told_with_its_licence(attempt: Attempt, encoder: Path, tmp_path: Path) -> None:
    data = test_classic.corpus(tmp_path / "corpus", "classify")
    read = parquet.read_table(data / "validation")["text"].to_pylist()
    base = trained(tmp_path, "before", read)
    for file in encoder.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    ctx = attempt("run", "classify", model=test_classic.section(), resources={RESOURCE: base}, corpus=data)
    about = json.loads((ctx.out / "danlu.json").read_text())
    assert about["licence"] == "gemma"
    assert about["lineage"][RESOURCE]["fingerprint"] == "before"
    assert about["lineage"][RESOURCE]["held_out_seen"] == len(set(read))


def test_an_ensemble_counts_what_its_base_has_read_of_the_whole_corpus(tmp_path: Path) -> None:
    base = trained(tmp_path, "before", ["b"])
    data = corpus(tmp_path / "corpus", train=["one"], validation=["a"], test=["b"])
    course = {
        "steps": 1, "planned_steps": 1, "epochs": 1.0, "samples": 1, "tokens": 1, "precision": "float32",
        "stopped_early": False, "method": {}, "parameters": {"trainable": 1, "total": 1}, "rows": "",
    }  # fmt: skip
    facts = {"architecture": "A", "parameters": 1, "trainable_parameters": 1, "max_length": 8, "lineage": {}}
    speed = {"seconds": 1.0, "adversarial_seconds": 0.0, "peak_memory_bytes": 1}
    for number in range(2):
        member = tmp_path / "folds" / "members" / str(number)
        write_json(member / "danlu.json", facts)
        write_json(member / "training.json", course)
        write_json(tmp_path / "folds" / "logs" / "members" / str(number) / "speed.json", speed)
    inputs = {"data": as_artifact(data, "data"), "folds": as_artifact(tmp_path / "folds", "folds")}
    ctx = make_context(tmp_path / "run", stage="train", inputs=inputs, resources={"model.base": base})
    ensemble.run(ctx, TrainStage.model_validate({"task": "classify", "model": {"base": "run://before"}, "train": {}}))
    about = json.loads((ctx.out / "danlu.json").read_text())
    assert about["lineage"]["model.base"]["held_out_seen"] == 1


def test_the_folds_of_a_corpus_that_the_base_was_trained_on_have_all_been_read(tmp_path: Path) -> None:
    rows = [{"id": str(number), "text": f"text {number}", "fold": number % 3} for number in range(9)]
    base = trained(tmp_path, "before", rows)
    whole = tmp_path / "data" / "before"
    corpus(whole, validation=[{"id": f"v{fold}", "text": f"other {fold}", "fold": fold} for fold in range(3)])
    write_json(whole / "card.json", {})
    fold = tmp_path / "fold"
    fold.mkdir()
    assert write_fold(as_artifact(whole, "data"), 1, fold)["test"] == 4
    inputs = {"data": as_artifact(fold, "data")}
    ctx = make_context(tmp_path / "run", stage="train", inputs=inputs, resources={"model.base": base})
    assert lineage(ctx)["model.base"]["held_out_seen"] == 3, "but for the one row of validation"
    assert "the folds of a corpus that was trained on" in told(ctx)
