"""Folds of a corpus: whose rows are where, what is refused, and what the spread is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from pydantic import ValidationError

from danlu.core.artifact import Artifact
from danlu.core.errors import DataError
from danlu.examples import tiny_recipe
from danlu.folds.corpus import count_folds, write_fold
from danlu.folds.stage import spread_of
from danlu.recipe import Recipe
from danlu.stages import stages_of
from tests.support import as_artifact


def corpus(folder: Path, *, folds: int | None = 3, validation: int = 6) -> Artifact:
    """Rows whose ids say part and fold; the test part is in no fold."""
    for part, rows in (("train", 12), ("validation", validation), ("test", 4)):
        of = [None if part == "test" or folds is None else row % folds for row in range(rows)]
        table = {"id": [f"{row:02}-{part}-{fold}" for row, fold in enumerate(of)], "text": ["t"] * rows}
        (folder / part).mkdir(parents=True)
        written = pa.table(table | {"fold": pa.array(of, pa.int8())})
        for start in (0, 5):  # a part may be several files
            parquet.write_table(written.slice(start, 5 if not start else None), folder / part / f"part-{start}.parquet")
    (folder / "card.json").write_text(json.dumps({"labels": ["a", "b"], "naive": 1, "duplicates": {"threshold": 0.8}}))
    return as_artifact(folder, "data")


def ids(folder: Path) -> dict[str, list[str]]:
    return {part: parquet.read_table(folder / part)["id"].to_pylist() for part in ("train", "validation", "test")}


def test_each_row_is_held_out_once_and_then_nowhere_else(tmp_path: Path) -> None:
    whole = corpus(tmp_path / "corpus")
    assert count_folds(whole) == 3
    held_out = []
    for fold in range(3):
        rows = write_fold(whole, fold, tmp_path / str(fold))
        found = ids(tmp_path / str(fold))
        assert rows == {"train": 8, "validation": 4, "test": 6} == {part: len(each) for part, each in found.items()}
        assert all(name.endswith(f"-{fold}") for name in found["test"])
        for part in ("train", "validation"):
            assert all(f"-{part}-" in name and not name.endswith(f"-{fold}") for name in found[part])
            assert found[part] == sorted(found[part]), "in the order in which the corpus has them"
        assert found["test"] == sorted(found["test"])
        held_out += found["test"]
    everything = ids(whole.folder)
    assert sorted(held_out) == sorted(everything["train"] + everything["validation"])
    assert not set(held_out) & set(everything["test"]), "the corpus's own test rows stay untouched"
    card = json.loads((tmp_path / "0" / "card.json").read_text(encoding="utf-8"))
    assert card["labels"] == ["a", "b"] and "naive" not in card


def test_rows_that_were_added_for_training_are_no_evidence(tmp_path: Path) -> None:
    whole = corpus(tmp_path / "corpus")
    table = {"id": ["99-train-0", "99-train-1"], "text": ["t"] * 2, "fold": pa.array([0, 1], pa.int8())}
    added = pa.table(table | {"operation": ["repeat", "eda"]})
    parquet.write_table(added, whole.folder / "train" / "part-added-00000.parquet")
    for part in whole.folder.glob("*/part-[05].parquet"):
        rows = parquet.read_table(part)
        parquet.write_table(rows.append_column("operation", pa.nulls(len(rows), pa.string())), part)
    write_fold(whole, 0, tmp_path / "0")
    found = ids(tmp_path / "0")
    assert "99-train-0" not in found["train"] + found["validation"] + found["test"]
    assert "99-train-1" in found["train"]


def test_a_corpus_that_cannot_be_dealt_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Set data\.split\.folds, such as 5"):
        count_folds(corpus(tmp_path / "none", folds=None))
    with pytest.raises(DataError, match="Fold 1 leaves no rows for validation"):
        write_fold(corpus(tmp_path / "few", validation=1), 0, tmp_path / "fold")


def test_the_spread_is_of_scores_that_every_fold_has() -> None:
    spread = spread_of([{"f1": 0.8, "auc": None}, {"f1": 0.9, "auc": 0.7}, {"f1": 0.7, "auc": 0.6}])
    assert spread == {"f1": {"mean": pytest.approx(0.8), "deviation": pytest.approx(0.1), "low": 0.7, "high": 0.9}}


@pytest.mark.parametrize(
    ("split", "folds", "said"),
    [
        ({}, {}, r"folds needs data\.split\.folds, such as 5"),
        ({"folds": 3}, {"runs": 4}, r"folds\.runs is 4, but data\.split\.folds is 3"),
        ({"folds": 3}, {"runs": 1}, "greater than or equal to 2"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    tmp_path: Path, split: dict[str, Any], folds: dict[str, Any], said: str
) -> None:
    sections = tiny_recipe(tmp_path)
    sections["data"]["split"] = split
    with pytest.raises(ValidationError, match=said):
        Recipe.model_validate(sections | {"folds": folds})


def test_the_stage_is_there_only_where_the_recipe_asks(tmp_path: Path) -> None:
    sections = tiny_recipe(tmp_path)
    sections["data"]["split"] = {"folds": 3}
    assert "folds" not in [stage.name for stage in stages_of(Recipe.model_validate(sections))]
    names = [stage.name for stage in stages_of(Recipe.model_validate(sections | {"folds": {}}))]
    assert names.index("evaluate") < names.index("folds") < names.index("release")
